"""The figures say what they show: titles, axes, series, the paper's numbers where it has them."""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import made_up_sweep, swept_cell, swept_cells
from hypothesis import Phase, example, given, settings
from strategies import any_losses

from mmoe_repro import paper
from mmoe_repro.findings.sweep_findings import find
from mmoe_repro.names import NAMES
from mmoe_repro.settings.schema import folder as conf
from mmoe_repro.views import matplotlib_renderer, page, svg_renderer
from mmoe_repro.views.figures import joint_outcomes, pictures_of
from mmoe_repro.views.panels import Bars, Points, in_files
from mmoe_repro.views.style import series_of, style_of
from mmoe_repro.views.tables import losses_text, verdicts_text

CLAIMS = yaml.safe_load((conf() / "claims/paper.yaml").read_text())


class Drawn(Mapping[str, str]):
    """The text of each SVG file, drawn when it is looked at."""

    def __init__(self, pictures):
        self._files = {name: one for of, picture in pictures.items() for name, one in in_files(of, picture).items()}

    def __getitem__(self, name):
        of_files = matplotlib_renderer.contents(self._files[name], "")
        assert len(of_files[".png"]) > 5000
        return of_files[".svg"].decode()

    def __iter__(self):
        return iter(self._files)

    def __len__(self):
        return len(self._files)


def drawn(swept, runs=12, steps=(0, 5000, 9900), losses=None, paper_loss=1.0):
    """The figures of a sweep of made-up losses."""
    generator = np.random.default_rng(0)
    of_cells = [generator.uniform(0.05, 0.3, runs) if losses is None else losses[:runs] for _ in swept]
    return Drawn(pictures_of(find(made_up_sweep(swept, of_cells, steps, paper_loss), CLAIMS)))


MODELS = ["shared_bottom", "omoe", "mmoe"]


def test_every_figure_names_its_models_axes_and_the_paper():
    texts = dict(drawn(swept_cells(MODELS, [0.5, 0.9, 1.0])))
    assert set(texts) == {"curves", "histograms", "spread", "correlation", "gates"}
    assert "Shared-Bottom" not in texts.pop("gates")
    for text in texts.values():
        assert all(name in text for name in ("Shared-Bottom", "OMoE", "MMoE"))
    for correlation in ("0.5", "0.9", "1"):
        assert f"task correlation {correlation}<" in texts["curves"]
    # Once in the legend for each model, however many panels have it.
    assert texts["curves"].count("paper's Figure 4") + texts["curves"].count("paper&apos;s Figure 4") == 3
    assert "Figure 5" in texts["histograms"]
    assert "95 % bootstrap interval" in texts["spread"] and "95 % bootstrap interval" in texts["correlation"]


def test_the_papers_outline_is_explained_in_whichever_panel_it_stands():
    texts = drawn(swept_cells(["mmoe", "omoe"], [0.2, 0.5, 0.8]))
    assert "Figure 5" in texts["histograms"] and "Figure 4" in texts["curves"]
    assert "Figure 5" not in drawn(swept_cells(["mmoe"], [0.2]))["histograms"]


def test_the_papers_losses_are_drawn_as_squared_errors():
    texts = drawn(swept_cells(["mmoe"], [0.5]), paper_loss=0.5)
    assert "Figure 4 × 2" in texts["curves"] and "Figure 5 × 2" in texts["histograms"]
    (halved, shares), (whole, same) = (paper.histogram("figure4", "mmoe", 0.5, each) for each in (0.5, 1.0))
    assert (halved == 2 * whole).all() and (shares == same).all()
    assert whole[1] == pytest.approx(paper.table("figure5")["bin_left"][1], abs=0.0001), "whose table has four digits"
    halved, whole = (paper.mean_curve("figure4", "mmoe", 0.5, each)["mean_loss"] for each in (0.5, 1.0))
    assert (halved == 2 * whole).all() and set(whole) < set(paper.table("figure4")["mean_loss"])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("correlation", [0.5, 1.0])
