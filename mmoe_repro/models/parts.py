"""Which part of a network a parameter belongs to: what the paper's count leaves aside, and what starts apart."""

from torch import nn

#: Parts that the paper's count of weights leaves aside (section 3.3).
ASIDE = ("gates", "outputs", "biases")


def part(parameter: str) -> str:
    """The part that a parameter belongs to, by its path in the module, such as `towers.output.weight`.

    A gate is a layer of such a name (`gate`, `shared_gate`, …), an output layer one called `output`; every other weight
    belongs to the top-level layer that it lies in.

    >>> part("towers.output.weight"), part("shared_gate.0.weight"), part("towers.hidden.layers.0.weight")
    ('outputs', 'gates', 'towers')
    """
    path = parameter.split(".")
    if path[-1] == "bias":
        return "biases"
    if any("gate" in piece.split("_") for piece in path):
        return "gates"
    return "outputs" if "output" in path else path[0]


def weights_by_part(model: nn.Module) -> dict[str, int]:
    """Numbers of weights: of each top-level layer, and of the gates, output layers and biases wherever they are."""
    parts: dict[str, int] = {}
    for name, value in model.named_parameters():
        parts[part(name)] = parts.get(part(name), 0) + value.numel()
    return parts


def count_weights(model: nn.Module) -> int:
    """Weights as the paper counts them: biases, gates and output layers aside."""
    return sum(count for name, count in weights_by_part(model).items() if name not in ASIDE)
