"""The architectures against their equations, written as loops over examples, experts and tasks."""

import inspect
import math
import pkgutil
from importlib import import_module
from statistics import NormalDist

import numpy as np
import pytest
import torch
from helpers import CUSTOMARY, built

from mmoe_repro import models
from mmoe_repro.errors import UsageError
from mmoe_repro.models import (
    CGC,
    PLE,
    CrossStitch,
    L2Constrained,
    MMoE,
    MoE,
    OMoE,
    SharedBottom,
    SingleTask,
    SparseMoE,
    StackedMoE,
    TensorFactorization,
    count_weights,
    weights_by_part,
)

_BOTTOM = {"bottom": [7], "tower": [4]}, {"bottom": [7, 5], "tower": [4, 3]}
_MIXTURE = {"experts": 4, "expert": [5], "tower": [4]}, {"experts": 4, "expert": [5, 3], "tower": [4, 3]}
_GROUPS = {"own_experts": 2, "shared_experts": 3}
_CGC = {**_GROUPS, "expert": [5], "tower": [4]}, {**_GROUPS, "expert": [5, 3], "tower": [4, 3]}
#: Small settings of every architecture, one shallow and one deep.
SETTINGS = {
    SingleTask: _BOTTOM,
    SharedBottom: _BOTTOM,
    L2Constrained: _BOTTOM,
    CrossStitch: _BOTTOM,
    TensorFactorization: ({**_BOTTOM[0], "ranks": [5, 4, 2]}, {**_BOTTOM[1], "ranks": [3, 2, 1]}),
    MoE: ({"experts": 4, "expert": [5]}, {"experts": 3, "expert": [5, 3]}),
    OMoE: _MIXTURE,
    MMoE: _MIXTURE,
    SparseMoE: ({**_MIXTURE[0], "k": 2}, {**_MIXTURE[1], "k": 3}),
    StackedMoE: ({**_MIXTURE[0], "levels": 2, "own_gates": False}, {**_MIXTURE[1], "levels": 3}),
    CGC: _CGC,
    PLE: ({**_CGC[0], "levels": 2}, {**_CGC[1], "levels": 3}),
}
MODELS = list(SETTINGS)
WITH_GATES = [model for model in MODELS if hasattr(model, "gates")]
WITH_TOWERS = [model for model in MODELS if hasattr(model, "hidden")]


def made(model, **settings):
    """A model with parameters of its own everywhere, gates and biases too."""
    torch.manual_seed(0)
    one = built(model, 6, 3, **settings).double()
    with torch.no_grad():
        for value in one.parameters():
            value.uniform_(-0.8, 0.8)
    return one


