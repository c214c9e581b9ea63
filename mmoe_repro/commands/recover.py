"""`mmoe-repro recover`: the laws that give Figure 2, the search for the training behind Figures 3 to 5, its answer."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from mmoe_repro.compiler import untested_release
from mmoe_repro.errors import UsageError
from mmoe_repro.processes import Workers, cores, one_thread, stopping, undisturbed
from mmoe_repro.recovery import figures, laws, search, search_space
from mmoe_repro.recovery import judge as verdicts
from mmoe_repro.recovery.candidate import REFERENCE, Candidate, figure3_settings, reference, rounded, write_options
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import CURVES, Curve, Readout, best_readout, distances, final_means, readouts, score
from mmoe_repro.recovery.search_space import Setting
from mmoe_repro.runs.files import read_table, reading, write_settings, write_table
from mmoe_repro.runs.results import load
from mmoe_repro.settings.cell import Cell
from mmoe_repro.settings.claims import read_claims
from mmoe_repro.settings.ranges import check, check_name
from mmoe_repro.text import aligned
from mmoe_repro.training.chunk import open_store
from mmoe_repro.training.progress import ProgressBar
from mmoe_repro.training.workers import Assignment, train
from mmoe_repro.views.figure_files import save

#: The curves that are compared apart, after the search, and the seeds by which their rate and batch are chosen.
_FIGURE3 = tuple(curve for curve in CURVES if curve.figure == "figure3")
_SEARCHED = range(search.SEARCH_SEED, search.SEARCH_SEED + 10)
#: The curves that the search compares, and how many times as many runs, on other seeds, rank its best settings.
_COMPARED = tuple(curve for curves in search.COMPARISONS for curve in curves)
_MORE_RUNS = 4


def run(config: DictConfig, hydra: Any) -> None:
    """Fit the laws, search, confirm, and leave tables; each stage goes on from what is there.

    Args:
        config: the settings.
        hydra: Hydra's own.

    Raises:
        UsageError: a setting out of range.
        KeyboardInterrupt: what was done is kept.
    """
    for key in ("starts", "trials", "refined", "confirmed", "runs"):
        check(key, config[key], config[key] >= 1, "at least 1")
    check("seed", config.seed, config.seed >= 0, "at least 0")
    check("workers", config.workers, config.workers is None or config.workers >= 1, "at least 1, or null")
    check_name(config.name)
    claims = read_claims(config)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if (untested := untested_release()) is not None:
        print(f"mmoe-repro: {untested}; training goes without, slower", file=sys.stderr)
    results, workers = Path(hydra.run.dir), config.workers or cores()
    write_settings(results / "config.yaml", OmegaConf.to_container(config, resolve=True))
    fits = _fit_laws(results / "laws.csv", config.starts, workers)
    table = _search(results, fits, config.trials, config.seed, workers)
    refined = _refine(results, table, fits, config.refined, workers)
    candidates = _candidates(results, refined[: config.confirmed], workers)
    confirmed = _confirm(results, candidates, config.runs, workers)
    print(_shown(confirmed))
    _judge(results, candidates, config.runs, claims, workers)
    (before,) = confirmed.loc[confirmed["name"] == REFERENCE, "score"]
    best = confirmed[confirmed["name"] != REFERENCE].iloc[0]
    (candidate,) = [one for one in candidates if one.name == best["name"]]
    print(f"Setting {candidate.name} is {'nearer' if best['score'] < before else 'no nearer'} than {REFERENCE}\n")
    write_options(results / "conf", results.name, candidate)
    print(f"Next     mmoe-repro sweep experiment={results.name} --config-dir {results}/conf")
    print(f"Tables   {results}/laws.csv, search.csv, confirmed.csv")
    _draw(results, table, candidate, best)
    print(f"Figures  profiles, curves, histograms: {results}/figures/*.png, *.svg")


# -- Figure 2 ------------------------------------------------------------------------------------


def _fit_laws(path: Path, starts: int, workers: int) -> list[Fit]:
    """The laws that the search draws from; fitted once."""
    if not path.exists():
        jobs = [(*tried, start) for tried in laws.TRIED for start in range(starts)]
        fits = []
        with ProgressBar(f"{len(jobs):,} fits to Figure 2", len(jobs), "misfit") as bar, Workers(workers) as pool:
            for future in [pool.submit(laws.fit, *job) for job in jobs]:
                fits.append(future.result())
                bar.progress(1, fits[-1].misfit)
        write_table(path, laws.laws_table(fits))
    with reading(path, "delete it, and it is made anew"):
        table = read_table(path, ("law", "sines", "plausible"))
        shown, kept = _laws_shown(table), laws.kept(table)
    print("Laws that give Figure 2, by number of sines and reading of ε\n")
    print(shown)
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
    return aligned(header, rows)


# -- Figures 3 to 5 ------------------------------------------------------------------------------


def _searcher(path: Path, fits: Sequence[Fit], seed: int, at_random: bool, trials: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with one_thread():
        search.work(path, fits, seed, at_random, trials, stopping)


def _search(results: Path, fits: Sequence[Fit], trials: int, seed: int, workers: int) -> pd.DataFrame:
    """Bring the study to `trials` finished ones and return its table."""
    database, path = results / "search.db", results / "search.csv"
    new = not database.exists() or database.stat().st_size == 0
    with reading(database, "delete it, and the search goes on from search.csv"):
        study = search.open_study(database, seed)
        optuna.storages.fail_stale_trials(study)
        done = len(search.finished(study))
    if new and path.exists():
        try:
            with reading(path, "delete it, and the search begins anew"):
                search.add_trials(study, search.read_table(path), fits)
        except UsageError:
            database.unlink()  # it has a part of them
            raise
        done = len(search.finished(study))
    if done < trials:
        # Every second process draws at random, so that the search stays broad.
        arguments = [(database, fits, seed + done + number, number % 2 == 1, trials) for number in range(workers)]
        try:
            with ProgressBar(f"{trials:,} settings", trials, "best score") as bar, Workers(workers) as pool:
                bar.progress(done)
                searchers = [pool.submit(_searcher, *values) for values in arguments]
                while not all(searcher.done() for searcher in searchers):
                    time.sleep(2)
                    with undisturbed():
                        ended = search.finished(study)
                    bar.progress(len(ended) - done, _best(ended))
                    done = len(ended)
                for searcher in searchers:
                    searcher.result()
        finally:
            write_table(path, search.search_table(study))
    return search.search_table(study)


def _best(trials: Sequence[optuna.trial.FrozenTrial]) -> float | None:
    scores = [trial.value for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    return min((value for value in scores if value is not None), default=None)


# -- confirmation --------------------------------------------------------------------------------


def _refine(
    results: Path, table: pd.DataFrame, fits: Sequence[Fit], count: int, workers: int
) -> list[tuple[str, Setting, float]]:
    """Rank the best settings again on more runs, and keep the best for each law and initialiser.

    The best of a thousand scores of few runs is the luckiest as well; other seeds do not know of that luck. At most
    half of the settings are of one law and initialiser. Those that `refined.csv` has are not trained again.

    Returns:
        name, setting and factor of the loss, best first.
    """
    complete = table[table["state"] == "complete"].sort_values("score")
    kinds = "law " + complete["choice_law"] + ", " + complete["choice_initializer"].str.strip('"')
    best = complete[kinds.groupby(kinds).cumcount() < max(1, count // 2)].head(count)
    path = results / "refined.csv"
    ranked = pd.DataFrame({"setting": pd.Series(dtype=int)})
    if path.exists():
        with reading(path, "delete it, and it is made anew from what is trained"):
            ranked = read_table(path, ("setting", "kind", "runs", "score"))
    tried: dict[int, tuple[Setting, float]] = {}
    for _, row in best.iterrows():
        choices = search.choices(row)
        setting = search_space.suggest(optuna.trial.FixedTrial(choices), fits)
        tried[int(row["trial"])] = setting, float(choices["factor"])
    new = {name: pair for name, pair in tried.items() if name not in set(ranked["setting"])}
    _train(results, [(s.cell(curve), _refining(s)) for s, _ in new.values() for curve in _COMPARED], workers)
    rows = []
    for name, (setting, factor) in new.items():
        seeds = _refining(setting)
        losses = _stored({curve: setting.cell(curve) for curve in _COMPARED}, results, seeds)
        readout = best_readout(losses, readouts(factor))
        means = {f"mean_{key}": value for key, value in final_means(losses, readout).items()}
        measured = {"score": score(losses, readout), **distances(losses, readout), **means}
        kind = kinds[table["trial"] == name].iloc[0]
        rows.append({"setting": name, "kind": kind, "runs": len(seeds), **measured})
    ranked = pd.concat([ranked, pd.DataFrame(rows)], ignore_index=True).sort_values("score", ignore_index=True)
    write_table(path, ranked)
    kept = ranked[ranked["setting"].isin(tried)].drop_duplicates("kind")["setting"]
    return [(str(name), *tried[int(name)]) for name in kept]


def _refining(setting: Setting) -> range:
    return range(search.REFINING_SEED, search.REFINING_SEED + _MORE_RUNS * setting.runs)


def _candidates(results: Path, refined: Sequence[tuple[str, Setting, float]], workers: int) -> list[Candidate]:
    """Settings, each with the rate and batch that Figure 3 takes."""
    refined = [(name, rounded(setting), factor) for name, setting, factor in refined]
    tried = [one.cell(curve) for _, setting, _ in refined for one in figure3_settings(setting) for curve in _FIGURE3]
    _train(results, [(cell, _SEARCHED) for cell in tried], workers)
    found, rows = [], []
    for name, setting, factor in refined:
        of_setting = [(one, _figure3_distances(results, one, factor)) for one in figure3_settings(setting)]
        figure3, _ = min(of_setting, key=lambda pair: sum(pair[1].values()))
        found.append(Candidate(name, setting, figure3, factor))
        for one, distance in of_setting:
            rows.append({"setting": name, "learning_rate": one.learning_rate, "batch_size": one.batch_size, **distance})
    write_table(results / "figure3.csv", pd.DataFrame(rows))
    return found


def _figure3_distances(results: Path, setting: Setting, factor: float) -> dict[str, float]:
    """Distances of Figure 3's curves, by name."""
    losses = _stored({curve: setting.cell(curve) for curve in _FIGURE3}, results, _SEARCHED)
    return distances(losses, best_readout(losses, readouts(factor)))


