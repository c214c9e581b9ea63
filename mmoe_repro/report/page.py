"""One page of a sweep: `report.html`, which needs nothing beside it."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from omegaconf import OmegaConf

from mmoe_repro import tables
from mmoe_repro.claims import Comparison, Verdict
from mmoe_repro.coverage import ENOUGH, least
from mmoe_repro.names import NAMES
from mmoe_repro.plots import Series, series_of
from mmoe_repro.report import pictures
from mmoe_repro.results import SweptCell
from mmoe_repro.statistics import Estimate, bootstrap, dip_p, standard_deviation
from mmoe_repro.trainability import NEAR, changes_table
from mmoe_repro.verdicts import Judged, adding

#: The law whose training was fitted to the figures that the claims are about.
_FITTED = "recovered"
#: What a claim's bounds are called in `conf/claims/paper.yaml`.
_BOUNDS = ("ratio", "margin", "best_of")
#: Headings, and rows of text.
Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class Swept:
    """A sweep's tables, and what they are of.

    Attributes:
        cells: of the sweep.
        chosen: by cell, whether its learning rate is the chosen one.
        runs: `runs.parquet`.
        curves: `curves.parquet`; no rows where it is not there.
        losses: `losses.csv`.
        command: that repeats the sweep.
        environment: versions and the like.
        paper_loss: how many squared errors a loss of the paper is taken to be.
    """

    cells: Sequence[SweptCell]
    chosen: dict[str, bool | None]
    runs: pd.DataFrame
    curves: pd.DataFrame
    losses: pd.DataFrame
    command: Sequence[str]
    environment: Mapping[str, Any]
    paper_loss: float


def render(
    name: str,
    swept: Swept,
    judged: Sequence[Judged],
    trainability: pd.DataFrame,
    claims: Mapping[str, Any],
    beside: Mapping[str, Mapping[str, str]],
) -> str:
    """The page of a sweep.

    Args:
        name: of the sweep.
        swept: its tables.
        judged: the verdicts.
        trainability: `trainability.csv`; may be empty.
        claims: `conf/claims/paper.yaml`.
        beside: verdicts of other folders, by heading and claim.
    """
    series = series_of(swept.cells, swept.chosen)
    runs = swept.runs[(swept.runs["task"] == 1) & ~swept.runs["diverged"]]
    runs = runs.assign(live_units=_live_units(swept.cells, runs))
    measures: list[tuple[str, str, Callable[[np.ndarray], Estimate]]] = [
        ("mean final loss", "final_loss", bootstrap),
        ("sd over runs of the test loss", "test_loss", partial(bootstrap, statistic=standard_deviation)),
    ]
    shared, settings = _settings(swept.cells)
    fewest = int(runs.groupby("cell").size().min()) if len(runs) else 0
    untested = any(verdict.verdict == "untested" for group in judged for verdict in group.verdicts)
    rendered: str = _template().render(
        name=name,
        runs=swept.runs[["cell", "seed"]].drop_duplicates().shape[0],
        command=shlex.join(swept.command),
        fitted=any(cell.cell.data == _FITTED for cell in swept.cells),
        groups=[_label(group) for group in judged],
        beside=beside,
        claims=_claims(judged, claims),
        level=f"{claims['level']:g}",
        enough=f"{ENOUGH:.0%}",
        crossed=any(cell.cell.settings.get("crossed") for cell in swept.cells),
        short=[f"{kind} {_mark(kind, fewest).strip()}" for kind in ("mean", "sd") if _mark(kind, fewest)],
        adding=adding(swept.command) if untested else "",
        against_correlation=pictures.against_correlation(series, runs, measures),
        losses=tables.shown(swept.losses),
        curves=pictures.curves(series, swept.curves, swept.paper_loss),
        profiles=pictures.profiles(swept.cells, swept.runs),
        near=f"{NEAR - 1:.0%}",
        trainability=_trainability(trainability),
        changes=_changes(changes_table(swept.cells, runs)),
        histograms=pictures.histograms(series, runs, swept.paper_loss),
        by_live_units=pictures.by_live_units(series, runs),
        over_training=pictures.live_units_over_training(swept.cells, runs),
        stuck=_stuck(series, runs),
        shared=shared,
        settings=settings,
        environment=swept.environment,
    )
    return rendered


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("mmoe_repro.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _label(group: Judged) -> str:
    return (
        ", ".join(f"{key.split('.')[-1].replace('_', ' ')} {value}" for key, value in group.keys.items()) or "verdict"
    )


def _claims(judged: Sequence[Judged], claims: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for verdicts in zip(*(group.verdicts for group in judged), strict=True):
        of_groups = [_verdict(_label(group), one) for group, one in zip(judged, verdicts, strict=True)]
        name = verdicts[0].id
        untested = all(one.verdict == "untested" for one in verdicts)
        told = [{**of_groups[0], "label": "at every setting"}] if untested and len(of_groups) > 1 else of_groups
        bounds = [f"{key.replace('_', ' ')} {value:g}, " for key, value in claims[name].items() if key in _BOUNDS]
        says, reason = verdicts[0].says, f"{''.join(bounds)}since {claims[name]['reason']}"
        found.append({"id": name, "says": says, "reason": reason, "of_groups": of_groups, "told": told})
    return found


def _verdict(label: str, verdict: Verdict) -> dict[str, Any]:
    side = "above" if verdict.above else "below"
    if verdict.verdict == "untested":
        missing = ", ".join(f"{model} at {correlation:g}" for model, correlation in verdict.missing)
        sentence = f"Missing: {missing}." if missing else "The data law does not tell it."
    elif not verdict.comparisons:
        sentence = f"{verdict.part}: {verdict.effect:.3g}, by the closed form."
    elif np.isnan(verdict.low):
        sentence = f"Too few runs, or too little difference between them, to measure {verdict.part}."
    else:
        sentence = f"Decided by {verdict.part}: {_interval(verdict.effect, verdict.low, verdict.high)}, "
        sentence += f"where the claim wants it {side} {verdict.bound:.3g}; p = {verdict.p:.2g}."
    if np.isfinite(verdict.runs_needed):
        would = "It takes" if np.isnan(verdict.low) else "It would be settled by some"
        sentence += f" {would} {verdict.runs_needed:,.0f} runs of each cell."
    found = {"label": label, "verdict": verdict, "sentence": sentence, "chart": None, "table": ()}
    if verdict.comparisons:
        found.update(chart=pictures.forest(verdict.id, verdict.comparisons), table=_comparisons(verdict.comparisons))
    return found


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3g} (95 %: {low:.3g} – {high:.3g})"


def _mark(kind: str, runs: int) -> str:
    """What marks an interval that holds the true value less often than it should; its coverage."""
    return f" †{least(kind, runs):.0%}" if least(kind, runs) < ENOUGH else ""


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    """A claim's parts as a table."""
    beside = list(dict.fromkeys(name for one in comparisons for name in one.beside))
    rows = []
    for number, one in enumerate(comparisons, 1):
        value, low, high = (one.part.shown(value) for value in one.measured[:3])
        side = ">" if one.part.above else "<"
        interval = "" if np.isnan(low) else f"{low:.3g} – {high:.3g}{_mark(one.part.interval, one.runs)}"
        row = [str(number), one.part.label, _number(value, 3), interval]
        row += [f"{side} {one.part.shown(one.part.bound):.3g}", _p(one.p_holds), str(one.runs)]
        rows.append([*row, *(_number(one.beside.get(name, np.nan), 2) for name in beside)])
    return ["no.", "part", "effect", "95 % interval", "holds if", "p, uncorrected", "runs", *beside], rows


