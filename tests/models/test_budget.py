"""Any architecture at any number of weights, within 2 %, or a clear refusal."""

import pytest
import torch
from helpers import cell_of, one_in
from hydra.utils import instantiate

from mmoe_repro.errors import UsageError
from mmoe_repro.models import count_weights
from mmoe_repro.models.budget import fit_widths
from mmoe_repro.settings.schema import folder

OPTIONS = sorted(path.stem for path in (folder() / "model").glob("*.yaml"))
OWN = {"_target_": f"{__name__}.Own", "first": 1, "second": 1, "deep": [2, 4]}


class Own(torch.nn.Module):
    """100 weights for each of `first`, 30 for each of `second`, one for each unit of `deep`."""

    def __init__(self, first, second, deep):
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(100, first))
        self.b = torch.nn.Parameter(torch.zeros(30, second))
        self.c = torch.nn.ParameterList(torch.zeros(width) for width in deep)
        self.bias = torch.nn.Parameter(torch.zeros(999))


def settings(*overrides):
    return cell_of(*overrides).model.settings


@pytest.mark.parametrize("weights", one_in(2, [13_056, 60_000]))
@pytest.mark.parametrize("option", OPTIONS)
def test_every_architecture_can_be_sized(option, weights):
    sized = settings(f"model={option}", f"model.weights={weights}")
    assert not {"weights", "gives_way"} & set(sized)
    assert count_weights(instantiate(sized)) == pytest.approx(weights, rel=0.02)


@pytest.mark.parametrize("option", ["shared_bottom", "omoe", "mmoe"])
def test_the_papers_sizes_are_those_of_its_budget(option):
    assert settings(f"model={option}", "model.weights=13056") == settings(f"model={option}")


@pytest.mark.parametrize(
    ("weights", "widths"),
    [
        (1_036, {"first": 10}),  # exactly
        (1_055, {"first": 10}),  # within 2 %
        (5_100, {"first": 51}),  # 5,136 is nearer than 5,036
        (265, {"first": 2, "second": 2}),  # 236 and 336 are too far off, 266 is not
    ],
)
def test_the_second_width_makes_up_for_what_the_first_leaves(weights, widths):
    assert fit_widths(OWN, weights, ["first", "second"]) == {**OWN, **widths}


def test_a_list_of_widths_keeps_its_proportions():
    assert fit_widths(OWN, 130 + 3 * 50, ["deep"])["deep"] == [50, 100]


@pytest.mark.parametrize(
    ("weights", "gives_way", "says"),
    [
        (0, ["first"], "model.weights=0: must be at least 1"),
        (100, [], "does not name the width that gives way"),
        (100, ["third"], "has no width 'third'"),
        (10, ["first", "second"], "nearest: 136 at first=1, second=1"),
        (380, ["first", "second"], "nearest: 366 at first=3, second=2"),
    ],
)
def test_what_cannot_be_met_is_refused(weights, gives_way, says):
    with pytest.raises(UsageError, match=says):
        fit_widths(OWN, weights, gives_way)


def test_a_width_without_effect_is_refused():
    with pytest.raises(UsageError, match=r"model\.dropped does not change how many weights there are"):
        fit_widths({"_target_": f"{__name__}.Constant", "dropped": 1}, 100, ["dropped"])


class Constant(torch.nn.Module):
    def __init__(self, dropped):
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(3))


def test_the_global_generator_is_left_as_it_was():
    before = torch.random.get_rng_state()
    settings("model=ple", "model.weights=20000")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.slow
def test_swept_budgets_have_a_column(run, tmp_path):
    import pandas as pd
    from helpers import SMALL

    outcome = run("sweep", "model=mmoe", "model.weights=3000,6000", "data.correlation=0.5", *SMALL)
    assert outcome.status == 0, outcome.err
    assert set(pd.read_parquet(tmp_path / "results/sweep/runs.parquet")["model.weights"]) == {3000, 6000}
    outcome = run("sweep", "model=mmoe", "model.weights=100", "data.correlation=0.5", *SMALL)
    assert outcome.status == 2
    assert outcome.err.startswith("mmoe-repro: model.weights=100: mmoe_repro.models.MMoE cannot have as many within 2%")
