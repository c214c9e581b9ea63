"""The search for the training behind Figures 4 and 5: how a setting is tried, and the study.

What sets the paper's setting apart from others is where Shared-Bottom's runs end, so that comes first, and in full:
10,000 steps. Settings that are near the paper's there go on to the mixtures, and then to p = 1. Figure 3, whose network
and perhaps whose rate and batch are others, is compared afterwards.
"""

import json
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from mmoe_repro.processes import Stopped
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import Curve, best_readout, distances, final_means, readouts, score
from mmoe_repro.recovery.search_space import Setting, suggest
from mmoe_repro.runs import files
from mmoe_repro.training.chunk import train_unstored

#: Seeds of the search, of the second ranking of its best, and of the confirmation; those of sweeps are below, those of
#: tuning above.
SEARCH_SEED, REFINING_SEED, CONFIRMATION_SEED = 500_000, 550_000, 600_000
#: The curves that a setting is compared by, the next ones only if it is near the paper so far.
COMPARISONS = tuple(
    tuple(Curve("figure4", model, correlation) for model in models)
    for models, correlation in (
        (("shared_bottom",), 0.5),
        (("mmoe", "omoe"), 0.5),
        (("shared_bottom", "mmoe", "omoe"), 1.0),
    )
)
_NUMBERS = tuple(range(1, len(COMPARISONS) + 1))
#: The share that goes on each time, and of how many, the latest: the sampler comes to propose ever better ones.
PROMOTED, COMPARED = 1 / 4, 60
#: What a trial measures besides its scores.
_MEASURED = ("readout", "distances", "means")


def _never() -> bool:
    return False


def train_curve(setting: Setting, curve: Curve, seeds: range, stopping: Callable[[], bool] = _never) -> np.ndarray:
    """Train the runs that a curve of the paper is compared with.

    Returns:
        the losses of all runs and tasks, which are alike, as `score.read` takes them: `(2, runs · tasks, windows)`.

    Raises:
        Stopped: `stopping` said so.
    """
    runs = train_unstored(setting.cell(curve), seeds, stopping)
    both = np.stack([runs.curves(), runs.first_losses.numpy()])
    return np.concatenate(list(np.moveaxis(both, -1, 0)), axis=1)


def objective(trial: optuna.Trial, laws: Sequence[Fit], stopping: Callable[[], bool] = _never) -> float:
    """Score a setting; one that is behind at a comparison is given up.

    Raises:
        optuna.TrialPruned: it is given up.
        Stopped: `stopping` said so.
    """
    setting = suggest(trial, laws)
    allowed = readouts(trial.params["factor"])
    trial.set_user_attr("setting", asdict(setting))
    seeds = range(SEARCH_SEED, SEARCH_SEED + setting.runs)
    losses: dict[Curve, np.ndarray] = {}
    found = math.inf
    for number, curves in enumerate(COMPARISONS, 1):
        losses |= {curve: train_curve(setting, curve, seeds, stopping) for curve in curves}
        readout = best_readout(losses, allowed)
        found = score(losses, readout)
        trial.set_user_attr("readout", readout._asdict())
        trial.set_user_attr("distances", distances(losses, readout))
        trial.set_user_attr("means", final_means(losses, readout))
        trial.report(found, number)
        if number < len(COMPARISONS) and trial.should_prune():
            raise optuna.TrialPruned
    return found


class _BestOfTheLatest(optuna.pruners.BasePruner):
    """Successive halving among the latest trials, by the scores in the study, which its table keeps.

    A setting that is as near as the paper's own would be always goes on.
    """

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        number = max(trial.intermediate_values)
        trials = [one for one in study.get_trials(deepcopy=False) if number in one.intermediate_values]
        scores = [one.intermediate_values[number] for one in trials[-COMPARED:]]
        return trial.intermediate_values[number] > max(1.0, float(np.quantile(scores, PROMOTED)))


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
        seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=100
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

    Columns: trial, state, score (of completed ones), score_<number> after each comparison, every choice, readout,
    distances and mean final losses (by name), all of them JSON.
    """
    rows = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "score": trial.value if trial.state == TrialState.COMPLETE else math.nan,
            **{f"score_{number}": trial.intermediate_values.get(number, math.nan) for number in _NUMBERS},
            **{f"choice_{key}": json.dumps(value) for key, value in trial.params.items()},
            **{key: json.dumps(trial.user_attrs.get(key)) for key in _MEASURED},
        }
        for trial in finished(study)
    ]
    by = ["score", *(f"score_{number}" for number in _NUMBERS[-2::-1])]
    return pd.DataFrame(rows).sort_values(by, ignore_index=True) if rows else pd.DataFrame()


def read_table(path: Path) -> pd.DataFrame:
    """A `search_table` that was written as CSV."""
    columns = ("trial", "state", "score", *_MEASURED)
    table = files.read_table(path, columns, dtype=str, keep_default_na=False, na_values=[""])  # "null" is JSON
    for column in table.columns:
        if column == "trial":
            table[column] = table[column].astype(int)
        elif column.startswith("score"):
            table[column] = table[column].astype(float)  # to the bit, unlike pandas' to_numeric before version 3
    return table


def choices(row: pd.Series) -> dict[str, Any]:
    """What the sampler chose in a row of `search_table`; a column that there was no choice of is empty."""
    named = {str(column).removeprefix("choice_"): value for column, value in row.items() if "choice_" in str(column)}
    return {column: json.loads(value) for column, value in named.items() if isinstance(value, str)}


def add_trials(study: optuna.Study, table: pd.DataFrame, laws: Sequence[Fit]) -> None:
    """Put the trials of a `search_table` into a study."""
    for _, row in table.sort_values("trial").iterrows():
        given = optuna.trial.FixedTrial(choices(row))
        setting = suggest(given, laws)
        measured = {key: json.loads(row[key]) for key in _MEASURED}
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState[row["state"].upper()],
                value=None if math.isnan(row["score"]) else row["score"],
                params=given.params,
                distributions=given.distributions,
                intermediate_values={
                    number: reached for number in _NUMBERS if not math.isnan(reached := row[f"score_{number}"])
                },
                user_attrs={"setting": asdict(setting), **measured},
            )
        )


def work(
    path: Path, laws: Sequence[Fit], seed: int, at_random: bool, trials: int, stopping: Callable[[], bool] = _never
) -> None:
    """Try settings until the study has `trials`, those of other processes among them, or `stopping` says so.

    Args:
        path: of the study's file.
        laws: that settings are made with.
        seed: of the sampler.
        at_random: whether settings are drawn at random, and not near the best ones.
        trials: finished ones that the study is to have.
        stopping: looked at all the time; the setting that is being tried then counts as failed.
    """
    study = open_study(path, seed, at_random)

    def tried(trial: optuna.Trial) -> float:
        try:
            return objective(trial, laws, stopping)
        except Stopped:
            optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would warn of a failure
            raise

    def stop(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        if len(finished(study)) >= trials:
            study.stop()

    with suppress(Stopped):
        study.optimize(tried, callbacks=[stop])
