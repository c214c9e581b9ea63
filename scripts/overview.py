"""Draw the README's first picture: the claims at several settings, and Figure 4, ours over the paper's.

python scripts/overview.py            writes docs/figures/overview.png
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from mmoe_repro import paper
from mmoe_repro.findings import paper_runs
from mmoe_repro.findings.claim_comparisons import MODELS, judge
from mmoe_repro.names import NAMES
from mmoe_repro.views.style import style_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
#: What a column shows, and the verdicts that it is of.
SETTINGS: dict[str, tuple[str, ...]] = {
    "the\npaper": (),
    "recovered\nsetting": ("recovery/figure4", "recovery/figure3"),
    "its rate\nsearched": ("paper",),
    "setting\n151": ("recovery/setting_151", "recovery/setting_151_figure3"),
    "google_\nresearch": ("recovery/peers data=google_research", "recovery/peers_figure3 data=google_research"),
    "keras_\nmmoe": ("recovery/peers data=keras_mmoe", "recovery/peers_figure3 data=keras_mmoe"),
}
#: The claims in a few words, in the order of the paper.
WORDS = {
    "F2": "labels of related tasks correlate",
    "F3": "low correlation hurts Shared-Bottom",
    "C1": "low correlation hurts every model",
    "C2a": "… and MMoE much less than OMoE",
    "C2b": "OMoE ≈ MMoE at 1, worse at 0.5",
    "C3": "mixtures beat Shared-Bottom",
    "T1": "Shared-Bottom often ends badly",
    "T2": "OMoE ends badly more than MMoE at 0.5",
    "T3": "best runs are comparable",
}
#: Colours that differ in lightness, too.
COLORS_OF = {"reproduced": "#1B7837", "inconclusive": "#D9D9D9", "contradicted": "#C2185B", "untested": "#FFFFFF"}


def of_paper() -> Mapping[str, str]:
    """The verdicts of the paper's own runs."""
    claims = yaml.safe_load((ROOT / "conf" / "claims" / "paper.yaml").read_text(encoding="utf-8"))
    losses = paper_runs.losses()
    of_figure5 = {"final_loss": losses, "test_loss": losses}
    verdicts = judge(claims, of_figure5, paper_runs.label_pearson(), paper_loss=1.0)
    return {one.id: one.verdict for one in verdicts}


def verdicts(sources: Sequence[str]) -> Mapping[str, str]:
    """The verdict of each claim in folders, or in one group of their cells (`folder key=value`); none: the paper's."""
    if not sources:
        return of_paper()
    found: dict[str, str] = {}
    for source in sources:
        folder, _, condition = source.partition(" ")
        table = pd.read_csv(RESULTS / folder / "verdicts.csv")
        if condition:
            key, _, value = condition.partition("=")
            table = table[table[key] == value]
        tested = table[table["verdict"] != "untested"]
        found |= dict(zip(tested["id"], tested["verdict"], strict=True))
    return found


def squares(axes: Axes) -> None:
    """A square for each claim (row) and setting (column)."""
    for column, sources in enumerate(SETTINGS.values()):
        found = verdicts(sources)
        for row, claim in enumerate(WORDS):
            color = COLORS_OF[found.get(claim, "untested")]
            axes.add_patch(
                Rectangle((column + 0.06, row + 0.06), 0.88, 0.88, facecolor=color, edgecolor="#999999", lw=0.6)
            )
    axes.set(xlim=(0, len(SETTINGS)), ylim=(len(WORDS), 0))
    axes.set_xticks([column + 0.5 for column in range(len(SETTINGS))], list(SETTINGS), fontsize=7)
    axes.set_yticks([row + 0.5 for row in range(len(WORDS))], [f"{words}  {claim}" for claim, words in WORDS.items()])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    handles = [Patch(facecolor=COLORS_OF[name], edgecolor="#999999", label=name) for name in COLORS_OF]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.3, -0.02), ncols=4, frameon=False, fontsize=7)


def curves(axes: Axes, correlation: float) -> None:
    """Mean training loss against step, ours and the paper's."""
    folder = RESULTS / "recovery" / "figure4"
    factor = float(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["paper_loss"])
    ours = pd.read_parquet(folder / "curves.parquet").query("task == 1 and correlation == @correlation")
    for model in MODELS:
        color = style_of(model, MODELS).color
        mean = ours[ours["model"] == model].groupby("step")["loss"].mean() * factor
        mean = mean[mean.index >= 500]
        axes.plot(mean.index, mean, color=color, lw=1.8, label=NAMES[model])
        theirs = paper.mean_curve("figure4", model, correlation)
        axes.plot(theirs["step"], theirs["mean_loss"], color=color, lw=1.2, ls=(0, (1.5, 1.5)))
    axes.set_yscale("log")
    axes.set_yticks([0.05, 0.1, 0.2, 0.4], ["0.05", "0.1", "0.2", "0.4"])
    axes.minorticks_off()
    axes.set(title=f"task correlation {correlation:g}", xlabel="step", ylim=(0.05, 0.5))
    axes.set_xticks([0, 5_000, 10_000], ["0", "5,000", "10,000"])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Write the picture."""
    matplotlib.rcdefaults()
    with matplotlib.rc_context({"font.size": 8, "axes.titlesize": 8}):
        figure = Figure(figsize=(10.2, 3.7), dpi=150, layout="constrained")
        left, *right = figure.subplots(1, 3, gridspec_kw={"width_ratios": [2.1, 1, 1]})
        squares(left)
        for axes, correlation in zip(right, (0.5, 1.0), strict=True):
            curves(axes, correlation)
        right[0].set_ylabel("mean loss of 200 runs")
        right[1].tick_params(labelleft=False)
        right[1].plot([], [], color="#555555", lw=1.2, ls=(0, (1.5, 1.5)), label="the paper's")
        right[1].legend(frameon=False, fontsize=7)
        path = ROOT / "docs" / "figures" / "overview.png"
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path)


if __name__ == "__main__":
    main()