def test_figure_5_holds_every_run_in_bins_that_do_not_overlap(model, correlation):
    edges, shares = paper.histogram("figure4", model, correlation)
    np.testing.assert_allclose(np.diff(edges), 1 / 30, atol=1e-4)
    assert shares.sum() == pytest.approx(1)


def test_the_small_network_has_figure_3_beside_it():
    texts = drawn(swept_cells(["shared_bottom"], [0.5], bottom=[16]))
    assert "Figure 3" in texts["curves"] and "Figure 4" not in texts["curves"]
    assert "Figure 5" not in texts["histograms"]


def test_one_run_has_no_spread_and_the_figure_says_so():
    texts = drawn(swept_cells(["mmoe"], [0.5]), runs=1)
    assert "needs two runs or more" in texts["spread"]
    assert "needs two runs or more" not in texts["correlation"]


@pytest.mark.parametrize("correlations", [[-1.0, 0.0], [0.0], [0.3]])
def test_any_correlation_can_be_drawn(correlations):
    assert f"{correlations[0]:g}" in drawn(swept_cells(["mmoe"], correlations))["correlation"].replace("−", "-")


def test_diverged_runs_are_left_out():
    texts = drawn(swept_cells(["mmoe"], [0.5]), runs=3, losses=[0.1, 0.2, np.nan])
    assert "MMoE" in texts["curves"]
    all_gone = drawn(swept_cells(["mmoe"], [0.5]), runs=2, losses=[np.nan, np.nan])
    assert "needs two runs or more" in all_gone["correlation"]


@pytest.mark.slow
def test_twelve_models_have_a_panel_or_a_row_each():
    names = {"my_net": "my_net", **NAMES}
    texts = drawn(swept_cells(list(names), [0.0, 0.5, 0.9, 1.0]), runs=4)
    for figure in ("curves", "spread", "correlation"):
        for name in names.values():
            assert texts[figure].count(f">{name}<") == 1, (figure, name)
        for correlation in ("0", "0.5", "0.9", "1"):
            assert texts[figure].count(f"task correlation {correlation}<") == 1
    files = [text for figure, text in texts.items() if figure.startswith("histograms")]
    assert len(files) == 3 and files[0].count("Figure 5") == 1, "13 rows of panels, at most six in a file"
    assert all(sum(text.count(f">{name}<") for text in files) == 4 for name in names.values())


def test_a_range_of_settings_has_a_figure_of_how_many_come_near_the_best():
    swept = swept_cells(MODELS, [0.5, 1.0], **{"model.initializer": ["a", "b", "c"]})
    text = drawn(swept, runs=4)["trainability"]
    assert text.count("task correlation 0.5<") == text.count("task correlation 1<") == 1
    assert "over 3 settings" in text and "1.25 times the best" in text
    assert all(text.count(f">{name}<") == 1 for name in ("Shared-Bottom", "OMoE", "MMoE"))


def test_a_sweep_without_gates_has_no_figure_of_them():
    assert "gates" not in drawn(swept_cells(["shared_bottom"], [0.5]), runs=4)


def test_gates_are_drawn_for_every_correlation_of_the_models_that_have_them():
    text = drawn(swept_cells(MODELS, [0.5, 1.0]), runs=4)["gates"]
    assert text.count("task correlation 0.5<") == text.count("task correlation 1<") == 1
    for said in ("divergence of the", "experts used", "entropy", "mean gate weight", ">OMoE<", ">MMoE<"):
        assert said in text


def pictures(swept, losses, **of_sweep):
    return pictures_of(find(made_up_sweep(swept, losses, **of_sweep), CLAIMS))


def some(swept, runs=6):
    generator = np.random.default_rng(0)
    return generator.uniform(0.05, 0.3, (len(swept), runs))


def test_each_setting_has_panels_of_its_own_and_points_stay_at_their_correlation():
    swept = swept_cells(MODELS, [0.5, 1.0], **{"model.initializer": ["a", "b", "c"]})
    found = pictures(swept, some(swept))
    for figure, panels in (("curves", 6), ("spread", 3), ("correlation", 3), ("histograms", 18), ("gates", 15)):
        assert len(found[figure].panels) == panels, figure
        titles = [panel.title for panel in found[figure].panels]
        assert all(any(f"initializer {each}" in title for title in titles) for each in "abc")
    for figure in ("spread", "correlation", "gates"):
        for panel in found[figure].panels:
            points = [mark for mark in panel.marks if panel.x.label == "task correlation"]
            assert all(set(mark.x) <= {0.5, 1.0} for mark in points)