def _number(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}g}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else _number(value, 2)


def _live_units(cells: Sequence[SweptCell], runs: pd.DataFrame) -> pd.Series:
    """How many units of a run's tower are alive; NaN for a model without towers."""
    towers = {cell.cell.identity: cell.cell.settings["model"].get("tower") or np.nan for cell in cells}
    widths = {cell: tower[-1] if isinstance(tower, list) else tower for cell, tower in towers.items()}
    return ((1 - runs["dead_units"]) * runs["cell"].map(widths).astype(float)).round()


def _stuck(series: Sequence[Series], runs: pd.DataFrame) -> Table:
    header = ["model", "task correlation", "runs", "stuck", "live units, mean", "no live unit", "one live unit"]
    header += ["variance told by live units", "p of one mode (dip test)"]
    rows = []
    for one in series:
        for p, cell in one.cells.items():
            mine = runs[runs["cell"] == cell]
            losses, live = mine["final_loss"], mine["live_units"]
            between = mine.groupby("live_units")["final_loss"].transform("mean").var(ddof=0)
            told = [""] * 4
            if len(live) > 1 and bool(live.notna().all()) and losses.var(ddof=0) > 0:
                share = f"{between / losses.var(ddof=0):.0%}"
                told = [f"{live.mean():.1f}", _share(live == 0), _share(live == 1), share]
            modes = _p(dip_p(losses.to_numpy(float)))
            stuck = _share(mine["stuck"])
            rows.append([one.label, f"{p:g}", str(len(mine)), stuck, *told, modes])
    return header, rows


