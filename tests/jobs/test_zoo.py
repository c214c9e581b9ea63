"""Every model of the zoo is refused with its reason before training, or trains as in an ordinary loop."""

import re
from functools import cache

import numpy as np
import pytest
import torch
import zoo
from helpers import cell_of, one_in, ordinary_loop, training

from mmoe_repro.data.law import make_law
from mmoe_repro.errors import UsageError
from mmoe_repro.jobs.checks import check_model, check_own_model
from mmoe_repro.settings.cell import Cell, Option
from mmoe_repro.training.population import Population, Seed

SEEDS = [Seed(seed, seed) for seed in (3, 4, 5)]
HOW = training(steps=10, batch_size=8, window=1)


def made(kind, name):
    """What a `_target_` of the zoo leads to."""
    model = zoo.TRAINED[name] if kind == "TRAINED" else zoo.REFUSED[name][0]
    return model()


@cache
def law_of_the_zoo():
    return cell_of("data.correlation=0.5", f"data.dimension={zoo.FEATURES}").data


def cell(kind, name):
    data = law_of_the_zoo()
    settings = {"_target_": f"{__name__}.made", "kind": kind, "name": name}
    return Cell(model=Option("net", settings), data=data, training=HOW)


def check(one):
    law = make_law("law", one.data.settings)
    check_model(one, law)
    check_own_model(one, law, range(3))
    return law


@pytest.mark.parametrize("name", one_in(6, zoo.TRAINED))
def test_it_trains_as_in_an_ordinary_loop(name):
    law = check(cell("TRAINED", name))
    model = zoo.TRAINED[name]
    together = Population(model, law, HOW, SEEDS, torch.float64)
    while not together.finished:
        together.advance()
    for run, seed in enumerate(SEEDS):
        alone, _ = ordinary_loop(model, law, HOW, seed)
        np.testing.assert_allclose(together.curves()[run], alone, rtol=1e-6)


@pytest.mark.parametrize("name", zoo.REFUSED)
def test_it_is_refused_with_its_reason(name):
    with pytest.raises(UsageError) as refused:
        check(cell("REFUSED", name))
    message = str(refused.value)
    assert message.startswith("model=net: ") and re.search(zoo.REFUSED[name][1], message), message
    assert len(message.splitlines()) == 1 and len(message) < 320


def test_the_zoo_is_large():
    assert len(zoo.TRAINED) >= 40 and len(zoo.REFUSED) >= 30
