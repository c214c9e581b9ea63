"""`mmoe-repro recover`: the laws that give Figure 2, the search for the training behind Figures 3 to 5, its answer."""

import json
import math
import multiprocessing
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from mmoe_repro import plots, tables
from mmoe_repro.cell import open_store
from mmoe_repro.config import Cell, check, check_name, read_claims
from mmoe_repro.errors import UsageError
from mmoe_repro.progress import ProgressBar
from mmoe_repro.recovery import figures, laws, search, verdicts
from mmoe_repro.recovery.answer import REFERENCE, Candidate, reference, write_options
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import CURVES, Curve, Readout, best_readout, distances, name, readouts, score
from mmoe_repro.results import load
from mmoe_repro.store import write_settings, write_table
from mmoe_repro.workers import Task, cores, follow_parent, one_thread, train


def run(config: DictConfig, hydra: Any) -> None:
    """Fit the laws, search, confirm, and leave tables; each stage goes on from what is there.

    Args:
        config: the settings.
        hydra: Hydra's own.

    Raises:
        UsageError: a setting out of range.
        KeyboardInterrupt: what was done is kept.
    """
    for key in ("starts", "trials", "confirmed", "runs"):
        check(key, config[key], config[key] >= 1, "at least 1")
    check("seed", config.seed, config.seed >= 0, "at least 0")
    check("workers", config.workers, config.workers is None or config.workers >= 1, "at least 1, or null")
    check_name(config.name)
    claims = read_claims(config)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    results, workers = Path(hydra.run.dir), config.workers or cores()
    write_settings(results / "config.yaml", OmegaConf.to_container(config, resolve=True))
    fits = _fit_laws(results / "laws.csv", config.starts, workers)
    table = _search(results, fits, config.trials, config.seed, workers)
    candidates = _candidates(table, fits, config.confirmed)
    confirmed = _confirm(results, candidates, config.runs, workers)
    print(_shown(confirmed))
    _judge(results, candidates, config.runs, claims, workers)
    (before,) = confirmed.loc[confirmed["name"] == REFERENCE, "score"]
    best = confirmed[confirmed["name"] != REFERENCE].iloc[0]
    (candidate,) = [one for one in candidates if one.name == best["name"]]
    print(f"Setting {candidate.name} is {'nearer' if best['score'] < before else 'no nearer'} than {REFERENCE}\n")
    _draw(results, table, candidate, best)
    write_options(results / "conf", results.name, candidate)
    print(f"Tables   {results}/laws.csv, search.csv, confirmed.csv")
    print(f"Figures  profiles, curves, histograms: {results}/figures/*.png, *.svg")
    print(f"Next     mmoe-repro sweep experiment={results.name} --config-dir {results}/conf")


# -- Figure 2 ------------------------------------------------------------------------------------


def _fit_laws(path: Path, starts: int, workers: int) -> list[Fit]:
    """The laws that the search draws from; fitted once."""
    if not path.exists():
        jobs = [(*tried, start) for tried in laws.TRIED for start in range(starts)]
        fits = []
        with (
            ProgressBar(f"{len(jobs):,} fits to Figure 2", len(jobs), "misfit") as bar,
            ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), follow_parent) as pool,
        ):
            for fit in pool.map(laws.fit, *zip(*jobs, strict=True)):
                fits.append(fit)
                bar.progress(1, fit.misfit)
        write_table(path, laws.laws_table(fits))
    table = pd.read_csv(path)
    print("Laws that give Figure 2, by number of sines and reading of ε\n")
    print(_laws_shown(table))
    kept = laws.kept(table)
    if not kept:
        raise UsageError(f"starts={starts}: none of these fits gives Figure 2; more starts and another name")
    return kept


def _laws_shown(table: pd.DataFrame) -> str:
    header = ["sines", "variance of ε", "misfit", "its p", "worst point", "bars' best p", "plausible", "label variance"]
    rows = []
    for (sines, noise_variance), of_both in table.groupby(["sines", "noise_variance"], sort=False):
        best = of_both.iloc[0]
        on_points = of_both[of_both["misfit_p"] > laws.LEVEL]
        rows.append(
            [
                str(sines),
                f"{noise_variance:g}",
                f"{best['misfit']:.1f}",
                f"{best['misfit_p']:.2g}",
                f"{best['worst']:.4f}",
                "–" if on_points.empty else f"{on_points['spread_p'].max():.2g}",
                f"{int(of_both['plausible'].sum())} of {len(of_both)}",
                f"{best['raw_variance']:.2f}",
            ]
        )
    return tables.aligned(header, rows)


