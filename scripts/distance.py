"""How far stored sweeps are from the paper's Figures 3 to 5, as Markdown.

    python scripts/distance.py results/figure4
    python scripts/distance.py results/recovery/figure4 results/recovery/figure3 --lowest

One row per cell at a task correlation that the paper shows: the final mean beside the paper's, the root mean square of
the log10 difference of the mean curves (Figure 4 from step 500 on), and the 1-Wasserstein distance of the final losses.
A Shared-Bottom of bottom 16 is Figure 3's, any other cell Figure 4's. The paper's loss is taken to be each sweep's
`paper_loss`, and with `--lowest` a run's lowest so far.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from mmoe_repro.recovery.score import Curve, Readout, curve_distance, histogram, published, read


def rows(results: Path, lowest: bool) -> list[list[str]]:
    """A row of text for each cell that the paper has a curve of."""
    record = OmegaConf.load(results / "config.yaml")
    readout = Readout(record.get("paper_loss", 1.0), batch=False, lowest=lowest)
    curves = pd.read_parquet(results / "curves.parquet")
    found = []
    for cell in record["cells"]:
        model, correlation = cell.model, cell.settings.data.correlation
        figure = "figure3" if cell.settings.model.get("bottom") == [16] else "figure4"
        curve = Curve(figure, model, correlation)
        steps, means = published(curve)
        if not len(steps):
            continue
        mine = curves[(curves["cell"] == Path(cell.folder).name) & (curves["task"] == 1)]
        by_run = mine.pivot(index="seed", columns="step", values="loss").to_numpy(float)
        losses = read(np.stack([by_run, by_run]), readout)
        ours, papers = losses[:, -1].mean(), means[-1]
        apart = f"{histogram(model, correlation).distance(losses[:, -1]):.3f}" if figure == "figure4" else "–"
        rate = cell.settings.training.learning_rate
        name = [cell.data, figure, model, f"{correlation:g}", f"{rate:g}", str(len(losses))]
        measured = [
            f"{ours:.3f}",
            f"{papers:.3f}",
            f"{ours / papers:.2f}",
            f"{curve_distance(losses, curve):.3f}",
            apart,
        ]
        found.append(name + measured)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="folders of sweeps")
    parser.add_argument("--lowest", action="store_true", help="the lowest loss so far")
    options = parser.parse_args()
    header = ["data", "figure", "model", "p", "rate", "runs", "final mean", "paper", "ratio", "curve, log10 rms", "W1"]
    body = [row for results in options.results for row in rows(results, options.lowest)]
    for line in [header, ["---"] * len(header), *body]:
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