def _trainability(table: pd.DataFrame) -> Table:
    """`trainability.csv` for readers."""
    header = ["model", "data", "task correlation", "settings", "best mean loss", "settings near it", "runs near it"]
    causes = ["sd of the setting", "sd of the data", "sd of the initial weights", "sd of what is left"]
    known = len(table) > 0 and bool(table["sd_data"].notna().any())
    rows = []
    for _, row in table.iterrows():
        cells = [NAMES.get(row["model"], row["model"]), row["data"], f"{row['correlation']:g}", str(row["settings"])]
        cells += [f"{row['best']:.4f}", f"{row['near_settings']:.0%}", f"{row['near_runs']:.0%}"]
        sds = [row[f"sd_{cause}"] for cause in ("setting", "data", "init", "rest")]
        rows.append(cells + ([_number(sd, 2) for sd in sds] if known else []))
    return header + (causes if known else []), rows


def _changes(table: pd.DataFrame) -> Table:
    """`changes_table` for readers."""
    if table.empty:
        return [], []
    keys = list(table.columns)[: list(table.columns).index("mean")]
    rows = []
    for _, row in table.iterrows():
        cells = [NAMES.get(row["model"], row["model"]), *(_text(row[key]) for key in keys[1:])]
        for of in ("mean", "sd"):
            low, high = row[f"{of}_low"], row[f"{of}_high"]
            cells.append(_number(row[of], 3) + ("" if np.isnan(low) else f" ({low:.3g} – {high:.3g})"))
        rows.append([*cells, _number(row["live_units"], 2)])
    shown = [key.split(".")[-1].replace("_", " ") for key in keys]
    return [*shown, "mean loss by the first's (95 %)", "sd by the first's (95 %)", "live units, mean"], rows


def _share(which: pd.Series) -> str:
    return f"{which.mean():.1%}" if len(which) else ""


def _settings(cells: Sequence[SweptCell]) -> tuple[str, Table]:
    """What all cells share, as YAML, and a table of what they differ in."""
    flat = [{"model": cell.cell.model, "data": cell.cell.data, **_flat(cell.cell.settings)} for cell in cells]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    shared = {key: flat[0][key] for key in keys if all(key in one and one[key] == flat[0][key] for one in flat)}
    header = [key for key in keys if key not in shared]
    rows = [[_text(one.get(key, "")) for key in header] for one in flat]
    return OmegaConf.to_yaml(OmegaConf.create(shared)), (header, rows)


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
