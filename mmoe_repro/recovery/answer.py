"""A setting of the search with its learning rates, and the config options that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmoe_repro.config import Cell
from mmoe_repro.recovery.score import CURVES, Curve
from mmoe_repro.recovery.search import DEFAULT_RATE, RATES, Setting, base
from mmoe_repro.store import write_settings

#: The experiment whose setting a recovered one has to be nearer to the paper than.
REFERENCE = "figure2_m4"


@dataclass(frozen=True)
class Candidate:
    """A setting of the search that is to be confirmed.

    Attributes:
        name: its number in the search, or that of the reference.
        setting: what it is.
        rates: learning rate of each curve.
        factor: of the loss, 1 or ½.
        gives_figure2: whether its law is one that was fitted to Figure 2.
    """

    name: str
    setting: Setting
    rates: dict[Curve, float]
    factor: float
    gives_figure2: bool

    def cells(self) -> dict[Curve, Cell]:
        """The cells to compare with the paper's curves."""
        return {curve: self.setting.cell(curve, self.rates[curve]) for curve in CURVES}


def reference() -> Candidate:
    """What was known before the recovery, the experiment of this name, to be measured beside the candidates."""
    settings = base("mmoe", REFERENCE)
    data, model, training = settings["data"], settings["model"], settings["training"]
    setting = Setting(
        law={key: data[key] for key in ("c", "alpha", "beta", "noise_variance")},
        label_variance=data["label_variance"],
        batch_size=training["batch_size"],
        examples=data["examples"],
        initializer=model["initializer"],
        gain=model["gain"],
        bias=model["bias"],
    )
    rates = {curve: training["learning_rate"] if curve.figure == "figure4" else DEFAULT_RATE for curve in CURVES}
    return Candidate(REFERENCE, setting, rates, 1.0, True)


def write_options(folder: Path, option: str, candidate: Candidate) -> None:
    """Write a setting as options of the config groups, to be swept with `--config-dir`.

    `data=<option>` is the law. `experiment=<option>` is Figures 4 and 5, with a learning rate for each model and
    correlation; a correlation that was not fitted takes that of 1. `experiment=<option>_figure3` is Figure 3.
    """
    setting, figures = candidate.setting, "Figures 2 to 5" if candidate.gives_figure2 else "Figures 3 to 5"
    opening = f"Setting {candidate.name} of `mmoe-repro recover`, the nearest to the paper's {figures} that it found."
    law = {**setting.law, "label_variance": setting.label_variance, "examples": setting.examples}
    data = {"defaults": ["/synthetic_schema@_here_", "_self_"], **law}
    write_settings(folder / "data" / f"{option}.yaml", data, f"Source: {opening}")
    models = {curve.model: str(base(curve.model)["model"]["_target_"]) for curve in CURVES}
    of_models = {}
    for model, target in models.items():
        low, high = (candidate.rates[Curve("figure4", model, correlation)] for correlation in (0.5, 1.0))
        of_models[target] = low if low == high else _by("data.correlation", {0.5: low}, high)
    start = {"initializer": setting.initializer, "gain": setting.gain, "bias": setting.bias}
    correlations = {"data.correlation": "0.5,0.9,1"}
    experiments: dict[str, dict[str, Any]] = {
        option: {
            "defaults": [{"override /data": option}],
            "model": start,
            "training": {"learning_rate": _by("model._target_", of_models, RATES[0])},
            "hydra": {"sweeper": {"params": {"model": ",".join(models), **correlations}}},
        },
        f"{option}_figure3": {
            "defaults": [{"override /data": option}, {"override /model": "shared_bottom"}],
            "model": {**start, "bottom": [16]},
            "training": {"learning_rate": candidate.rates[Curve("figure3", "shared_bottom", 0.5)]},
            "hydra": {"sweeper": {"params": correlations}},
        },
    }
    for name, experiment in experiments.items():
        experiment = {**experiment, "name": name, "runs": 200, "paper_loss": candidate.factor}
        experiment["training"]["batch_size"] = setting.batch_size
        write_settings(folder / "experiment" / f"{name}.yaml", experiment, f"@package _global_\n{opening}")


def _by(key: str, values: Mapping[Any, Any], otherwise: float) -> str:
    """An interpolation that picks a value by a setting."""
    pairs = ",".join(f"{name}:{value}" for name, value in values.items() if value != otherwise)
    return "${by:${" + key + "},{" + pairs + "}," + str(otherwise) + "}"
