"""The architectures against their equations, written as loops over examples, experts and tasks."""

import math

import numpy as np
import pytest
import torch

from mmoe_repro.errors import UsageError
from mmoe_repro.models import MMoE, OMoE, SharedBottom, count_weights

MODELS = [SharedBottom, OMoE, MMoE]


def made(model, **settings):
    torch.manual_seed(0)
    return model(6, 3, **settings).double()


def parameters(model):
    return {name: value.detach().numpy() for name, value in model.named_parameters()}


def network(p, name, index, x, depth):
    """One feed-forward ReLU network of a stack, unit by unit."""
    for layer in range(depth):
        w = p[f"{name}.layers.{layer}.weight"][index]
        bias = f"{name}.layers.{layer}.bias"
        b = p[bias][index] if bias in p else np.zeros(len(w))
        x = [max(0.0, sum(w[o, i] * x[i] for i in range(len(x))) + b[o]) for o in range(len(w))]
    return x


def tower(p, task, x, depth):
    hidden = network(p, "towers.hidden", task, x, depth)
    w = p["towers.output.weight"][task, 0]
    b = p["towers.output.bias"][task, 0] if "towers.output.bias" in p else 0.0
    return sum(a * b_ for a, b_ in zip(w, hidden, strict=True)) + b


def softmax(logits):
    exponentials = [math.exp(value - max(logits)) for value in logits]
    return [value / sum(exponentials) for value in exponentials]


def gate(p, index, x):
    return softmax([sum(a * b for a, b in zip(row, x, strict=True)) for row in p["gate.weight"][index]])


def expected(model, x):
    p = parameters(model)
    towers = len(model.towers.hidden.layers)
    predictions = np.zeros((len(x), 3))
    for n, features in enumerate(x):
        for task in range(3):
            if isinstance(model, SharedBottom):
                below = network(p, "bottom", 0, features, len(model.bottom.layers))
            else:
                weights = gate(p, task if isinstance(model, MMoE) else 0, features)
                outputs = [network(p, "experts", i, features, len(model.experts.layers)) for i in range(len(weights))]
                below = [
                    sum(w * out[h] for w, out in zip(weights, outputs, strict=True)) for h in range(len(outputs[0]))
                ]
            predictions[n, task] = tower(p, task, below, towers)
    return predictions


