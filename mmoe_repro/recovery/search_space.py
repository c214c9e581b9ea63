"""What a setting of the search is: every choice that the paper leaves out, and from what range it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import optuna

from mmoe_repro.jobs.from_config import compose_cell
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import Curve
from mmoe_repro.settings.cell import Cell, Law, Option

#: The learning rates that are tried, one for all models and correlations. At the third of the paper's grid, 0.0001,
#: next to nothing is learnt in 10,000 steps.
RATES = (0.01, 0.001)
#: Where runs that predict a constant end in Figure 5, and the bin's neighbourhood that the search allows.
_PLATEAU = (0.42, 0.54)


@dataclass(frozen=True)
class Setting:
    """Everything that the paper leaves out of Figures 4 and 5.

    Attributes:
        law: c, alpha, beta, noise_variance.
        label_variance, batch_size, examples, learning_rate, bias: as in the config groups.
        initializer, gain, output_gain, gate_gain: of the `model` group.
    """

    law: dict[str, Any]
    label_variance: float | None
    batch_size: int
    examples: int | None
    learning_rate: float
    initializer: str
    gain: float
    output_gain: float
    gate_gain: float
    bias: bool

    def cell(self, curve: Curve) -> Cell:
        """The cell that a curve of the paper is compared with."""
        cell = base(curve.model)
        data = {**cell.data.settings, **self.law, "label_variance": self.label_variance}
        data.update(examples=self.examples, correlation=curve.correlation)
        start = ("initializer", "gain", "output_gain", "gate_gain", "bias")
        model = {**cell.model.settings, **{key: getattr(self, key) for key in start}}
        if "bottom" in model:
            model["bottom"] = [16] if curve.figure == "figure3" else [113]
        return replace(
            cell,
            model=Option(curve.model, model),
            data=Law("recovered", data),
            training=replace(cell.training, batch_size=self.batch_size, learning_rate=self.learning_rate),
        )

    @property
    def runs(self) -> int:
        """Runs of a cell in the search: fewer where a step costs more."""
        return max(4, min(10, 1280 // self.batch_size))


@cache
def base(model: str, experiment: str = "default") -> Cell:
    """The cell of an experiment, by default that of a sweep without overrides."""
    return compose_cell(f"experiment={experiment}", f"model={model}")


def suggest(trial: optuna.Trial | optuna.trial.FixedTrial, laws: Sequence[Fit]) -> Setting:
    """Let the sampler choose a setting."""
    label_variance = trial.suggest_float("plateau", *_PLATEAU) / trial.suggest_categorical("factor", [1.0, 0.5])
    law = laws[trial.suggest_categorical("law", list(range(len(laws))))]
    initializer = trial.suggest_categorical("initializer", ["glorot_uniform", "he_normal", "torch", "normal"])
    fresh = trial.suggest_categorical("examples", ["fresh", "finite"]) == "fresh"
    scale = ("sd", 0.03, 0.5) if initializer == "normal" else ("gain", 0.5, 3.0)
    return Setting(
        law={"c": law.c, "alpha": list(law.alpha), "beta": list(law.beta), "noise_variance": law.noise_variance},
        label_variance=label_variance,
        batch_size=2 ** trial.suggest_int("log2_batch_size", 4, 9),
        examples=None if fresh else round(10 ** trial.suggest_float("log10_examples", 3.3, 4.7)),
        learning_rate=trial.suggest_categorical("learning_rate", list(RATES)),
        initializer=initializer,
        gain=trial.suggest_float(*scale, log=True),
        output_gain=trial.suggest_float("output_gain", 0.5, 10, log=True),
        gate_gain=trial.suggest_float("gate_gain", 0.1, 3, log=True),
        bias=bool(trial.suggest_categorical("bias", [True, False])),
    )
