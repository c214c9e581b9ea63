"""One page of a sweep: `report.html`, which needs nothing beside it. It only formats findings."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from omegaconf import OmegaConf

from mmoe_repro.findings.answer import answer
from mmoe_repro.findings.claim_comparisons import Comparison, Verdict, named
from mmoe_repro.findings.interval_coverage import ENOUGH, least
from mmoe_repro.findings.sweep_findings import Findings
from mmoe_repro.findings.trainability import NEAR
from mmoe_repro.findings.verdicts import Judged
from mmoe_repro.names import name_of, readable
from mmoe_repro.runs.results import SweptCell
from mmoe_repro.settings.cell import flat
from mmoe_repro.views import figures, svg_renderer
from mmoe_repro.views.panels import Picture, in_files
from mmoe_repro.views.style import Series, series_of
from mmoe_repro.views.tables import Table, adding, lacks_cells, losses_shown

#: Files beside every page.
_FILES = ("losses.csv", "losses.md", "verdicts.csv", "verdicts.md", "runs.parquet", "config.yaml", "environment.json")
#: What a claim's bounds are called in `conf/claims/paper.yaml`.
_BOUNDS = ("ratio", "factor", "margin", "excess", "quantile")


def render(findings: Findings, pictures: Mapping[str, Picture], beside: Mapping[str, Mapping[str, str]]) -> str:
    """The page of a sweep.

    Args:
        findings: what it says.
        pictures: of it, by the names of their files.
        beside: verdicts of other folders, by heading and claim.
    """
    swept, claims = findings.swept, findings.claims
    shared, settings = _settings(swept.cells)
    fewest = int(findings.runs.groupby("cell").size().min()) if len(findings.runs) else 0
    untested = lacks_cells(findings.verdicts)
    names = [f"figures/{file}.png" for name, one in pictures.items() for file in in_files(name, one)]
    return render_template(
        "page.html",
        name=swept.name,
        answer=answer(findings.verdicts),
        about=figures.about_sweep(swept.name, swept.cells, findings.runs),
        headline=findings.headlines.get("correlation", ""),
        date=swept.environment.get("date", ""),
        files=[*_FILES, *(["curves.parquet"] if len(swept.mean_curves) else []), *names],
        runs=swept.runs[["cell", "seed"]].drop_duplicates().shape[0],
        command=shlex.join(swept.command),
        fitted=_fitted(swept.cells),
        groups=[_label(group) for group in findings.judged],
        beside=beside,
        claims=_claims(findings.judged, claims),
        level=f"{claims['level']:g}",
        enough=f"{ENOUGH:.0%}",
        crossed=any(cell.crossed for cell in swept.cells),
        short=[f"{kind} {_mark(kind, fewest).strip()}" for kind in ("mean", "sd") if _mark(kind, fewest)],
        adding=adding(swept.command) if untested else "",
        pictures=pictures,
        losses=losses_shown(findings.losses),
        near=f"{NEAR - 1:.0%}",
        trainability=_trainability(findings.trainability),
        changes=_changes(findings.changes),
        dead_units=_dead_units(series_of(swept.cells, findings.chosen), findings.dead_units),
        shared=shared,
        settings=settings,
        environment=swept.environment,
    )


def render_template(template: str, **values: Any) -> str:
    """Fill a template of this folder; every string in it is escaped."""
    environment = Environment(
        loader=PackageLoader("mmoe_repro.views", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(draw=svg_renderer.draw, key=svg_renderer.key)
    rendered: str = environment.get_template(template).render(**values)
    return rendered


def _fitted(cells: Sequence[SweptCell]) -> dict[str, str]:
    """The laws that were fitted to the paper's figures, with these."""
    return {cell.data.name: cell.data.fitted_to for cell in cells if cell.data.fitted_to is not None}


def _label(group: Judged) -> str:
    return ", ".join(f"{readable(key)} {value}" for key, value in group.keys.items()) or "verdict"