# -- Figures 3 to 5 ------------------------------------------------------------------------------


def _searcher(path: Path, fits: Sequence[Fit], seed: int, at_random: bool, trials: int) -> None:
    follow_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that what it holds is released
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with one_thread():
        search.work(path, fits, seed, at_random, trials)


def _search(results: Path, fits: Sequence[Fit], trials: int, seed: int, workers: int) -> pd.DataFrame:
    """Bring the study to so many trials and return its table."""
    database, path = results / "search.db", results / "search.csv"
    new = not database.exists()
    study = search.open_study(database, seed)
    if new and path.exists():
        search.add_trials(study, search.read_table(path), fits)
    optuna.storages.fail_stale_trials(study)
    done = len(search.finished(study))
    if done < trials:
        context = multiprocessing.get_context("spawn")
        # Every second process draws at random, so that the search stays broad.
        arguments = [(database, fits, seed + done + number, number % 2 == 1, trials) for number in range(workers)]
        processes = [context.Process(target=_searcher, args=values) for values in arguments]
        for process in processes:
            process.start()
        try:
            with ProgressBar(f"{trials:,} settings", trials, "best score") as bar:
                bar.progress(done)
                while any(process.is_alive() for process in processes):
                    time.sleep(2)
                    now = len(search.finished(study))
                    bar.progress(now - done, _best(study))
                    done = now
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()
            write_table(path, search.search_table(study))
    return search.search_table(study)


def _best(study: optuna.Study) -> float | None:
    scores = [trial.value for trial in search.finished(study) if trial.state == optuna.trial.TrialState.COMPLETE]
    return min((value for value in scores if value is not None), default=None)


# -- confirmation --------------------------------------------------------------------------------


def _candidates(table: pd.DataFrame, fits: Sequence[Fit], count: int) -> list[Candidate]:
    """The settings with the best scores, one for each law and batch size, of laws that give Figure 2 and of free ones.

    Of either kind up to half, so that what Figure 2 costs the others can be seen.
    """
    complete = table[table["state"] == "complete"].sort_values("score")
    apart = ["choice_law_from", "choice_law", "choice_sines", "choice_log2_batch_size"]
    kinds = complete.drop_duplicates([key for key in apart if key in complete]).groupby("choice_law_from")
    best = kinds.head(math.ceil(count / 2)).nsmallest(count, "score")
    found = []
    for _, row in best.iterrows():
        choices = search.choices(row)
        rates = json.loads(row["rates"])
        setting = search.suggest(optuna.trial.FixedTrial(choices), fits)
        by_curve = {curve: rates[name(curve)] for curve in CURVES}
        found.append(
            Candidate(str(int(row["trial"])), setting, by_curve, choices["factor"], choices["law_from"] == "figure2")
        )
    return found


def _confirm(results: Path, candidates: Sequence[Candidate], runs: int, workers: int) -> pd.DataFrame:
    """Train the candidates on seeds that the search did not see.

    All get a fifth of the runs; the best of each kind of law gets all, and so does the reference.
    """
    some = _some(runs)
    _train(results, _cells(candidates), some, workers)
    rows = {one.name: _measured(results, one, some) for one in candidates}
    ranked = sorted(candidates, key=lambda one: rows[one.name]["score"])
    finalists = [*{one.gives_figure2: one for one in reversed(ranked)}.values(), reference()]
    _train(results, _cells(finalists), runs, workers)
    rows.update({one.name: _measured(results, one, runs) for one in finalists})
    table = pd.DataFrame(rows.values()).sort_values(["runs", "score"], ascending=[False, True], ignore_index=True)
    write_table(results / "confirmed.csv", table)
    return table


