"""How far stored sweeps are from the paper's Figures 3 to 5, as Markdown.

    python scripts/distance.py results/figure4
    python scripts/distance.py results/recovery/figure4 results/recovery/figure3 --lowest

One row per cell: the final mean beside the paper's, the root mean square of the log10 difference of the mean curves
(Figure 4 from step 500 on), the 1-Wasserstein distance of the final losses, and their mode: the left edge of Figure 5's
bin with most runs, in brackets its share. Of a task correlation that is held out there is nothing of the paper's.
A Shared-Bottom of bottom 16 is Figure 3's, any other cell Figure 4's. The paper's loss is taken to be each sweep's
`paper_loss`, and with `--lowest` a run's lowest so far.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from mmoe_repro.paper import figure_of
from mmoe_repro.recovery.score import Curve, Readout, curve_distance, histogram, published, read
from mmoe_repro.text import markdown

#: Width of Figure 5's bins.
BIN = 1 / 30


def rows(results: Path, lowest: bool) -> list[list[str]]:
    """A row of text for each cell."""
    record: Any = OmegaConf.load(results / "config.yaml")
    readout = Readout(record.get("paper_loss", 1.0), batch=False, lowest=lowest)
    curves = pd.read_parquet(results / "curves.parquet")
    found = []
    for cell in record["cells"]:
        model, correlation = cell.model, cell.settings.data.correlation
        figure = figure_of(cell.settings.model)
        curve = Curve(figure, model, correlation)
        mine = curves[(curves["cell"] == Path(cell.folder).name) & (curves["task"] == 1)]
        by_run = mine.pivot(index="seed", columns="step", values="loss").to_numpy(float)
        losses = read(np.stack([by_run, by_run]), readout)
        final, rate = losses[:, -1], cell.settings.training.learning_rate
        name = [cell.data, figure, model, f"{correlation:g}", f"{rate:g}", str(len(losses)), f"{final.mean():.3f}"]
        found.append([*name, *_beside_the_paper(losses, curve), _mode(final)])
    return found


def _beside_the_paper(losses: np.ndarray, curve: Curve) -> list[str]:
    """The paper's final mean, ours by it, the distances of curve and histogram."""
    _, means = published(curve)
    if not len(means):
        return ["–"] * 4
    ours, papers = losses[:, -1].mean(), means[-1]
    of_figure5 = curve.figure == "figure4"
    apart = f"{histogram(curve.model, curve.correlation).distance(losses[:, -1]):.3f}" if of_figure5 else "–"
    return [f"{papers:.3f}", f"{ours / papers:.2f}", f"{curve_distance(losses, curve):.3f}", apart]


def _mode(losses: np.ndarray) -> str:
    edges = np.arange(0, max(losses.max(), 0.64) + BIN, BIN)
    counts, _ = np.histogram(losses, edges)
    return f"{edges[counts.argmax()]:.3f} ({counts.max() / len(losses):.0%})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="folders of sweeps")
    parser.add_argument("--lowest", action="store_true", help="the lowest loss so far")
    options = parser.parse_args()
    header = [
        "data",
        "figure",
        "model",
        "p",
        "rate",
        "runs",
        "final mean",
        "paper",
        "ratio",
        "curve, log10 rms",
        "W1",
        "mode",
    ]
    body = [row for results in options.results for row in rows(results, options.lowest)]
    print(markdown(header, body), end="")


if __name__ == "__main__":
    main()
