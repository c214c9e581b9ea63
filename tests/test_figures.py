"""The figures say what they show: titles, axes, series, the paper's numbers where it has them."""

import numpy as np
import pandas as pd
import pytest

from mmoe_repro import figures, paper, plots
from mmoe_repro.config import Cell
from mmoe_repro.names import NAMES
from mmoe_repro.results import SweptCell


def cells(models, correlations, bottom=(113,), **swept):
    made = []
    for model in models:
        for correlation in correlations:
            for values in [dict(zip(swept, each, strict=True)) for each in zip(*swept.values(), strict=True)] or [{}]:
                settings = {"data": {"correlation": correlation}, "model": {"bottom": list(bottom)}}
                settings |= {"training": {"learning_rate": 0.01}, "at": values}
                made.append(SweptCell(Cell(model, "figure2_m4", settings), values, [0], []))
    return made


def drawn(folder, swept, runs=12, steps=(0, 5000, 9900), losses=None, paper_loss=1.0):
    """Draw a sweep of made-up losses; return the text of each SVG."""
    generator = np.random.default_rng(0)
    run_rows, curve_rows, gate_rows = [], [], []
    for cell in swept:
        for seed in range(runs):
            loss = float(generator.uniform(0.05, 0.3)) if losses is None else losses[seed]
            outcome = {
                "seed": seed,
                "task": 1,
                "final_loss": loss,
                "test_loss": loss,
                "diverged": not np.isfinite(loss),
                **dict.fromkeys(("gate_entropy", "gate_divergence", "experts_used"), loss),
            }
            run_rows.append({**cell.keys, **outcome})
            keys = {**cell.keys, "seed": seed, "task": 1}
            curve_rows += [{**keys, "step": step, "loss": loss} for step in steps]
            if cell.cell.model.endswith("moe"):
                gate_rows += [{**keys, "expert": expert, "weight": 0.25} for expert in range(1, 5)]
    series = plots.series_of(swept, {cell.cell.identity: True for cell in swept})
    tables = (pd.DataFrame(rows) for rows in (run_rows, curve_rows, gate_rows))
    paths = figures.draw(folder, swept, series, *tables, paper_loss)
    assert all(path.stat().st_size > 5000 for path in paths)
    return {path.stem: path.with_suffix(".svg").read_text() for path in paths}


MODELS = ["shared_bottom", "omoe", "mmoe"]


def test_every_figure_names_its_models_axes_and_the_paper(tmp_path):
    texts = drawn(tmp_path, cells(MODELS, [0.5, 0.9, 1.0]))
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


def test_the_papers_outline_is_explained_in_whichever_panel_it_stands(tmp_path):
    texts = drawn(tmp_path, cells(["mmoe", "omoe"], [0.2, 0.5, 0.8]))
    assert "Figure 5" in texts["histograms"] and "Figure 4" in texts["curves"]
    assert "Figure 5" not in drawn(tmp_path, cells(["mmoe"], [0.2]))["histograms"]


def test_the_papers_losses_are_drawn_as_squared_errors(tmp_path):
    texts = drawn(tmp_path, cells(["mmoe"], [0.5]), paper_loss=0.5)
    assert "Figure 4 × 2" in texts["curves"] and "Figure 5 × 2" in texts["histograms"]
    (halved, shares), (whole, same) = (paper.histogram("figure4", "mmoe", 0.5, each) for each in (0.5, 1.0))
    assert (halved == 2 * whole).all() and (shares == same).all() and whole[1] == paper.table("figure5")["bin_left"][1]
    halved, whole = (paper.mean_curve("figure4", "mmoe", 0.5, each)["mean_loss"] for each in (0.5, 1.0))
    assert (halved == 2 * whole).all() and set(whole) < set(paper.table("figure4")["mean_loss"])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("correlation", [0.5, 1.0])
def test_figure_5_holds_every_run_in_bins_that_do_not_overlap(model, correlation):
    edges, shares = paper.histogram("figure4", model, correlation)
    np.testing.assert_allclose(np.diff(edges), 1 / 30, atol=1e-4)
    assert shares.sum() == pytest.approx(1)


def test_the_small_network_has_figure_3_beside_it(tmp_path):
    texts = drawn(tmp_path, cells(["shared_bottom"], [0.5], bottom=[16]))
    assert "Figure 3" in texts["curves"] and "Figure 4" not in texts["curves"]
    assert "Figure 5" not in texts["histograms"]


def test_one_run_has_no_spread_and_the_figure_says_so(tmp_path):
    texts = drawn(tmp_path, cells(["mmoe"], [0.5]), runs=1)
    assert "needs two runs or more" in texts["spread"]
    assert "needs two runs or more" not in texts["correlation"]


@pytest.mark.parametrize("correlations", [[-1.0, 0.0], [0.0], [0.3]])
def test_any_correlation_can_be_drawn(tmp_path, correlations):
    assert f"{correlations[0]:g}" in drawn(tmp_path, cells(["mmoe"], correlations))["correlation"].replace("−", "-")


def test_diverged_runs_are_left_out(tmp_path):
    texts = drawn(tmp_path, cells(["mmoe"], [0.5]), runs=3, losses=[0.1, 0.2, np.nan])
    assert "MMoE" in texts["curves"]
    all_gone = drawn(tmp_path, cells(["mmoe"], [0.5]), runs=2, losses=[np.nan, np.nan])
    assert "needs two runs or more" in all_gone["correlation"]


def test_twelve_models_have_a_panel_or_a_row_each(tmp_path):
    names = {"my_net": "my_net", **NAMES}
    texts = drawn(tmp_path, cells(list(names), [0.0, 0.5, 0.9, 1.0]), runs=4)
    for figure in ("curves", "histograms", "spread", "correlation"):
        for name in names.values():
            assert texts[figure].count(f">{name}<") == 1, (figure, name)
        for correlation in ("0", "0.5", "0.9", "1"):
            assert texts[figure].count(f"task correlation {correlation}<") == 1
    assert texts["histograms"].count("Figure 5") == 1


def test_a_range_of_settings_has_a_figure_of_how_many_come_near_the_best(tmp_path):
    swept = cells(MODELS, [0.5, 1.0], **{"model.initializer": ["a", "b", "c"]})
    text = drawn(tmp_path, swept, runs=4)["trainability"]
    assert text.count("task correlation 0.5<") == text.count("task correlation 1<") == 1
    assert "over 3 settings" in text and "1.25 times the best" in text
    assert all(text.count(f">{name}<") == 1 for name in ("Shared-Bottom", "OMoE", "MMoE"))


def test_a_sweep_without_gates_has_no_figure_of_them(tmp_path):
    assert "gates" not in drawn(tmp_path, cells(["shared_bottom"], [0.5]), runs=4)


def test_gates_are_drawn_for_every_correlation_of_the_models_that_have_them(tmp_path):
    text = drawn(tmp_path, cells(MODELS, [0.5, 1.0]), runs=4)["gates"]
    assert text.count("task correlation 0.5<") == text.count("task correlation 1<") == 1
    for said in ("divergence of the tasks", "experts used", "entropy", "mean gate weight", ">OMoE<", ">MMoE<"):
        assert said in text