def _some(runs: int) -> int:
    return max(1, runs // 5)


def _cells(candidates: Sequence[Candidate]) -> list[Cell]:
    return [cell for candidate in candidates for cell in candidate.cells().values()]


def _seeds(runs: int) -> range:
    return range(search.CONFIRMATION_SEED, search.CONFIRMATION_SEED + runs)


def _judge(results: Path, candidates: Sequence[Candidate], runs: int, claims: Mapping[str, Any], workers: int) -> None:
    """Judge the claims at every confirmed setting, which takes p = 0.9, too, and tell in how many each holds."""
    cells = [cell for candidate in candidates for cell in verdicts.claimed_cells(candidate).values()]
    _train(results, cells, _some(runs), workers)
    table = verdicts.judge_candidates(results, candidates, _seeds(_some(runs)), claims)
    write_table(results / "verdicts.csv", table)
    counts = table.groupby("id", sort=False)["verdict"].value_counts().unstack(fill_value=0)
    rows = [[str(name), *map(str, row)] for name, row in zip(counts.index, counts.to_numpy(), strict=True)]
    print(f"The paper's claims at these settings, by {_some(runs)} runs of each cell (verdicts.csv)\n")
    print(tables.aligned(["claim", *counts.columns], rows))


def _train(results: Path, cells: Sequence[Cell], runs: int, workers: int) -> None:
    tasks = []
    for cell in cells:
        store = open_store(results, cell)
        tasks += [Task(store, cell, chunk) for chunk in store.chunks(_seeds(runs)) if store.find(chunk) is None]
    if not tasks:
        return
    steps = sum(len(task.chunk) * task.cell.settings["training"]["steps"] for task in tasks)
    with ProgressBar(f"{sum(len(task.chunk) for task in tasks):,} runs to confirm", steps) as bar:
        for task, error in train(tasks, workers, bar):
            raise RuntimeError(f"{task.cell.identity} failed") from error


def _losses(results: Path, candidate: Candidate, runs: int) -> dict[Curve, np.ndarray]:
    """Stored losses of a candidate's runs and tasks, as `score.read` takes them, by curve."""
    losses = {}
    for curve, cell in candidate.cells().items():
        stored, missing = load(open_store(results, cell), list(_seeds(runs)))
        assert not missing
        losses[curve] = np.stack([np.stack(list(stored[column])) for column in ("curve", "first_losses")]).astype(float)
    return losses


def _draw(results: Path, table: pd.DataFrame, candidate: Candidate, best: pd.Series) -> None:
    """Draw what the search says of each choice, and the best setting beside the paper."""
    losses = _losses(results, candidate, int(best["runs"]))
    readout = Readout(best["factor"], best["batch"], best["lowest"])
    drawn = {
        "profiles": partial(figures.profiles, table),
        "curves": partial(figures.curves, losses, readout),
        "histograms": partial(figures.histograms, losses, readout),
    }
    plots.save(results / "figures", drawn)


def _measured(results: Path, candidate: Candidate, runs: int) -> dict[str, Any]:
    """A candidate's row in `confirmed.csv`."""
    losses = _losses(results, candidate, runs)
    readout = best_readout(losses, readouts(candidate.factor), final=True)
    return {
        "name": candidate.name,
        "gives_figure2": candidate.gives_figure2,
        "runs": runs,
        "score": score(losses, readout, final=True),
        **readout._asdict(),
        **{f"rate_{name(curve)}": rate for curve, rate in candidate.rates.items()},
        **distances(losses, readout, final=True),
        "setting": json.dumps(asdict(candidate.setting)),
    }


def _shown(table: pd.DataFrame) -> str:
    columns = "setting, gives Figure 2, runs, score, Figure 3, Figure 4, Figure 5, "
    columns += "batch, examples, label variance, initial, biases"
    header = columns.split(", ")
    rows = []
    for _, row in table.iterrows():
        setting = json.loads(row["setting"])
        means = [
            np.mean([value for key, value in row.items() if str(key).startswith(figure)])
            for figure in ("figure3_", "figure4_", "figure5_")
        ]
        variance = setting["label_variance"]
        rows.append(
            [
                str(row["name"]),
                "yes" if row["gives_figure2"] else "no",
                str(row["runs"]),
                f"{row['score']:.2f}",
                *(f"{value:.3f}" for value in means),
                str(setting["batch_size"]),
                "fresh" if setting["examples"] is None else f"{setting['examples']:,}",
                "raw" if variance is None else f"{variance:.3f}",
                f"{setting['initializer']} × {setting['gain']:.2f}",
                "yes" if setting["bias"] else "no",
            ]
        )
    return (
        "Best settings, on seeds of their own: score (1: indistinguishable from the paper), mean distances of curves "
        "(log10) and of final losses (Wasserstein)\n\n" + tables.aligned(header, rows)
    )
