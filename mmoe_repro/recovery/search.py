"""The search for the training behind Figures 3 to 5: what a setting is, how it is tried, the study."""

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from hydra import compose, initialize_config_dir
from optuna.trial import TrialState

from mmoe_repro import config
from mmoe_repro.cell import population
from mmoe_repro.compiler import CompileError
from mmoe_repro.config import Cell
from mmoe_repro.population import Population
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import CURVES, WINDOW, Curve, Readout, best_readout, distances, name, readouts, score
from mmoe_repro.synthetic import SyntheticLaw

#: Seeds of the search; those of sweeps are below, those of tuning above.
SEARCH_SEED, CONFIRMATION_SEED = 500_000, 600_000
#: The learning rates that Figures 4 and 5 are tried with. At the third of the paper's grid, 0.0001, next to nothing is
#: learnt in 10,000 steps.
RATES = (0.01, 0.001)
#: Figure 3's, Adam's default.
DEFAULT_RATE = 0.001
#: Curves that settings are compared by after so many steps, the cheapest comparison first.
RUNGS = {
    1_000: [curve for curve in CURVES if curve.figure == "figure4" and curve.correlation == 0.5],
    3_000: [curve for curve in CURVES if curve.correlation == 0.5],
    10_000: CURVES,
}
#: The share that goes on each time, and of how many, the latest: the sampler comes to propose ever better ones.
PROMOTED, COMPARED = 1 / 3, 60
#: Where runs that predict a constant end in Figure 5, and the bin's neighbourhood that the search allows.
_PLATEAU = (0.42, 0.54)
#: What a trial measures besides its scores.
_MEASURED = ("rates", "readout", "distances")


@dataclass(frozen=True)
class Setting:
    """Everything that the paper leaves out but the learning rates.

    Attributes:
        law: c, alpha, beta, noise_variance.
        label_variance: None for raw labels.
        batch_size, examples, initializer, gain, bias: as in the config groups.
    """

    law: dict[str, Any]
    label_variance: float | None
    batch_size: int
    examples: int | None
    initializer: str
    gain: float
    bias: bool

    def cell(self, curve: Curve, rate: float) -> Cell:
        """The cell that a curve of the paper is compared with."""
        bottom = [16] if curve.figure == "figure3" else [113]
        settings = base(curve.model)
        data = {**settings["data"], **self.law, "label_variance": self.label_variance}
        data.update(examples=self.examples, correlation=curve.correlation)
        model = {**settings["model"], "initializer": self.initializer, "gain": self.gain, "bias": self.bias}
        if "bottom" in model:
            model["bottom"] = bottom
        training = {**settings["training"], "batch_size": self.batch_size, "learning_rate": rate}
        return Cell(curve.model, "recovered", {**settings, "data": data, "model": model, "training": training})

    @property
    def runs(self) -> int:
        """Runs of a cell in the search: fewer where a step costs more."""
        return 6 if self.batch_size <= 32 else 4