def _confirm(results: Path, candidates: Sequence[Candidate], runs: int, workers: int) -> pd.DataFrame:
    """Train the candidates on seeds that the search did not see.

    All get a fifth of the runs; the best gets all, and so does the reference.
    """
    some = _some(runs)
    _train(results, [(cell, _seeds(some)) for cell in _cells(candidates)], workers)
    rows = {one.name: _measured(results, one, some) for one in candidates}
    best = min(candidates, key=lambda one: float(rows[one.name]["score"]))
    finalists = [best, reference()]
    _train(results, [(cell, _seeds(runs)) for cell in _cells(finalists)], workers)
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
    """Judge the claims at every confirmed setting, which takes p = 0.9, too, and say in how many each holds."""
    cells = [cell for candidate in candidates for cell in verdicts.claimed_cells(candidate).values()]
    _train(results, [(cell, _seeds(_some(runs))) for cell in cells], workers)
    table = verdicts.judge_candidates(results, candidates, _seeds(_some(runs)), claims)
    write_table(results / "verdicts.csv", table)
    counts = table.groupby("id", sort=False)["verdict"].value_counts().unstack(fill_value=0)
    rows = [[str(name), *map(str, row)] for name, row in zip(counts.index, counts.to_numpy(), strict=True)]
    print(f"The paper's claims at these settings, by {_some(runs)} runs of each cell (verdicts.csv)\n")
    print(aligned(["claim", *counts.columns], rows))