def examples(count=4):
    return torch.randn(count, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# -- the equations in loops ----------------------------------------------------------------------


def parameters(model):
    return {name: value.detach().numpy() for name, value in model.named_parameters()}


def linear(p, name, index, x):
    w = p[f"{name}.weight"][index]
    b = p[f"{name}.bias"][index] if f"{name}.bias" in p else np.zeros(len(w))
    return [sum(w[o, i] * x[i] for i in range(len(x))) + b[o] for o in range(len(w))]


def relu(values):
    return [max(0.0, value) for value in values]


def network(p, name, index, x):
    """One feed-forward ReLU network of a stack, unit by unit."""
    layer = 0
    while f"{name}.layers.{layer}.weight" in p:
        x = relu(linear(p, f"{name}.layers.{layer}", index, x))
        layer += 1
    return x


def count(p, name):
    """Networks of a stack."""
    return len(p[f"{name}.layers.0.weight"])


def tower(p, task, x):
    (output,) = linear(p, "towers.output", task, network(p, "towers.hidden", task, x))
    return output


def softmax(logits):
    exponentials = [math.exp(value - max(logits)) for value in logits]
    return [value / sum(exponentials) for value in exponentials]


def mixed(weights, outputs):
    return [sum(w * out[h] for w, out in zip(weights, outputs, strict=True)) for h in range(len(outputs[0]))]


def shared_bottom(p, task, x, model):
    return tower(p, task, network(p, "bottom", 0, x))


def single_task(p, task, x, model):
    return tower(p, task, network(p, "bottoms", task, x))


def cross_stitch(p, task, x, model):
    hidden = [x] * 3
    for layer in range(len(model.stitches)):
        before = [relu(linear(p, f"bottoms.layers.{layer}", k, hidden[k])) for k in range(3)]
        a = p[f"stitches.{layer}.units"]
        hidden = [[sum(a[k, j] * before[j][u] for j in range(3)) for u in range(len(before[0]))] for k in range(3)]
    return tower(p, task, hidden[task])


def tucker(p, name, task, x):
    core, (u1, u2, u3) = p[f"{name}.weight"], (p[f"{name}.factors.{axis}"] for axis in range(3))
    r3, r2, r1 = core.shape
    return [
        sum(
            core[c, b, a] * u1[i, a] * u2[o, b] * u3[task, c] * x[i]
            for i in range(len(x))
            for a in range(r1)
            for b in range(r2)
            for c in range(r3)
        )
        + p[f"{name}.bias"][task, o]
        for o in range(len(u2))
    ]


def tensor_factorization(p, task, x, model):
    for layer in range(len(model.layers)):
        x = relu(tucker(p, f"layers.{layer}", task, x))
    return tucker(p, "output", task, x)[0]


def moe(p, task, x, model):
    weights = softmax(linear(p, "gate", task, x))
    first = task * len(weights)
    outputs = [linear(p, "output", first + i, network(p, "experts", first + i, x)) for i in range(len(weights))]
    return mixed(weights, outputs)[0]


def omoe(p, task, x, model):
    outputs = [network(p, "experts", i, x) for i in range(count(p, "experts"))]
    return tower(p, task, mixed(softmax(linear(p, "gate", 0, x)), outputs))


def mmoe(p, task, x, model):
    outputs = [network(p, "experts", i, x) for i in range(count(p, "experts"))]
    return tower(p, task, mixed(softmax(linear(p, "gate", task, x)), outputs))


def noisy_logits(p, task, x, noise):
    logits = linear(p, "gate", task, x)
    sds = [math.log1p(math.exp(value)) for value in linear(p, "gate_noise", task, x)]
    return [
        logit + (0.0 if noise is None else z * sd) for logit, z, sd in zip(logits, noise or logits, sds, strict=True)
    ]


def top_k_gate(p, task, x, k, noise=None):
    logits = noisy_logits(p, task, x, noise)
    kth = sorted(logits)[-k]
    return softmax([value if value >= kth else -math.inf for value in logits])


def sparse_moe(p, task, x, model):
    outputs = [network(p, "experts", i, x) for i in range(count(p, "experts"))]
    return tower(p, task, mixed(top_k_gate(p, task, x, model.k), outputs))


def stacked_moe(p, task, x, model):
    levels = len(model.experts)
    for level in range(levels):
        own = level == levels - 1 and len(p[f"gate.{level}.weight"]) > 1
        weights = softmax(linear(p, f"gate.{level}", task if own else 0, x))
        x = mixed(weights, [network(p, f"experts.{level}", i, x) for i in range(len(weights))])
    return tower(p, task, x)


def extraction(p, name, of_tasks, shared, own):
    """Each task's mixture, and the outputs of its own experts by task and of the shared ones."""
    of_own = [[network(p, f"{name}.own", k * own + i, of_tasks[k]) for i in range(own)] for k in range(3)]
    of_shared = [network(p, f"{name}.shared", i, shared) for i in range(count(p, f"{name}.shared"))]
    mixtures = [mixed(softmax(linear(p, f"{name}.gate", k, of_tasks[k])), of_own[k] + of_shared) for k in range(3)]
    return mixtures, of_own, of_shared


def cgc(p, task, x, model):
    return tower(p, task, extraction(p, "extraction", [x] * 3, x, 2)[0][task])


def ple(p, task, x, model):
    of_tasks, shared = [x] * 3, x
    for level in range(len(model.below)):
        weights = softmax(linear(p, f"shared_gate.{level}", 0, shared))
        of_tasks, of_own, of_shared = extraction(p, f"below.{level}", of_tasks, shared, 2)
        shared = mixed(weights, [output for own in [*of_own, of_shared] for output in own])
    return tower(p, task, extraction(p, "top", of_tasks, shared, 2)[0][task])


EQUATIONS = {
    SingleTask: single_task,
    SharedBottom: shared_bottom,
    L2Constrained: single_task,
    CrossStitch: cross_stitch,
    TensorFactorization: tensor_factorization,
    MoE: moe,
    OMoE: omoe,
    MMoE: mmoe,
    SparseMoE: sparse_moe,
    StackedMoE: stacked_moe,
    CGC: cgc,
    PLE: ple,
}


@pytest.mark.parametrize("depth", ["shallow", "deep"])
@pytest.mark.parametrize("model", MODELS)
def test_predictions_are_the_equation_in_loops(model, depth):
    one, x = made(model, **SETTINGS[model][depth == "deep"]), examples()
    p = parameters(one)
    expected = [[EQUATIONS[model](p, task, features, one) for task in range(3)] for features in x.numpy()]
    np.testing.assert_allclose(one(x).detach(), expected, rtol=1e-10)


@pytest.mark.parametrize("model", [SharedBottom, MMoE])
def test_without_biases_the_equation_holds_too(model):
    one, x = made(model, **SETTINGS[model][1], bias=False), examples()
    p = parameters(one)
    assert not [name for name in p if "bias" in name]
    expected = [[EQUATIONS[model](p, task, features, one) for task in range(3)] for features in x.numpy()]
    np.testing.assert_allclose(one(x).detach(), expected, rtol=1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_with_a_leaky_activation_too(model, monkeypatch):
    monkeypatch.setitem(globals(), "relu", lambda values: [max(0.01 * value, value) for value in values])
    one, x = made(model, **SETTINGS[model][1], activation="leaky_relu"), examples()
    p = parameters(one)
    expected = [[EQUATIONS[model](p, task, features, one) for task in range(3)] for features in x.numpy()]
    np.testing.assert_allclose(one(x).detach(), expected, rtol=1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_activation_is_refused(model):
    with pytest.raises(UsageError, match=r"model.activation=relo: did you mean 'relu'\?"):
        built(model, 6, 3, activation="relo")


@pytest.mark.parametrize("model", [pytest.param(m, marks=[pytest.mark.slow] if m is PLE else []) for m in MODELS])
def test_gradients_are_those_of_finite_differences(model):
    one, inputs = made(model, **SETTINGS[model][1]), [examples()]
    if model is SparseMoE:
        inputs.append(torch.randn(one.noise_shape(4), dtype=torch.float64))
    names = [name for name, _ in one.named_parameters()]

    def predict(*values):
        return torch.func.functional_call(one, dict(zip(names, values, strict=True)), tuple(inputs))

    assert torch.autograd.gradcheck(predict, tuple(one.parameters()))


@pytest.mark.parametrize("model", WITH_TOWERS)
def test_hidden_are_the_tower_units_before_the_output(model):
    one, x = made(model, **SETTINGS[model][0]), examples()
    hidden = one.hidden(x)
    assert hidden.shape == (4, 3, 4)
    assert (hidden >= 0).all() and (hidden > 0).any()
    output = one.output if model is TensorFactorization else one.towers.output
    assert torch.allclose(output(hidden).squeeze(-1), one(x))


@pytest.mark.parametrize("model", WITH_GATES)
def test_gates_are_distributions_over_the_experts(model):
    one = made(model, **SETTINGS[model][0])
    gates = one.gates(examples())
    experts = {MoE: 3 * 4, CGC: 3 * 2 + 3, PLE: 3 * 2 + 3}.get(model, 4)
    assert gates.shape == (4, 3, experts)
    assert torch.allclose(gates.sum(-1), torch.ones(4, 3, dtype=torch.float64))
    assert (gates >= 0).all()
    one_for_all = model is OMoE or (model is StackedMoE and not SETTINGS[model][0]["own_gates"])
    assert (gates[:, 0] == gates[:, 1]).all() == one_for_all
    not_its_own = gates[:, 1, : experts // 3 if model is MoE else 2]
    assert (not_its_own == 0).all() == (model in (MoE, CGC, PLE))


# -- sparse gates --------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_noisy_gates_keep_the_k_best(k):
    one, x = made(SparseMoE, experts=4, expert=[5], tower=[4], k=k), examples()
    noise = torch.randn(one.noise_shape(4), dtype=torch.float64)
    gates = one.gates(x, noise)
    assert ((gates > 0).sum(-1) == k).all()
    p = parameters(one)
    expected = [[top_k_gate(p, t, x[n].tolist(), k, noise[n, t].tolist()) for t in range(3)] for n in range(4)]
    np.testing.assert_allclose(gates.detach(), expected, rtol=1e-10)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_penalty_is_the_variation_of_importance_and_load(k):
    prices = {"w_importance": 0.3, "w_load": 0.7}
    one, x = made(SparseMoE, experts=4, expert=[5], tower=[4], k=k, **prices), examples(5)
    noise = torch.randn(one.noise_shape(5), dtype=torch.float64)
    p, expected = parameters(one), 0.0
    for task in range(3):
        importance, load = np.zeros(4), np.zeros(4)
        for features, z in zip(x.tolist(), noise[:, task].tolist(), strict=True):
            importance += top_k_gate(p, task, features, k, z)
            noisy, clean = noisy_logits(p, task, features, z), linear(p, "gate", task, features)
            sds = [math.log1p(math.exp(value)) for value in linear(p, "gate_noise", task, features)]
            for i in range(4):
                others = sorted(value for j, value in enumerate(noisy) if j != i)
                kth_excluding = others[-k] if k < 4 else -math.inf
                load[i] += NormalDist().cdf((clean[i] - kth_excluding) / sds[i])
        expected += 0.3 * importance.var() / importance.mean() ** 2 + 0.7 * load.var() / load.mean() ** 2
    assert one.penalty(x, noise).item() == pytest.approx(expected, rel=1e-8)
    assert torch.autograd.gradcheck(
        lambda w, v: torch.func.functional_call(
            Penalty(one), {"module.gate.weight": w, "module.gate_noise.weight": v}, (x, noise)
        ),
        (one.gate.weight, one.gate_noise.weight),
    )


class Penalty(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *inputs):
        return self.module.penalty(*inputs)


def test_sparse_gates_start_at_zero_and_k_is_checked():
    one = built(SparseMoE, 6, 2, noisy=True)
    assert (one.gate.weight == 0).all() and (one.gate_noise.weight == 0).all()
    with pytest.raises(UsageError, match=r"model\.k=9: must be between 1 and model\.experts=8"):
        built(SparseMoE, 6, 2, experts=8, k=9)


# -- known reductions ----------------------------------------------------------------------------


def loaded(model, state, **settings):
    one = made(model, **settings)
    one.load_state_dict(state)
    return one


def renamed(module, **names):
    """A module's state with other names for its top-level layers; those called None are left out."""
    parts = [(name.partition("."), value) for name, value in module.state_dict().items()]
    kept = {**{top: top for (top, _, _), _ in parts}, **names}
    return {f"{kept[top]}.{rest}": value for (top, _, rest), value in parts if kept[top] is not None}


def assert_equal(one, other):
    assert torch.allclose(one(examples()), other(examples()), rtol=1e-12)


def test_mmoe_with_tied_gates_is_omoe():
    many = made(MMoE, **_MIXTURE[0])
    state = renamed(many)
    state["gate.weight"] = state["gate.weight"][:1]
    with torch.no_grad():
        many.gate.weight.copy_(many.gate.weight[:1].expand_as(many.gate.weight))
    assert_equal(many, loaded(OMoE, state, **_MIXTURE[0]))


@pytest.mark.parametrize("model", [OMoE, MMoE])
def test_one_expert_is_a_shared_bottom(model):
    mixture = made(model, experts=1, expert=[7, 5], tower=[4])
    state = renamed(mixture, experts="bottom", gate=None)
    assert_equal(mixture, loaded(SharedBottom, state, bottom=[7, 5], tower=[4]))


def test_cross_stitch_at_identity_is_single_task():
    single = made(SingleTask, **_BOTTOM[1])
    stitched = built(CrossStitch, 6, 3, **_BOTTOM[1], same=1.0).double()
    stitched.load_state_dict(renamed(single), strict=False)
    assert_equal(single, stitched)
    start = built(CrossStitch, 6, 3, **_BOTTOM[1], same=0.9).stitches[0].units
    assert torch.allclose(start, torch.full((3, 3), 0.05) + 0.85 * torch.eye(3))


def test_sparse_with_all_experts_and_no_noise_is_mmoe():
    sparse = made(SparseMoE, **_MIXTURE[1], k=4, noisy=False)
    assert_equal(sparse, loaded(MMoE, renamed(sparse), **_MIXTURE[1]))


def test_ple_with_one_level_is_cgc():
    ple_ = made(PLE, **_CGC[1], levels=1)
    assert_equal(ple_, loaded(CGC, renamed(ple_, top="extraction"), **_CGC[1]))


@pytest.mark.parametrize(("own_gates", "model"), [(True, MMoE), (False, OMoE)])
def test_one_layer_of_mixtures_is_mmoe_or_omoe(own_gates, model):
    stacked = made(StackedMoE, **_MIXTURE[1], levels=1, own_gates=own_gates)
    state = {name.replace("experts.0", "experts").replace("gate.0", "gate"): v for name, v in renamed(stacked).items()}
    assert_equal(stacked, loaded(model, state, **_MIXTURE[1]))


def test_a_mixture_of_one_predictor_is_single_task():
    one = made(MoE, experts=1, expert=[7, 4])
    names = {"experts.layers.0": "bottoms.layers.0", "experts.layers.1": "towers.hidden.layers.0"}
    names["output"] = "towers.output"
    state = {}
    for name, value in one.state_dict().items():
        for before, after in names.items():
            if name.startswith(before):
                state[name.replace(before, after)] = value
    assert_equal(one, loaded(SingleTask, state, **_BOTTOM[0]))


def test_tucker_at_full_rank_can_be_single_task():
    single = made(SingleTask, **_BOTTOM[1])
    factored = made(TensorFactorization, **_BOTTOM[1], ranks=[99, 99, 99])
    layers = [*single.bottoms.layers, *single.towers.hidden.layers, single.towers.output]
    with torch.no_grad():
        for mine, its in zip([*factored.layers, factored.output], layers, strict=True):
            mine.weight.copy_(its.weight)
            mine.bias.copy_(its.bias)
            for factor in mine.factors:
                factor.copy_(torch.eye(len(factor)))
    assert_equal(single, factored)


def trained(alpha, equal, steps):
    """Two networks on two tasks of noise-free linear labels, trained as anybody would."""
    torch.manual_seed(3)
    one = built(L2Constrained, 6, 2, **_BOTTOM[0], alpha=alpha).double()
    true = torch.randn(6, 2, dtype=torch.float64)
    if equal:
        true[:, 1] = true[:, 0]
        with torch.no_grad():
            for value in one.parameters():
                value[1] = value[0]
    optimizer = torch.optim.Adam(one.parameters(), lr=0.01)
    for _ in range(steps):
        x = torch.randn(32, 6, dtype=torch.float64)
        loss = (one(x) - x @ true).square().mean(0).sum() + one.penalty(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return one


def test_equal_networks_of_equal_tasks_stay_equal():
    one = trained(alpha=0.01, equal=True, steps=50)
    assert all(torch.allclose(value[0], value[1], rtol=1e-9) for value in one.parameters())


def test_the_distance_of_the_networks_falls_as_its_price_grows():
    distances = [trained(alpha, equal=False, steps=300).distance().item() for alpha in (0.0, 0.01, 0.1, 1.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0] / 100


def test_the_distance_is_over_all_pairs_and_parameters():
    one = made(L2Constrained, **_BOTTOM[0], alpha=0.5)
    p, expected = parameters(one), 0.0
    for value in p.values():
        for k, j in ((0, 1), (0, 2), (1, 2)):
            expected += ((value[k] - value[j]) ** 2).sum()
    assert one.penalty(examples()).item() == pytest.approx(0.5 * expected)


# -- defaults, size and start ----------------------------------------------------------------------


def test_no_constructor_has_a_default():
    """Else a model made in Python could differ from its option."""
    modules = [import_module(f"{models.__name__}.{module.name}") for module in pkgutil.iter_modules(models.__path__)]
    classes = {
        one
        for module in modules
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, torch.nn.Module) and one.__module__.startswith(models.__name__)
    }
    assert classes > set(MODELS) and len(classes) == len(MODELS) + 6
    for one in classes:
        stated = {p.name for p in inspect.signature(one).parameters.values() if p.default is not p.empty}
        assert not stated, one
    with pytest.raises(TypeError, match="missing"):
        MMoE(100, 2, 8, [16], [8], False, "relu")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("key", ["bias", "activation", "initializer", "gain", "output_gain", "gate_gain"])
def test_what_all_architectures_share_is_asked_of_each(model, key):
    given = {**SETTINGS[model][0], **CUSTOMARY}
    for own in ("alpha", "same", "noisy", "w_importance", "w_load", "own_gates"):
        if own in inspect.signature(model).parameters:
            given.setdefault(own, 0.5)
    del given[key]
    with pytest.raises(TypeError, match=key):
        model(6, 3, **given)


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        (SharedBottom, (100 + 2 * 8) * 113),
        (OMoE, 8 * 100 * 16 + 2 * 16 * 8),
        (MMoE, 8 * 100 * 16 + 2 * 16 * 8),
        (SparseMoE, 8 * 100 * 16 + 2 * 16 * 8),
        (CGC, 8 * 100 * 16 + 2 * 16 * 8),
        (SingleTask, 2 * (100 + 8) * 60),
        (L2Constrained, 2 * (100 + 8) * 60),
        (CrossStitch, 2 * (100 + 8) * 60 + 2 * 2),
        (MoE, 2 * 4 * 100 * 16),
        (StackedMoE, 8 * (100 + 14) * 14 + 2 * 14 * 8),
        (PLE, 8 * (100 + 14) * 14 + 2 * 14 * 8),
        (
            TensorFactorization,
            (32 * 32 * 2 + 100 * 32 + 113 * 32 + 2 * 2) + (32 * 8 * 2 + 113 * 32 + 8 * 8 + 2 * 2),
        ),
    ],
)
def test_weights_are_counted_as_the_paper_counts(model, weights):
    assert count_weights(built(model, 100, 2)) == weights
    assert count_weights(built(model, 100, 2, bias=False)) == weights
    assert weights == pytest.approx(13_056, rel=0.02)


def test_weights_by_part_are_all_parameters():
    for model in MODELS:
        one = built(model, 100, 2)
        assert sum(weights_by_part(one).values()) == sum(value.numel() for value in one.parameters())
    parts = weights_by_part(built(SparseMoE, 100, 2))
    assert parts == {"experts": 12_800, "towers": 256, "gates": 3_200, "outputs": 16, "biases": 128 + 16 + 2}


def test_tucker_weights_start_with_the_variance_of_one_tasks_matrix():
    torch.manual_seed(1)
    layer = built(TensorFactorization, 100, 2, bottom=[120], ranks=[30, 30, 1]).layers[0]
    of_inputs, of_outputs, of_tasks = layer.factors
    weight = torch.einsum("cba,ia,ob,kc->koi", layer.weight, of_inputs, of_outputs, of_tasks)
    # A core of 900 numbers: the relative standard error of the variance is some 5 %.
    assert weight.var().item() == pytest.approx(2 / (100 + 120), rel=0.2)


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
    model = built(MMoE, 100, 2, experts=100, expert=[16], initializer=initializer, gain=gain)
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
    ours = built(SharedBottom, 100, 2, bottom=[4000], initializer="torch").bottom.layers[0]
    theirs = torch.nn.Linear(100, 4000)
    assert ours.weight.abs().max().item() == pytest.approx(theirs.weight.abs().max().item(), rel=0.01)
    assert ours.bias.abs().max().item() == pytest.approx(theirs.bias.abs().max().item(), rel=0.01)


def test_an_unknown_initializer_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'glorot_uniform'"):
        built(MMoE, 6, 2, initializer="glorot")
    for gain in ("gain", "output_gain", "gate_gain"):
        with pytest.raises(UsageError, match=rf"model\.{gain}=-1"):
            built(MMoE, 6, 2, **{gain: -1})


@pytest.mark.parametrize("model", MODELS)
def test_gains_of_output_layers_and_gates_multiply_these_alone(model):
    def start(**gains):
        torch.manual_seed(3)
        return dict(built(model, 6, 3, **SETTINGS[model][1], bias=False, gain=2.0, **gains).named_parameters())

    plain, changed = start(), start(output_gain=5.0, gate_gain=0.25)
    # By name, since the architectures call their layers so; a Tucker output has its core as its weight.
    factors = {"output": 5.0, "gate": 0.25}
    found = set()
    for name, value in plain.items():
        kind = "gate" if "gate" in name else "output" if "output" in name and "factors" not in name else ""
        torch.testing.assert_close(changed[name], factors.get(kind, 1.0) * value)
        found.add(kind)
    assert "output" in found and ("gate" in found) == (model in WITH_GATES)