@cache
def base(model: str, experiment: str = "default") -> dict[str, Any]:
    """The settings of a cell of an experiment, by default those of a sweep that is told nothing."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        return config.cell_settings(compose("sweep", [f"experiment={experiment}", f"model={model}"]))


def suggest(trial: optuna.Trial | optuna.trial.FixedTrial, laws: Sequence[Fit]) -> Setting:
    """Let the sampler choose a setting: a law that gives Figure 2, or a free one of one to three sines.

    Raises:
        optuna.TrialPruned: no raw labels of the law chosen have the variance chosen.
    """
    factor = trial.suggest_categorical("factor", [1.0, 0.5])
    label_variance: float | None = trial.suggest_float("plateau", *_PLATEAU) / factor
    if trial.suggest_categorical("law_from", ["figure2", "free"]) == "free":
        sines = trial.suggest_int("sines", 1, 3)
        frequencies = [trial.suggest_float(f"frequency{i}", 0.3, 20, log=True) for i in range(sines)]
        beta = [trial.suggest_float(f"beta{i}", 0, 2 * math.pi) for i in range(sines)]
        c = trial.suggest_float("c", 0.03, 2, log=True)
        if trial.suggest_categorical("labels", ["standardised", "raw"]) == "raw":
            assert label_variance is not None
            raw = raw_c(frequencies, beta, label_variance)
            if raw is None:
                raise optuna.TrialPruned
            c, label_variance = raw, None
        law = {"c": c, "alpha": [f / c for f in frequencies], "beta": beta, "noise_variance": 0.01}
    else:
        chosen = laws[trial.suggest_categorical("law", list(range(len(laws))))]
        law = {key: getattr(chosen, key) for key in ("c", "alpha", "beta", "noise_variance")}
    initializer = trial.suggest_categorical("initializer", ["glorot_uniform", "he_normal", "torch", "normal"])
    examples = trial.suggest_categorical("examples", ["fresh", 1_000, 2_000, 5_000, 10_000, 20_000])
    scale = (0.03, 0.5) if initializer == "normal" else (0.5, 2.0)
    return Setting(
        law={key: list(value) if isinstance(value, tuple) else value for key, value in law.items()},
        label_variance=label_variance,
        batch_size=2 ** trial.suggest_int("log2_batch_size", 0, 9),
        examples=None if examples == "fresh" else int(str(examples)),
        initializer=initializer,
        gain=trial.suggest_float("sd" if initializer == "normal" else "gain", *scale, log=True),
        bias=bool(trial.suggest_categorical("bias", [True, False])),
    )


def raw_c(frequencies: Sequence[float], beta: Sequence[float], variance: float) -> float | None:
    """The c with which raw labels of these frequencies α·c have a variance, None if there is none.

    In units of z's standard deviation the sines do not change with c, so the variance is a quadratic in it.
    """

    def excess(c: float) -> float:
        alpha = [frequency / c for frequency in frequencies]
        return SyntheticLaw(100, c, alpha, beta, 0.01, None, 1.0).raw_variance - variance

    tried = [0.03, 1.0, 2.0]
    roots = np.roots(np.polyfit(tried, [excess(c) for c in tried], 2))
    real = [float(root.real) for root in roots if abs(root.imag) < 1e-9 and 0.03 <= root.real <= 2]
    return max(real, default=None)


class Trial:
    """Populations of one setting, trained as far as the study wants it."""

    def __init__(self, setting: Setting, seed: int, runs: int) -> None:
        self.setting = setting
        self._seeds = range(seed, seed + runs)
        self._populations: dict[tuple[Curve, float], Population] = {}
        self.rates: dict[Curve, float] = {}

    def losses(self, curve: Curve, rate: float, steps: int) -> np.ndarray:
        """Losses of all runs and tasks, which are alike, as `read` takes them: `(2, runs · tasks, windows)`."""
        key = (curve, rate)
        if key not in self._populations:
            cell = self.setting.cell(curve, rate)
            try:
                self._populations[key] = population(cell, self._seeds, compiled=True)
            except CompileError:  # as with Shared-Bottom without biases at batch 1
                self._populations[key] = population(cell, self._seeds)
        runs = self._populations[key]
        while runs.step < steps:
            runs.advance()
        both = np.stack([runs.curves(), runs.first_losses[:, : runs.step // WINDOW].numpy()])[:, :, : steps // WINDOW]
        return np.concatenate(list(np.moveaxis(both, -1, 0)), axis=1)

    def measured(
        self, curves: Sequence[Curve], allowed: Sequence[Readout], steps: int, final: bool
    ) -> dict[Curve, np.ndarray]:
        """Losses as `losses` gives them, of each curve at the rate that has come nearest to the paper by then."""
        found = {}
        for curve in curves:
            rates = (DEFAULT_RATE,) if curve.figure == "figure3" else RATES
            tried = {rate: self.losses(curve, rate, steps) for rate in rates}
            scores = {rate: min(score({curve: tried[rate]}, readout, final) for readout in allowed) for rate in rates}
            self.rates[curve] = min(scores, key=scores.__getitem__)
            found[curve] = tried[self.rates[curve]]
        return found


def objective(trial: optuna.Trial, laws: Sequence[Fit]) -> float:
    """Score a setting; one that is behind at a rung is given up.

    Figures 4 and 5 may have a learning rate for each model and correlation, as a grid search would give.
    """
    setting = suggest(trial, laws)
    allowed = readouts(trial.params["factor"])
    tried = Trial(setting, SEARCH_SEED, setting.runs)
    trial.set_user_attr("setting", asdict(setting))
    found = math.inf
    for steps, curves in RUNGS.items():
        final = steps == max(RUNGS)
        losses = tried.measured(curves, allowed, steps, final)
        trial.set_user_attr("rates", {name(curve): rate for curve, rate in tried.rates.items()})
        readout = best_readout(losses, allowed, final)
        found = score(losses, readout, final)
        trial.set_user_attr("readout", readout._asdict())
        trial.set_user_attr("distances", distances(losses, readout, final))
        trial.report(found, steps)
        if not final and trial.should_prune():
            raise optuna.TrialPruned
    return found


class _BestOfTheLatest(optuna.pruners.BasePruner):
    """Successive halving among the latest trials, by the scores in the study, which its table keeps.

    A setting that cannot be told from the paper's so far always goes on: settings that memorise their examples are
    nearer at first and farther at the end.
    """

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        steps = max(trial.intermediate_values)
        trials = [one for one in study.get_trials(deepcopy=False) if steps in one.intermediate_values]
        scores = [one.intermediate_values[steps] for one in trials[-COMPARED:]]
        return trial.intermediate_values[steps] > max(1.0, float(np.quantile(scores, PROMOTED)))


def open_study(path: Path, seed: int, at_random: bool = False) -> optuna.Study:
    """The study in an SQLite file, a new one if there is none; several processes may work on it at once.

    Args:
        path: of the file.
        seed: of the sampler.
        at_random: whether settings are drawn at random, and not near the best ones.
    """
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{path}",
        engine_kwargs={"connect_args": {"timeout": 60}},
        heartbeat_interval=60,  # so that the trials of a killed process are known to be dead
    )
    near_the_best = optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=200
    )
    return optuna.create_study(
        storage=storage,
        study_name="recovery",
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(seed) if at_random else near_the_best,
        pruner=_BestOfTheLatest(),
    )


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that ended with a score or were given up, by number."""
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return study.get_trials(deepcopy=False, states=states)