def _claims(judged: Sequence[Judged], claims: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for verdicts in zip(*(group.verdicts for group in judged), strict=True):
        of_groups = [_verdict(_label(group), one) for group, one in zip(judged, verdicts, strict=True)]
        name = verdicts[0].id
        untested = all(one.verdict == "untested" for one in verdicts)
        counts = Counter(one.verdict for one in verdicts)
        shown = [{**of_groups[0], "label": "at every setting"}] if untested and len(of_groups) > 1 else of_groups
        bounds = [f"{key.replace('_', ' ')} {value:g}, " for key, value in claims[name].items() if key in _BOUNDS]
        reason = f"{''.join(bounds)}since {claims[name]['reason']}"
        told = {"id": name, "says": verdicts[0].says, "reason": reason, "counts": dict(counts)}
        found.append({**told, "of_groups": of_groups, "shown": shown})
    return found


def _verdict(label: str, verdict: Verdict) -> dict[str, Any]:
    side = "above" if verdict.above else "below"
    if verdict.verdict == "untested":
        missing = ", ".join(map(named, verdict.missing))
        sentence = f"Missing: {missing}." if missing else "The data law does not say."
    elif not verdict.comparisons:
        sentence = f"{verdict.part}: {verdict.effect:.3g}, in closed form."
    elif np.isnan(verdict.low):
        sentence = f"Too few runs, or too little difference between them, to measure {verdict.part}."
    else:
        interval = f"{verdict.confidence:.2%}: {verdict.low:.3g} – {verdict.high:.3g}"
        sentence = f"Decided by {verdict.part}: {verdict.effect:.3g} ({interval}), "
        sentence += f"where the claim wants it {side} {verdict.bound:.3g}; p = {verdict.p:.2g}."
    if np.isfinite(verdict.runs_needed):
        would = "It takes" if np.isnan(verdict.low) else "It would be settled by about"
        many = "more than a million" if verdict.runs_needed > 1e6 else f"{verdict.runs_needed:,.0f}"
        sentence += f" {would} {many} runs of each cell."
    found = {"label": label, "verdict": verdict, "sentence": sentence, "chart": None, "table": ()}
    if verdict.comparisons:
        chart = figures.forest(f"{verdict.id}: each comparison", verdict.comparisons, verdict.confidence)
        found.update(chart=chart, table=_comparisons(verdict.comparisons) if chart else ())
    return found


def _mark(kind: str, runs: int) -> str:
    """What marks an interval that holds the true value less often than it should; its coverage."""
    return f" †{least(kind, runs):.0%}" if least(kind, runs) < ENOUGH else ""


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    """A claim's parts as a table."""
    further = list(dict.fromkeys(name for one in comparisons for name in one.further))
    rows = []
    for of in figures.compared(comparisons):
        one = of[0]
        value, low, high = (one.part.shown(value) for value in one.measured[:3])
        interval = "" if np.isnan(low) else f"{low:.3g} – {high:.3g}{_mark(one.part.interval, one.runs)}"
        row = [one.part.label, _number(value, 3), interval, figures.holds_if(of)]
        row += [_p(max(each.p_holds for each in of)), str(one.runs)]
        rows.append([*row, *(_number(one.further.get(name, np.nan), 2) for name in further)])
    return ["comparison", "effect", "interval", "holds", "p, uncorrected", "runs", *further], rows


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}g}" if np.isfinite(value) else ""


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else _number(value, 2)


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1%}"


def _dead_units(series: Sequence[Series], table: pd.DataFrame) -> Table:
    """`dead_units_table` for readers."""
    header = ["model", "task correlation", "runs", "stuck", "live units, mean", "no live unit", "one live unit"]
    header += ["variance explained by live units", "p of one mode (dip test)"]
    by_cell = {row["cell"]: row for row in table.to_dict("records")}
    rows = []
    for one in series:
        for p, cell in one.cells.items():
            row = by_cell[cell]
            live = "" if np.isnan(row["live_units"]) else f"{row['live_units']:.1f}"
            shares = [live, _share(row["none"]), _share(row["one"])]
            explained = "" if np.isnan(row["explained"]) else f"{row['explained']:.0%}"
            counts = [f"{row['runs']:.0f}", _share(row["stuck"])]
            rows.append([one.label, _number(p, 6), *counts, *shares, explained, _p(row["one_mode_p"])])
    return header, rows


def _trainability(table: pd.DataFrame) -> Table:
    """`trainability.csv` for readers."""
    header = ["model", "data", "task correlation", "settings", "best mean loss", "settings near it", "runs near it"]
    causes = ["sd of the setting", "sd of the data", "sd of the initial weights", "sd of what is left"]
    known = len(table) > 0 and bool(table["sd_data"].notna().any())
    rows = []
    for _, row in table.iterrows():
        cells = [name_of(row["model"]), row["data"], _number(row["correlation"], 6), str(row["settings"])]
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
        cells = [name_of(row["model"]), *(_text(row[key]) for key in keys[1:])]
        for of in ("mean", "sd"):
            low, high = row[f"{of}_low"], row[f"{of}_high"]
            cells.append(_number(row[of], 3) + ("" if np.isnan(low) else f" ({low:.3g} – {high:.3g})"))
        rows.append([*cells, _number(row["live_units"], 2)])
    shown = [readable(key) for key in keys]
    return [*shown, "mean loss ÷ the first's (95 %)", "sd ÷ the first's (95 %)", "live units, mean"], rows


def _settings(cells: Sequence[SweptCell]) -> tuple[str, Table]:
    """What all cells share, as YAML, and a table of what they differ in."""
    each = [{"model": cell.model.name, "data": cell.data.name, **flat(cell.record()["settings"])} for cell in cells]
    keys = list(dict.fromkeys(key for one in each for key in one))
    shared = {key: each[0][key] for key in keys if all(key in one and one[key] == each[0][key] for one in each)}
    header = [key for key in keys if key not in shared]
    rows = [[_text(one.get(key, "")) for key in header] for one in each]
    return OmegaConf.to_yaml(OmegaConf.create(shared)), (header, rows)


def _text(value: Any) -> str:
    return "null" if value is None else str(value)
