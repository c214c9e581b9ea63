"""Architectures, each an ordinary module written for one run: features `(batch, d)` to `(batch, tasks)`."""

from torch import nn

from mmoe_repro.models.cgc import CGC
from mmoe_repro.models.cross_stitch import CrossStitch
from mmoe_repro.models.l2_constrained import L2Constrained
from mmoe_repro.models.mmoe import MMoE
from mmoe_repro.models.moe import MoE
from mmoe_repro.models.omoe import OMoE
from mmoe_repro.models.ple import PLE
from mmoe_repro.models.shared_bottom import SharedBottom
from mmoe_repro.models.single_task import SingleTask
from mmoe_repro.models.sparse_moe import SparseMoE
from mmoe_repro.models.stacked_moe import StackedMoE
from mmoe_repro.models.tensor_factorization import TensorFactorization

__all__ = [
    "CGC",
    "PLE",
    "CrossStitch",
    "L2Constrained",
    "MMoE",
    "MoE",
    "OMoE",
    "SharedBottom",
    "SingleTask",
    "SparseMoE",
    "StackedMoE",
    "TensorFactorization",
    "count_weights",
]


#: Parts that the paper's count of weights leaves aside (section 3.3).
ASIDE = ("gates", "outputs", "biases")


def weights_by_part(model: nn.Module) -> dict[str, int]:
    """Numbers of weights: of each top-level layer, and of the gates, output layers and biases wherever they are.

    A gate is a layer of such a name (`gate`, `shared_gate`, …), an output layer one called `output`.
    """
    parts: dict[str, int] = {}
    for name, value in model.named_parameters():
        path = name.split(".")
        if path[-1] == "bias":
            part = "biases"
        elif any("gate" in piece.split("_") for piece in path):
            part = "gates"
        else:
            part = "outputs" if "output" in path else path[0]
        parts[part] = parts.get(part, 0) + value.numel()
    return parts


def count_weights(model: nn.Module) -> int:
    """Weights as the paper counts them: biases, gates and output layers aside."""
    return sum(count for part, count in weights_by_part(model).items() if part not in ASIDE)