def _train(results: Path, cells: Sequence[tuple[Cell, range]], workers: int) -> None:
    """Train the runs that are missing of each cell's seeds."""
    tasks = []
    for cell, seeds in cells:
        store = open_store(results, cell)
        tasks += [Assignment(store, cell, chunk) for chunk in store.chunks(seeds) if store.find(chunk) is None]
    if not tasks:
        return
    steps = sum(len(task.chunk) * task.cell.training.steps for task in tasks)
    with ProgressBar(f"{sum(len(task.chunk) for task in tasks):,} runs", steps) as bar:
        for task, error in train(tasks, workers, bar):
            raise RuntimeError(f"{task.cell.identity} failed") from error


def _stored(cells: Mapping[Curve, Cell], results: Path, seeds: range) -> dict[Curve, np.ndarray]:
    """Stored losses of runs and tasks, as `score.read` takes them, by curve."""
    losses = {}
    for curve, cell in cells.items():
        stored, missing = load(open_store(results, cell), list(seeds))
        assert not missing
        losses[curve] = np.stack([np.stack(list(stored[column])) for column in ("curve", "first_losses")]).astype(float)
    return losses


def _draw(results: Path, table: pd.DataFrame, candidate: Candidate, best: pd.Series) -> None:
    """Draw what the search says of each choice, and the best setting beside the paper."""
    losses = _stored(candidate.cells(), results, _seeds(int(best["runs"])))
    readout = Readout(best["factor"], best["batch"], best["lowest"])
    drawn = {"profiles": figures.profiles(table), **figures.beside_the_paper(losses, readout)}
    save(results / "figures", drawn)