def widths(model, deep):
    if model is SharedBottom:
        return {"bottom": [7, 5] if deep else [7], "tower": [4, 3] if deep else [4]}
    return {"experts": 4, "expert": [5, 3] if deep else [5], "tower": [4, 3] if deep else [4]}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_predictions_are_the_equation_in_loops(model, deep, bias):
    one = made(model, **widths(model, deep), bias=bias)
    with torch.no_grad():
        for name, value in one.named_parameters():
            if name.endswith("bias"):
                value.uniform_(-0.5, 0.5)
        x = torch.randn(4, 6, dtype=torch.float64)
        np.testing.assert_allclose(one(x), expected(one, x.numpy()), rtol=1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_gradients_are_those_of_finite_differences(model):
    one = made(model, **widths(model, deep=True))
    x = torch.randn(5, 6, dtype=torch.float64)
    names = [name for name, _ in one.named_parameters()]

    def predict(*values):
        return torch.func.functional_call(one, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(predict, tuple(one.parameters()))


@pytest.mark.parametrize("model", MODELS)
def test_hidden_are_the_tower_units_before_the_output(model):
    one = made(model, **widths(model, deep=False))
    x = torch.randn(4, 6, dtype=torch.float64)
    hidden = one.hidden(x)
    assert hidden.shape == (4, 3, 4)
    assert (hidden >= 0).all()
    by_hand = torch.einsum("btu,tu->bt", hidden, one.towers.output.weight[:, 0]) + one.towers.output.bias[:, 0]
    assert torch.allclose(by_hand, one(x))


@pytest.mark.parametrize("model", [OMoE, MMoE])
def test_gates_are_distributions_over_the_experts(model):
    one = made(model, **widths(model, deep=False))
    gates = one.gates(torch.randn(4, 6, dtype=torch.float64))
    assert gates.shape == (4, 3, 4)
    assert torch.allclose(gates.sum(-1), torch.ones(4, 3, dtype=torch.float64))
    assert (gates[:, 0] == gates[:, 1]).all() == (model is OMoE)


def test_mmoe_with_tied_gates_is_omoe():
    many, one = made(MMoE, experts=4, expert=[5]), made(OMoE, experts=4, expert=[5])
    state = dict(many.state_dict())
    state["gate.weight"] = state["gate.weight"][:1]
    one.load_state_dict(state)
    with torch.no_grad():
        many.gate.weight.copy_(many.gate.weight[:1].expand_as(many.gate.weight))
    x = torch.randn(4, 6, dtype=torch.float64)
    assert torch.allclose(many(x), one(x))


@pytest.mark.parametrize("model", [OMoE, MMoE])
def test_one_expert_is_a_shared_bottom(model):
    mixture, bottom = made(model, experts=1, expert=[7, 5]), made(SharedBottom, bottom=[7, 5])
    state = {name.replace("experts", "bottom"): value for name, value in mixture.state_dict().items()}
    bottom.load_state_dict({name: value for name, value in state.items() if name != "gate.weight"})
    x = torch.randn(4, 6, dtype=torch.float64)
    assert torch.allclose(mixture(x), bottom(x))


@pytest.mark.parametrize(("model", "weights"), [(SharedBottom, 13_108), (OMoE, 13_056), (MMoE, 13_056)])
def test_weights_are_those_of_the_paper(model, weights):
    # 8 × 100 × 16 + 2 × 16 × 8 = 13,056, and (100 + 2 × 8) × 113 = 13,108.
    assert count_weights(model(100, 2)) == weights
    assert count_weights(model(100, 2, bias=False)) == weights


@pytest.mark.parametrize(
    ("initializer", "gain", "sd"),
    [
        ("glorot_uniform", 1.0, math.sqrt(2 / (100 + 16))),
        ("glorot_uniform", 2.0, 2 * math.sqrt(2 / (100 + 16))),
        ("he_normal", 1.0, math.sqrt(2 / 100)),
        ("torch", 1.0, math.sqrt(1 / 300)),
        ("normal", 0.05, 0.05),
    ],
)
def test_initial_weights_have_the_sd_of_one_experts_matrix(initializer, gain, sd):
    torch.manual_seed(1)
    model = MMoE(100, 2, experts=100, initializer=initializer, gain=gain)
    weight = model.experts.layers[0].weight
    # 160,000 weights: the relative standard error of their sd is below 0.2 %.
    assert weight.std().item() == pytest.approx(sd, rel=0.01)
    assert abs(weight.mean().item()) < 4 * sd / 400
    biases = model.experts.layers[0].bias
    assert (biases == 0).all() == (initializer != "torch")
    if initializer.endswith("uniform") or initializer == "torch":
        assert weight.abs().max().item() == pytest.approx(math.sqrt(3) * sd, rel=0.01)


def test_torch_initializer_is_that_of_linear():
    torch.manual_seed(2)
    ours = SharedBottom(100, 2, bottom=[4000], initializer="torch").bottom.layers[0]
    theirs = torch.nn.Linear(100, 4000)
    assert ours.weight.abs().max().item() == pytest.approx(theirs.weight.abs().max().item(), rel=0.01)
    assert ours.bias.abs().max().item() == pytest.approx(theirs.bias.abs().max().item(), rel=0.01)


def test_without_bias_there_is_none():
    assert not [name for name, _ in MMoE(6, 2, bias=False).named_parameters() if "bias" in name]


def test_an_unknown_initializer_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'glorot_uniform'"):
        MMoE(6, 2, initializer="glorot")
    with pytest.raises(UsageError, match=r"model\.gain=-1"):
        MMoE(6, 2, gain=-1)
