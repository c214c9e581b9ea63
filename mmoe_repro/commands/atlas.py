"""`mmoe-repro atlas`: which of the choices that the paper leaves open each finding hangs on."""

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from mmoe_repro.atlas import design, figures, findings, page, survey
from mmoe_repro.commands.outputs import as_only_writer
from mmoe_repro.compiler import untested_release
from mmoe_repro.errors import UsageError
from mmoe_repro.processes import Workers, cores, one_thread, send, stopping
from mmoe_repro.runs.files import write_atomically, write_settings, write_table
from mmoe_repro.settings.claims import read_claims
from mmoe_repro.settings.ranges import check, check_name
from mmoe_repro.text import aligned, paragraph
from mmoe_repro.training.progress import ProgressBar
from mmoe_repro.views.figure_files import save

#: Columns of the page's table of claims that a terminal has no room for; the sentences below it say both.
_WIDE = ("says", "95 % interval")
#: Tables of what an atlas says; those that need more settings than there are stay away.
_TABLES = ("claims", "importance", "shares", "pairs")


def run(config: DictConfig, hydra: Any) -> None:
    """Train the settings that are missing, then say what they come to.

    Several of these commands may work on one atlas at once.

    Args:
        config: the settings.
        hydra: Hydra's own.

    Raises:
        UsageError: a setting out of range, or other choices than the folder was begun with.
        KeyboardInterrupt: the settings that were done are kept.
    """
    check("settings", config.settings, config.settings >= 0, "at least 0")
    check("runs", config.runs, config.runs >= 3, "at least 3")
    check("workers", config.workers, config.workers is None or config.workers >= 1, "at least 1, or null")
    check_name(config.name)
    claims: Any = read_claims(config)
    choices = design.read_choices(_plain(config.choices))
    results, workers = Path(hydra.run.dir), config.workers or cores()
    stored = survey.losses(results)
    count = max(config.settings, int(stored["setting"].max()) + 1 if len(stored) else 0)
    if not count:
        raise UsageError(f"settings=0: there are no settings in {results} yet")
    table = design.draw(choices, count)
    drawn = [design.chosen(choices, row) for row in _rows(table)]
    design.paper_loss(drawn[0])
    settings = survey.recorded(results / "settings.jsonl", drawn)
    write_settings(results / "config.yaml", OmegaConf.to_container(config, resolve=True))
    done = set(stored["setting"])
    missing = [(number, one) for number, one in enumerate(settings[: config.settings]) if number not in done]
    if missing:
        if (untested := untested_release()) is not None:
            print(f"mmoe-repro: {untested}; training goes without, slower", file=sys.stderr)
        _train(results, missing, config.runs, workers)
    with as_only_writer(results):
        stored = survey.losses(results)
        write_table(results / "losses.parquet", stored)
        trained = stored["setting"].nunique()
        with ProgressBar(f"{trained:,} settings to judge", trained) as bar:
            margins = findings.margins_of(stored, table, choices, claims, lambda: bar.progress(1))
        found = findings.find(table, margins, claims)
        _write(results, found, config, hydra)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)


def _train(results: Path, missing: Sequence[tuple[int, dict[str, Any]]], runs: int, workers: int) -> None:
    seen: set[int] = set()
    with ProgressBar(f"{len(missing):,} settings", len(missing)) as bar, Workers(workers) as pool:
        futures = [pool.submit(_surveyor, results, missing, runs) for _ in range(workers)]
        while not all(future.done() for future in futures):
            for number in pool.received():
                bar.progress(int(number not in seen))
                seen.add(number)
            time.sleep(0.2)
        for future in futures:
            future.result()


def _surveyor(results: Path, missing: Sequence[tuple[int, dict[str, Any]]], runs: int) -> None:
    with one_thread():
        survey.work(results, missing, runs, stopping, send)


def _write(results: Path, found: findings.Atlas, config: DictConfig, hydra: Any) -> None:
    """Leave tables, figures and the page, and show the answer."""
    tables: dict[str, pd.DataFrame] = {f"{name}.csv": getattr(found, name) for name in _TABLES}
    tables = {name: table for name, table in tables.items() if not table.empty}
    tables["settings.csv"] = found.settings.reset_index()
    for name, table in tables.items():
        write_table(results / name, table)
    pictures = figures.pictures(found)
    written = page.render(
        found,
        pictures,
        name=config.name,
        runs=config.runs,
        prior=OmegaConf.to_yaml(OmegaConf.create(_plain(config.choices))),
        command=shlex.join(["mmoe-repro", "atlas", *hydra.overrides.task]),
        files=[*tables, *(f"figures/{picture}.png" for picture in pictures)],
    )
    write_atomically(results / "report.html", written.encode())
    header, rows = page.claims_shown(found.claims)
    narrow = [place for place, column in enumerate(header) if column not in _WIDE]
    print(aligned([header[place] for place in narrow], [[row[place] for place in narrow] for row in rows]))
    for sentence in findings.in_words(found):
        print(paragraph(sentence, ""))
    print(f"\nPage     {results}/report.html")
    print(f"Tables   {results}/*.csv")
    save(results / "figures", pictures)
    print(f"Figures  {results}/figures/*.png, *.svg")
