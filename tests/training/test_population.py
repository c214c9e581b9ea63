"""A population is its runs trained one at a time by an ordinary PyTorch loop."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import adam, batches, built, ordinary_loop, training

from mmoe_repro.compiler import can_compile
from mmoe_repro.data.streams import Streams
from mmoe_repro.data.synthetic import SyntheticLaw
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
)
from mmoe_repro.training.population import Population, Seed, build_model

LAW = SyntheticLaw(
    dimension=20,
    c=0.6,
    alpha=(3.0, -5.0),
    beta=(0.5, 2.0),
    noise_variance=0.01,
    label_variance=0.45,
    correlation=0.5,
    examples=None,
    tasks=2,
)
SEEDS = [Seed(seed, seed) for seed in (3, 4, 5, 6, 7)]


def train(population):
    while not population.finished:
        population.advance()
    return population


def small(model):
    return lambda: built(model, 20, LAW.tasks)


without_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
without_compiler = pytest.mark.skipif(not can_compile("cpu"), reason="there is no C++ compiler")
compiling = [without_compiler, pytest.mark.slow]
both_ways = pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=compiling)], ids=["traced", "compiled"]
)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=without_gpu)])
@both_ways
@pytest.mark.parametrize("model", [SharedBottom, MMoE, pytest.param(SparseMoE, marks=pytest.mark.slow)])
def test_five_runs_equal_five_ordinary_loops(model, compiled, device):
    # Blocks of 32 steps, and a last one of 8: a GPU takes the first as they come and replays those after it.
    how = training(steps=200, batch_size=64, window=1, device=device)
    population = Population(small(model), LAW, how, SEEDS, torch.float64, compiled=compiled)
    population._streams = Streams(LAW, [seed.data for seed in SEEDS], 32 * 64, torch.float64)  # the CPU's examples
    together = train(population).curves()
    for run, seed in enumerate(SEEDS):
        alone, _ = ordinary_loop(small(model), LAW, how, seed)
        np.testing.assert_allclose(together[run], alone, rtol=1e-6)


@pytest.mark.parametrize(
    "model", [CGC, PLE, CrossStitch, L2Constrained, MoE, OMoE, SingleTask, StackedMoE, TensorFactorization]
)
def test_every_other_architecture_trains_as_in_an_ordinary_loop(model):
    how = training(steps=60, batch_size=16, window=1)
    together = train(Population(small(model), LAW, how, SEEDS[:2], torch.float64)).curves()
    alone, _ = ordinary_loop(small(model), LAW, how, SEEDS[1])
    np.testing.assert_allclose(together[1], alone, rtol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "compiled"),
    [
        (adam(betas=[0.8, 0.95], eps=1e-4), False),
        (adam(weight_decay=0.1), False),
        (adam(weight_decay=0.1, decoupled_weight_decay=True), False),
        (adam(amsgrad=True), False),
        pytest.param(adam(betas=[0.8, 0.95], weight_decay=0.1, amsgrad=True), True, marks=compiling),
    ],
    ids=lambda value: str(value).replace("Adam", ""),
)
def test_every_setting_of_adam_is_that_of_torch(optimizer, compiled):
    how = training(steps=60, batch_size=8, window=1, optimizer=optimizer)
    together = train(Population(small(MMoE), LAW, how, SEEDS[:2], torch.float64, compiled)).curves()
    alone, _ = ordinary_loop(small(MMoE), LAW, how, SEEDS[1])
    np.testing.assert_allclose(together[1], alone, rtol=1e-6)


@pytest.mark.parametrize("decay", [False, True])
def test_the_learning_rate_warms_up_as_with_torchs_schedule(decay):
    optimizer = adam(weight_decay=0.1, decoupled_weight_decay=True) if decay else adam()
    how = training(steps=40, batch_size=8, window=1, warmup=25, optimizer=optimizer)
    together = train(Population(small(SharedBottom), LAW, how, SEEDS[:2], torch.float64)).curves()
    alone, _ = ordinary_loop(small(SharedBottom), LAW, how, SEEDS[1])
    np.testing.assert_allclose(together[1], alone, rtol=1e-6)


@pytest.mark.parametrize("window", [3, 30, 90])
def test_windows_hold_the_mean_of_their_steps(window):
    # Twenty batches of a hundred are drawn ahead: windows shorter, longer, and across them.
    how = training(steps=90, batch_size=100, window=window)
    population = Population(small(OMoE), LAW, how, SEEDS[:2], torch.float64)
    assert population.advance() == 20
    assert population.curves().shape == (2, 20 // window, 2)
    curves = train(population).curves()
    alone, _ = ordinary_loop(small(OMoE), LAW, how, SEEDS[0])
    np.testing.assert_allclose(curves[0], alone.reshape(-1, window, 2).mean(1), rtol=1e-6)


def test_a_finite_training_set_is_passed_over_again_and_again():
    law = replace(LAW, label_variance=None, examples=50)
    how = training(steps=80, batch_size=16, window=1)
    together = train(Population(small(MMoE), law, how, SEEDS[:2], torch.float64)).curves()
    alone, _ = ordinary_loop(small(MMoE), law, how, SEEDS[1])
    np.testing.assert_allclose(together[1], alone, rtol=1e-6)


def test_evaluation_is_that_of_the_single_model():
    how = training(steps=100, batch_size=16)
    population = train(Population(small(MMoE), LAW, how, SEEDS[:2], torch.float64))
    evaluation = population.evaluate()
    _, model = ordinary_loop(small(MMoE), LAW, how, SEEDS[1])
    x, y = Streams(LAW, [SEEDS[1].data], 16, torch.float64).test_set(0)
    with torch.no_grad():
        predictions, units = model(x), model.hidden(x)
    np.testing.assert_allclose(evaluation.loss[1], (predictions - y).square().mean(0), rtol=1e-6)
    np.testing.assert_allclose(evaluation.prediction_sd[1], predictions.numpy().std(0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(evaluation.dead_units[1], (units == 0).all(0).double().mean(-1))


def test_a_dead_tower_is_stuck_at_the_label_variance():
    population = Population(small(SharedBottom), LAW, training(steps=100), SEEDS[:2])
    population._state.parameters["towers.hidden.layers.0.weight"][0, 1] = 0
    population._state.parameters["towers.hidden.layers.0.bias"][0, 1] = -1
    evaluation = population.evaluate()
    assert evaluation.prediction_sd[0, 1] == 0
    assert evaluation.dead_units[0].tolist()[1] == 1
    # 10,000 labels of variance 0.45: the standard error of their variance is 0.0064.
    assert evaluation.loss[0, 1] == pytest.approx(0.45, abs=4 * 0.0064)
    assert evaluation.prediction_sd[0, 0] > 0.01


def test_a_run_that_diverges_leaves_the_others_alone():
    def run(poison):
        population = Population(small(MMoE), LAW, training(steps=100, window=10), SEEDS[:3])
        if poison:
            population._state.parameters["experts.layers.0.weight"][1] = torch.nan
        return train(population).curves()

    healthy, poisoned = run(False), run(True)
    assert np.isnan(poisoned[1]).all()
    np.testing.assert_array_equal(poisoned[[0, 2]], healthy[[0, 2]])


@both_ways
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=without_gpu)])
@pytest.mark.parametrize("law", [LAW, replace(LAW, examples=1000)], ids=["fresh", "finite"])
def test_a_population_goes_on_to_the_bit_from_its_state(law, device, compiled):
    def untrained():
        return Population(small(MMoE), law, how, SEEDS, compiled=compiled)

    how = training(steps=192, batch_size=32, window=8, device=device)
    whole, first = train(untrained()), untrained()
    first.advance()
    first.advance()
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second = untrained()
    second.load_state_dict(torch.load(buffer))
    assert 0 < second.step < 192
    np.testing.assert_array_equal(train(second).curves(), whole.curves())
    np.testing.assert_array_equal(second.evaluate().loss, whole.evaluate().loss)


def test_a_run_does_not_depend_on_its_neighbours():
    how = training(steps=64, window=1)
    pair = train(Population(small(OMoE), LAW, how, SEEDS[:2], torch.float64)).curves()
    other = train(Population(small(OMoE), LAW, how, [SEEDS[0], SEEDS[4]], torch.float64)).curves()
    np.testing.assert_array_equal(pair[0], other[0])
    assert not np.allclose(pair[1], other[1])


def test_the_global_generator_is_left_as_it_was():
    before = torch.random.get_rng_state()
    build_model(small(MMoE), 3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_data_seed_and_init_seed_are_separate():
    how = training(steps=32, window=32)
    same_init = Population(small(MMoE), LAW, how, [Seed(1, 9), Seed(2, 9)])
    first, second = (same_init._state.parameters["gate.weight"][run] for run in range(2))
    assert torch.equal(first, second)
    same_init.advance()
    first, second = same_init._block.inputs[0]
    assert not torch.equal(first, second)


class _Own(torch.nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.linear = torch.nn.Linear(20, 2)
        self.scale = scale

    def forward(self, x):
        return self.linear(x) * x.new_tensor([self.scale])


@pytest.mark.slow
@without_compiler
def test_compiled_models_that_differ_in_a_constant_are_told_apart():
    def first_losses(scale, compiled):
        population = Population(lambda: _Own(scale), LAW, training(steps=32, window=32), SEEDS[:2], compiled=compiled)
        return train(population).curves()

    for scale in (1.0, 3.0):
        np.testing.assert_allclose(first_losses(scale, True), first_losses(scale, False), rtol=1e-5)


def test_frozen_parameters_stay():
    def build():
        model = _Own()
        model.linear.bias.requires_grad_(False)
        return model

    population = Population(build, LAW, training(steps=32, window=32), SEEDS[:2])
    before = {name: value.clone() for name, value in population._state.fixed.items()}
    assert list(before) == ["linear.bias"]
    train(population)
    assert torch.equal(population._state.fixed["linear.bias"], before["linear.bias"])


def test_a_penalty_is_added_to_the_loss():
    class Shrunk(_Own):
        def penalty(self, x):
            return 0.5 * self.linear.weight.square().sum()

    decayed = training(steps=64, batch_size=32, window=32, optimizer=adam(eps=1e-4))
    penalised = train(Population(Shrunk, LAW, decayed, SEEDS[:2], torch.float64))
    # The gradient of half the squared norm is the weight itself: Adam's weight decay, on the weights alone.
    model, stream = build_model(Shrunk, SEEDS[1].init).double(), batches(LAW, SEEDS[1], 32)
    optimizer = torch.optim.Adam(
        [{"params": [model.linear.weight], "weight_decay": 1.0}, {"params": [model.linear.bias]}], lr=0.01, eps=1e-4
    )
    for _ in range(64):
        x, y = next(stream)
        optimizer.zero_grad()
        (model(x) - y).square().mean(0).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(penalised._state.parameters["linear.weight"][1], model.linear.weight.detach(), rtol=1e-6)


def test_state_that_cannot_be_stacked_is_refused_with_the_fix():
    class PlainTensor(_Own):
        def __init__(self):
            super().__init__()
            self.mask = torch.rand(20)

    class RunningStatistics(_Own):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(20)

        def forward(self, x):
            return super().forward(self.norm(x))

    with pytest.raises(UsageError, match=r"PlainTensor\.mask is a plain tensor; make it a buffer"):
        Population(PlainTensor, LAW, training(), SEEDS[:2])
    with pytest.raises(UsageError, match=r"norm\.\w+ changes in forward"):
        Population(RunningStatistics, LAW, training(), SEEDS[:2])


def test_a_layer_called_hidden_is_not_taken_for_the_method():
    class Named(_Own):
        def __init__(self):
            super().__init__()
            self.hidden = torch.nn.Linear(2, 2)

        def forward(self, x):
            return self.hidden(super().forward(x))

    assert np.isnan(Population(Named, LAW, training(), SEEDS[:2]).evaluate().dead_units).all()
