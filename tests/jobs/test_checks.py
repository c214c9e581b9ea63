"""What is refused before any work: a user's own laws, and models in the shapes in which they are trained."""

import numpy as np
import pytest
import torch
import zoo
from helpers import cell_of, training

from mmoe_repro.data.law import make_law
from mmoe_repro.errors import UsageError
from mmoe_repro.jobs import checks
from mmoe_repro.jobs.checks import check_law, check_model, check_own_law, check_own_model
from mmoe_repro.settings.cell import Cell, Option
from mmoe_repro.training import chunk


class Good:
    dimension, tasks, examples, normals = 4, 2, None, (4,)

    def weights(self, generator, dtype):
        return torch.randn(4, 2, generator=generator, dtype=dtype)

    def draw(self, weights, x):
        return x, x @ weights


class FromNumPy(Good):
    def weights(self, generator, dtype):
        return torch.from_numpy(np.random.randn(4, 2)).to(dtype)


class Stored(Good):
    def draw(self, weights, x):
        self.seen = x
        return super().draw(weights, x)


class Drifting(Good):
    shift = 0.0

    def draw(self, weights, x):
        self.shift += 0.1
        return x, x @ weights + self.shift


class LeftByWeights(Good):
    left = torch.zeros(4, 2)

    def weights(self, generator, dtype):
        self.left = super().weights(generator, dtype)
        return self.left

    def draw(self, weights, x):
        return x, x @ self.left


class NoiseOfItsOwn(Good):
    def draw(self, weights, x):
        return x, x @ weights + float(np.random.randn())


@pytest.mark.parametrize("law", [Good, FromNumPy, Stored])
def test_a_law_that_is_a_function_of_its_weights_and_numbers_passes(law):
    settings = {"_target_": f"{law.__module__}.{law.__name__}"}
    check_law("mine", make_law("mine", settings))
    check_own_law("mine", settings)


@pytest.mark.parametrize(
    ("law", "says"),
    [
        (Drifting, r"Drifting\.shift changes in draw, and decides what the next call gives"),
        (LeftByWeights, "draw depends on what weights left in the law"),
        (NoiseOfItsOwn, "draw draws random numbers of its own; let normals say how many it takes"),
    ],
)
def test_a_law_that_is_more_is_refused(law, says):
    with pytest.raises(UsageError, match=f"^data=mine: {says}"):
        check_own_law("mine", {"_target_": f"{law.__module__}.{law.__name__}"})


def check(model, **changes):
    data = cell_of("data.correlation=0.5", f"data.dimension={zoo.FEATURES}").data
    how = training(**{"steps": 10, "batch_size": 8, "window": 1, **changes})
    one = Cell(model=Option("net", {"_target_": f"zoo.{model}"}), data=data, training=how)
    law = make_law("law", data.settings)
    check_model(one, law)
    check_own_model(one, law, range(13, 15))


def test_a_model_is_tried_with_the_batch_that_it_will_get():
    check("Normalised")
    with pytest.raises(UsageError, match=r"^model=net: cannot be trained.*more than 1 value"):
        check("Normalised", batch_size=1)


def test_a_run_that_alone_is_different_is_found_in_its_chunk():
    with pytest.raises(UsageError, match=r"SeldomScaled\.scale is not the same in every run"):
        check("SeldomScaled")


@pytest.mark.slow
def test_a_model_is_tried_compiled_if_it_will_be(monkeypatch):
    tried = []
    original = checks.population
    monkeypatch.setattr(chunk, "can_compile", lambda device: True)

    def population(cell, seeds, compiled=False, **more):
        tried.append((len(seeds), compiled))
        return original(cell, seeds, **more)

    monkeypatch.setattr(checks, "population", population)
    check("Einsum", steps=2000, window=100)
    check("Einsum")
    assert tried == [(2, False), (10, True), (2, False), (10, False)]


@pytest.mark.parametrize(
    ("setting", "size"),
    [("training.batch_size=1000000000000", r" \(400,000 GB at once\)"), (f"data.examples={10**18}", "")],
)
def test_what_no_memory_holds_is_refused_in_words(setting, size):
    cell = cell_of("model=mmoe", "data.correlation=0.5", setting)
    law = make_law(cell.data.name, cell.data.settings)
    with pytest.raises(UsageError, match=f": needs more memory than there is{size}$"):
        check_law(cell.data.name, law)
        check_model(cell, law)


@pytest.mark.parametrize("setting", ["model.tasks=-7", "model.features=3"])
def test_a_models_features_and_tasks_are_the_laws(setting):
    cell = cell_of("model=mmoe", "data.correlation=0.5", setting)
    with pytest.raises(UsageError, match=f"^{setting}: must be [0-9]+, as data=recovered has; leave it out$"):
        check_model(cell, make_law(cell.data.name, cell.data.settings))