def test_a_model_looks_the_same_in_every_figure_and_legends_have_the_order_of_models():
    swept = swept_cells(["mmoe", "omoe", "shared_bottom"], [0.5, 1.0], **{"model.initializer": ["a", "b", "c"]})
    found = pictures(swept, some(swept))
    for figure in ("curves", "spread", "correlation", "gates", "live_units", "trainability"):
        if (picture := found.get(figure)) is None:
            continue
        names = [label for label in picture.legend if label in NAMES.values()]
        assert names == [NAMES[model] for model in MODELS if NAMES[model] in names], figure
        for panel in picture.panels:
            for mark in panel.marks:
                (model,) = [key for key in MODELS if mark.label.split(", ")[0] == NAMES[key]] or [None]
                assert model is None or mark.style.color == style_of(model, MODELS).color


def test_laws_of_other_scales_have_axes_of_their_own():
    swept = [swept_cell("mmoe", law, p) for law in ("small", "large") for p in (0.5, 1.0)]
    found = pictures(swept, some(swept) * np.array([[1.0], [1.0], [1000.0], [1000.0]]))
    for figure in ("curves", "spread", "correlation"):
        tops = {panel.y.high for panel in found[figure].panels}
        assert len(tops) == 2 and max(tops) > 100 * min(tops), figure
    assert len({panel.x.high for panel in found["histograms"].panels}) == 2


def test_a_correlation_without_the_papers_numbers_says_why():
    swept = swept_cells(MODELS, [0.5, 0.9, 1.0])
    found = pictures(swept, some(swept))
    for figure in ("curves", "histograms"):
        told = {panel.title for panel in found[figure].panels if "held out" in panel.title}
        assert told and all("0.9" in title for title in told)
    assert "held out" in found["spread"].note and "held out" in found["correlation"].note
    assert not any("held out" in panel.title for panel in pictures(swept[:1], some(swept[:1]))["curves"].panels)


def test_the_papers_points_are_in_spread_and_correlation():
    swept = swept_cells(MODELS, [0.5, 1.0])
    found = pictures(swept, some(swept), paper_loss=0.5)
    ends = {"spread": paper.final_sd, "correlation": lambda *of: paper.mean_curve(*of)["mean_loss"].iloc[-1]}
    for figure, end in ends.items():
        (mark,) = [mark for mark in found[figure].panels[0].marks if mark.label == "OMoE, the paper"]
        assert mark.hollow and list(mark.y) == [end("figure4", "omoe", p, 0.5) for p in (0.5, 1.0)]


def test_trainability_shows_all_runs():
    swept = swept_cells(["mmoe"], [0.5], **{"model.initializer": ["a", "b", "c"]})
    (panel,) = pictures(swept, [[0.01, 0.011], [0.02, 0.3], [0.5, 0.45]])["trainability"].panels
    (line,) = [mark for mark in panel.marks if mark.label == "MMoE"]
    assert line.y[-1] == pytest.approx(1) and line.y[0] == 0 and panel.x.high > 0.5 / 0.0105


def test_more_than_three_models_are_ranked_with_intervals():
    swept = swept_cells([*MODELS, "ple"], [0.5, 1.0])
    means = {"shared_bottom": (0.4, 0.3), "omoe": (0.2, 0.4), "mmoe": (0.1, 0.2), "ple": (0.3, 0.1)}
    losses = np.array([mean for model in means for mean in means[model]])[:, None] + 0.01 * some(swept)
    picture = pictures(swept, losses)["ranking"]
    lowest_first = [list(reversed(panel.y.names)) for panel in picture.panels]
    assert lowest_first == [["MMoE", "OMoE", "PLE", "Shared-Bottom"], ["PLE", "MMoE", "Shared-Bottom", "OMoE"]]
    assert all(mark.low < mark.x < mark.high for panel in picture.panels for mark in panel.marks)
    assert "ranking" not in pictures(swept[:6], losses[:6])