def search_table(study: optuna.Study) -> pd.DataFrame:
    """The trials, best first, so that `add_trials` can go on from it elsewhere.

    Columns: trial, state, score (of completed ones), score_<steps> at each rung, every choice, rates and distances
    (by name), readout, all of them JSON.
    """
    rows = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "score": trial.value if trial.state == TrialState.COMPLETE else math.nan,
            **{f"score_{steps}": trial.intermediate_values.get(steps, math.nan) for steps in RUNGS},
            **{f"choice_{key}": json.dumps(value) for key, value in trial.params.items()},
            **{key: json.dumps(trial.user_attrs.get(key)) for key in _MEASURED},
        }
        for trial in finished(study)
    ]
    by = ["score", *(f"score_{steps}" for steps in sorted(RUNGS)[-2::-1])]
    return pd.DataFrame(rows).sort_values(by, ignore_index=True) if rows else pd.DataFrame()


def read_table(path: Path) -> pd.DataFrame:
    """A `search_table` that was written as CSV."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])  # "null" is JSON
    for column in table.columns:
        if column == "trial" or column.startswith("score"):
            table[column] = pd.to_numeric(table[column])
    return table


def choices(row: pd.Series) -> dict[str, Any]:
    """What the sampler chose in a row of `search_table`; a column that there was no choice of is empty."""
    named = {str(column).removeprefix("choice_"): value for column, value in row.items() if "choice_" in str(column)}
    return {column: json.loads(value) for column, value in named.items() if isinstance(value, str)}


def add_trials(study: optuna.Study, table: pd.DataFrame, laws: Sequence[Fit]) -> None:
    """Put the trials of a `search_table` into a study."""
    for _, row in table.sort_values("trial").iterrows():
        told = optuna.trial.FixedTrial(choices(row))
        try:
            setting = suggest(told, laws)
        except optuna.TrialPruned:
            setting = None
        measured = {key: json.loads(row[key]) for key in _MEASURED}
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState[row["state"].upper()],
                value=None if math.isnan(row["score"]) else row["score"],
                params=told.params,
                distributions=told.distributions,
                intermediate_values={
                    steps: reached
                    for steps in RUNGS
                    if not math.isnan(reached := row.get(f"score_{steps}", math.nan))  # an older table has fewer
                },
                user_attrs={"setting": setting and asdict(setting), **measured},
            )
        )


def work(path: Path, laws: Sequence[Fit], seed: int, at_random: bool, trials: int) -> None:
    """Try settings until so many are in the study, those of other processes among them; as for `open_study`."""
    study = open_study(path, seed, at_random)

    def stop(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        if len(finished(study)) >= trials:
            study.stop()

    study.optimize(lambda trial: objective(trial, laws), callbacks=[stop])
