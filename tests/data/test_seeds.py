"""Random streams that a seed fixes, whichever generator a user's own code draws from."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import training

from mmoe_repro.data.law import make_law
from mmoe_repro.data.normals import UNIT
from mmoe_repro.data.seeds import seeded
from mmoe_repro.data.streams import Streams
from mmoe_repro.training.population import Population, Seed, build_model

DRAWS = {
    "torch": lambda: torch.rand(()).item(),
    "numpy": lambda: float(np.random.rand()),
    "python": random.random,
}
everywhere = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


@everywhere
def test_a_seed_fixes_every_global_generator_and_leaves_it_as_it_was(draw):
    def drawn(seed, purpose):
        with seeded(seed, purpose):
            return draw()

    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    undisturbed = [draw(), draw()]
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    first = draw()
    assert drawn(3, "init") == drawn(3, "init")
    assert len({drawn(3, "init"), drawn(4, "init"), drawn(3, "law")}) == 3
    assert [first, draw()] == undisturbed


def test_the_generators_are_left_as_they_were_by_code_that_fails():
    before = random.getstate(), np.random.get_state()[2], torch.random.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(3, "init"):
        raise ZeroDivisionError
    assert (random.getstate(), np.random.get_state()[2]) == before[:2]
    assert torch.equal(torch.random.get_rng_state(), before[2])


class Drawn(torch.nn.Module):
    """A model whose initial weights come from a generator of one's choice."""

    def __init__(self, draw):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor([[draw() for _ in range(2)] for _ in range(4)]))

    def forward(self, x):
        return x @ self.weights


class DrawnLaw:
    """A law whose constant and whose weights come from a generator of one's choice."""

    dimension, tasks, examples, normals = 4, 2, None, (4,)

    def __init__(self, generator):
        self.draw_number = DRAWS[generator]
        self.constant = self.draw_number()

    def weights(self, generator, dtype):
        return torch.tensor([[self.draw_number() for _ in range(2)] for _ in range(4)], dtype=dtype)

    def draw(self, weights, x):
        return x, x @ weights + self.constant


@everywhere
def test_initial_weights_follow_the_seed(draw):
    first, again, other = (build_model(lambda: Drawn(draw), seed).weights for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("generator", DRAWS)
def test_a_law_is_the_same_each_time_and_its_weights_follow_the_data_seed(generator):
    settings = {"_target_": f"{__name__}.DrawnLaw", "generator": generator}
    laws = [make_law("mine", settings) for _ in range(2)]
    assert laws[0].constant == laws[1].constant
    labels = [Streams(law, [3, 4], UNIT).take()[1] for law in laws]
    assert torch.equal(*labels) and not torch.equal(*labels[0])


def test_runs_of_a_population_follow_their_own_seeds():
    law = make_law("mine", {"_target_": f"{__name__}.DrawnLaw", "generator": "torch"})
    how = replace(training(steps=16, window=16), batch_size=16)
    population = Population(lambda: Drawn(DRAWS["numpy"]), law, how, [Seed(0, 3), Seed(0, 4), Seed(0, 3)])
    first, second, third = population._state.parameters["weights"]
    assert torch.equal(first, third) and not torch.equal(first, second)
