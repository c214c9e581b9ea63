"""A setting of the search with what Figure 3 takes, and the config options that it becomes."""

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from mmoe_repro.recovery.score import CURVES, Curve
from mmoe_repro.recovery.search_space import RATES, Setting, base
from mmoe_repro.runs.files import write_settings
from mmoe_repro.settings.cell import Cell

#: The experiment whose setting a recovered one has to be nearer to the paper than.
REFERENCE = "figure2_m4"
#: What a recovered setting is fitted to, as its law says of itself.
FITTED_TO = "Figures 2 to 5"

#: The batches that Figure 3 is tried with, at either rate.
FIGURE3_BATCHES = (8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Candidate:
    """A setting of the search that is to be confirmed.

    Attributes:
        name: its number in the search, or that of the reference.
        setting: of Figures 4 and 5.
        figure3: of Figure 3, which may differ from it in rate and batch.
        factor: of the loss, 1 or ½.
    """

    name: str
    setting: Setting
    figure3: Setting
    factor: float

    def cells(self) -> dict[Curve, Cell]:
        """The cells to compare with the paper's curves."""
        return {curve: (self.figure3 if curve.figure == "figure3" else self.setting).cell(curve) for curve in CURVES}


def rounded(setting: Setting) -> Setting:
    """The setting with gains and label variance of three digits, to be read and typed; no run could tell."""
    keys = ("gain", "output_gain", "gate_gain", "label_variance")
    values = {key: getattr(setting, key) for key in keys}
    shorter: dict[str, Any] = {key: value and float(f"{value:.3g}") for key, value in values.items()}
    return replace(setting, **shorter)


def figure3_settings(setting: Setting) -> list[Setting]:
    """What Figure 3 is tried with: the setting itself, then it with every other rate and batch."""
    tried = [replace(setting, learning_rate=rate, batch_size=batch) for rate, batch in product(RATES, FIGURE3_BATCHES)]
    return [setting, *(one for one in tried if one != setting)]


def reference() -> Candidate:
    """What was known before the recovery, the experiment of this name, to be measured beside the candidates."""
    cell = base("mmoe", REFERENCE)
    data, model = cell.data.settings, cell.model.settings
    setting = Setting(
        law={key: data[key] for key in ("c", "alpha", "beta", "noise_variance")},
        **{key: data[key] for key in ("label_variance", "examples")},
        batch_size=cell.training.batch_size,
        learning_rate=cell.training.learning_rate,
        **{key: model[key] for key in ("initializer", "gain", "output_gain", "gate_gain", "bias")},
    )
    return Candidate(REFERENCE, setting, replace(setting, learning_rate=0.001), 1.0)  # Figure 3 at Adam's default rate


def write_options(folder: Path, option: str, candidate: Candidate) -> None:
    """Write a setting as options of the config groups, to be swept with `--config-dir`.

    `data=<option>` is the law, `experiment=<option>` Figures 4 and 5, `experiment=<option>_figure3` Figure 3.
    """
    setting = candidate.setting
    opening = f"Setting {candidate.name} of `mmoe-repro recover`, the nearest to the paper's {FITTED_TO} that it found."
    law = {**setting.law, "label_variance": setting.label_variance, "examples": setting.examples}
    data = {"defaults": ["/law_defaults@_here_", "_self_"], **law, "fitted_to": FITTED_TO}
    write_settings(folder / "data" / f"{option}.yaml", data, f"Source: {opening}")
    models = ",".join(dict.fromkeys(curve.model for curve in CURVES if curve.figure == "figure4"))
    start = {key: getattr(setting, key) for key in ("initializer", "gain", "output_gain", "gate_gain", "bias")}
    correlations = {"data.correlation": "0.5,0.9,1"}
    experiments: dict[str, dict[str, Any]] = {
        option: {
            "defaults": [{"override /data": option}],
            "model": start,
            "training": _training(setting),
            "hydra": {"sweeper": {"params": {"model": models, **correlations}}},
        },
        f"{option}_figure3": {
            "defaults": [{"override /data": option}, {"override /model": "shared_bottom"}],
            "model": {**start, "bottom": [16]},
            "training": _training(candidate.figure3),
            "hydra": {"sweeper": {"params": correlations}},
        },
    }
    for name, experiment in experiments.items():
        experiment = {**experiment, "name": name, "runs": 200, "paper_loss": candidate.factor}
        write_settings(folder / "experiment" / f"{name}.yaml", experiment, f"@package _global_\n{opening}")


def _training(setting: Setting) -> dict[str, Any]:
    return {"learning_rate": setting.learning_rate, "batch_size": setting.batch_size}