def _measured(results: Path, candidate: Candidate, runs: int) -> dict[str, Any]:
    """A candidate's row in `confirmed.csv`."""
    losses = _stored(candidate.cells(), results, _seeds(runs))
    readout = best_readout(losses, readouts(candidate.factor))
    return {
        "name": candidate.name,
        "runs": runs,
        "score": score(losses, readout),
        **readout._asdict(),
        **distances(losses, readout),
        **{f"mean_{key}": value for key, value in final_means(losses, readout).items()},
        "figure3_learning_rate": candidate.figure3.learning_rate,
        "figure3_batch_size": candidate.figure3.batch_size,
        "setting": json.dumps(asdict(candidate.setting)),
    }


def _shown(table: pd.DataFrame) -> str:
    columns = "setting, runs, score, Figure 3, Figure 4, Figure 5, rate, "
    columns += "batch, examples, label variance, initial, output, gates, biases"
    header = columns.split(", ")
    rows = []
    for _, row in table.iterrows():
        setting = json.loads(row["setting"])
        means = [
            np.mean([value for key, value in row.items() if str(key).startswith(f"{figure}_") and "_p" in str(key)])
            for figure in ("figure3", "figure4", "figure5")
        ]
        variance = setting["label_variance"]
        rows.append(
            [
                str(row["name"]),
                str(row["runs"]),
                f"{row['score']:.2f}",
                *(f"{value:.3f}" for value in means),
                f"{setting['learning_rate']:g}",
                str(setting["batch_size"]),
                "fresh" if setting["examples"] is None else f"{setting['examples']:,}",
                "raw" if variance is None else f"{variance:.3f}",
                f"{setting['initializer']} × {setting['gain']:.2f}",
                *(f"× {setting[key]:.2f}" for key in ("output_gain", "gate_gain")),
                "yes" if setting["bias"] else "no",
            ]
        )
    return (
        "Best settings, on seeds of their own: score (1: indistinguishable from the paper), mean distances of curves "
        "(log10) and of final losses (Wasserstein)\n\n" + aligned(header, rows)
    )