def test_live_units_over_training_are_a_figure():
    swept = [
        swept_cell(model, settings={"tower": 8}, swept={"training.steps": steps}, steps=steps)
        for model in MODELS
        for steps in (10, 100, 1000)
    ]
    (panel,) = pictures(swept, some(swept), dead_units=0.25)["deaths"].panels
    assert [mark.label for mark in panel.marks] == ["Shared-Bottom", "OMoE", "MMoE"]
    assert list(panel.marks[0].x) == [10, 100, 1000] and list(panel.marks[0].y) == [6, 6, 6]


def test_what_runs_learn_of_both_tasks_is_stacked_and_compared_with_independence():
    swept = swept_cells(["shared_bottom", "mmoe"], [0.5, 1.0])
    series = series_of(swept, {cell.identity: True for cell in swept})
    counted = [(2, 7, 1, 5.0), (4, 3, 3, 4.0), (9, 1, 0, 1.0)]  # MMoE's at 1 is not known
    rows = [(cell.identity, 10, *of_cell) for cell, of_cell in zip(swept, counted, strict=False)]
    columns = ["cell", "runs", "both", "one", "none", "expected_one"]
    picture = joint_outcomes(series, pd.DataFrame(rows, columns=columns))
    assert [panel.title for panel in picture.panels] == ["Shared-Bottom", "MMoE"]
    tops = [float(mark.tops[0]) for mark in picture.panels[0].marks if isinstance(mark, Bars)]
    assert tops == pytest.approx([0.7, 0.8, 1.0, 0.3, 0.6, 1.0])
    (expected,) = [mark for mark in picture.panels[0].marks if isinstance(mark, Points)]
    assert list(expected.y) == [0.5, 0.4]
    assert picture.panels[1].x.names == ("0.5",)
    assert joint_outcomes(series, pd.DataFrame(columns=columns)) is None


def test_a_figure_says_what_it_is_of():
    swept = swept_cells(MODELS, [0.5, 1.0])
    about = pictures(swept, some(swept))["curves"].about
    assert about == "mine · law figure2_m4 · batch 256 · learning rate 0.01 · 10,000 steps · 6 runs a cell"
    assert "learning rate" not in pictures(
        [*swept, swept_cell("mmoe", "figure2_m4", 0.7, rate=0.1)], some([*swept, 0])
    )["curves"].about  # fmt: skip


def test_a_law_without_a_correlation_is_drawn_and_told():
    swept = [swept_cell(model, "mine", None) for model in MODELS]
    findings = find(made_up_sweep(swept, some(swept)), CLAIMS)
    found = pictures_of(findings)
    assert {panel.title for panel in found["curves"].panels} == {"all runs"}
    text = page.render(findings, found, {})
    assert not re.search(r"\bnan\b", text) and "Does the MMoE paper hold" not in text


GRIDS = [swept_cells(MODELS, [0.5, 1.0]), swept_cells(["mmoe"], [0.5], **{"model.initializer": ["a", "b", "c"]})]


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("grid", GRIDS, ids=["claims", "range"])
def test_one_to_four_runs_of_any_losses_become_figures_and_a_page_without_a_warning(grid):
    @settings(max_examples=6, phases=[Phase.explicit, Phase.generate])
    @example([[0.4], [1e30], [0.1], [0.2], [0.2], [np.nan]][: len(grid)])
    @given(any_losses(len(grid)))
    def check(of_cells):
        findings = find(made_up_sweep(grid, of_cells), CLAIMS)
        found = pictures_of(findings)
        for picture in found.values():
            for panel in picture.panels:
                svg_renderer.draw(panel)
        for text in (
            page.render(findings, found, {}),
            losses_text(findings.losses),
            verdicts_text(findings.verdicts, ["x"]),
        ):
            assert not re.search(r"\bnan\b", text)

    check()
