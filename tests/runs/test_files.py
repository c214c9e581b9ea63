"""Every file that a command reads again, damaged in every way: it is named in one line, and nothing is written."""

import io
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import made_up_sweep, swept_cells

from mmoe_repro.atlas import survey
from mmoe_repro.commands import recover
from mmoe_repro.commands.outputs import write_losses, write_verdicts
from mmoe_repro.errors import UsageError
from mmoe_repro.findings.sweep_findings import find
from mmoe_repro.recovery import search
from mmoe_repro.runs.files import write_atomically
from mmoe_repro.runs.results import read_losses, read_sweep, read_verdicts, write_sweep
from mmoe_repro.settings.schema import folder
from mmoe_repro.views.figures import pictures_of

CLAIMS = yaml.safe_load((folder() / "claims/paper.yaml").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with every file that is read again."""
    results = tmp_path_factory.mktemp("whole")
    swept = made_up_sweep(
        swept_cells(["omoe", "mmoe"], [0.5, 1.0]), np.random.default_rng(0).uniform(0.1, 0.3, (4, 12))
    )
    curves = swept.runs[["cell", "seed", "task"]].assign(step=0, loss=swept.runs["final_loss"])
    curves.to_parquet(results / "curves.parquet", index=False)
    swept.tuning.loc[:, ["cell", "seed", "task", "test_loss", "diverged"]] = swept.runs
    write_sweep(results, swept)
    found = find(swept, CLAIMS)
    write_losses(results, found)
    write_verdicts(results, found, pictures_of(found), {})
    search.open_study(results / "search.db", 0)
    for name, columns in (
        ("laws.csv", ("law", "sines", "plausible")),
        ("search.csv", ("trial", "state", "score", "readout", "distances", "means")),
        ("settings/00000.parquet", survey.COLUMNS),
        ("losses.parquet", survey.COLUMNS),
    ):
        table = pd.DataFrame([dict.fromkeys(columns, 1)])
        (results / name).parent.mkdir(exist_ok=True)
        table.to_parquet(results / name) if name.endswith("parquet") else table.to_csv(results / name, index=False)
    survey.recorded(results / "settings.jsonl", [])
    (results / "settings.jsonl").write_text('{"cells": ""}\n')
    return results


def searched(results):
    return recover._search(results, [], 0, 0, 1)


READERS = {
    **dict.fromkeys(("config.yaml", "environment.json", "runs.parquet", "curves.parquet", "gates.parquet"), read_sweep),
    **dict.fromkeys(("tuning.parquet", "manifest.json"), read_sweep),
    "losses.csv": read_losses,
    "verdicts.csv": read_verdicts,
    "laws.csv": lambda results: recover._fit_laws(results / "laws.csv", 1, 1),
    "search.csv": searched,
    "search.db": searched,
    "settings/00000.parquet": survey.losses,
    "losses.parquet": survey.losses,
    "settings.jsonl": lambda results: survey.recorded(results / "settings.jsonl", []),
}


def foreign(name):
    """What another program keeps in a file of such a name."""
    table = pd.DataFrame({"x": [1, 2], "y": [3.0, np.nan]})
    if name.endswith("parquet"):
        buffer = io.BytesIO()
        table.to_parquet(buffer)
        return buffer.getvalue()
    others = {".csv": table.to_csv(index=False), ".yaml": "services: [web]\n", ".json": "[1, 2]\n", ".db": "SQL\n" * 99}
    return others.get(Path(name).suffix, "\x7fELF\xff").encode("latin-1")


def conflict(content):
    lines = content.decode().splitlines(keepends=True)
    return "".join([*lines[:1], "<<<<<<< HEAD\n", *lines[1:], "=======\n", *lines[1:], ">>>>>>> theirs\n"]).encode()


DAMAGES = {
    "empty": lambda name, content: b"",
    "truncated": lambda name, content: content[: len(content) * 2 // 3],
    "another program's": lambda name, content: foreign(name),
    "binary": lambda name, content: bytes(range(256)) * 9,
    "in conflict": lambda name, content: conflict(content),
    "a folder": None,
}


def cases():
    """Every file with every damage that is one: any line may stand in a record of lines, an empty database is one."""
    none = {("settings.jsonl", "another program's"), ("search.db", "empty")}
    for name in READERS:
        of_lines = not name.endswith(("parquet", "db"))
        for damage in DAMAGES:
            if (name, damage) not in none and (of_lines or damage != "in conflict"):
                yield name, damage


@pytest.mark.parametrize(("name", "damage"), list(cases()))
def test_a_damaged_file_is_named_with_the_cure(whole, tmp_path, name, damage):
    results = shutil.copytree(whole, tmp_path / "copy")
    path = results / name
    if name != "manifest.json":
        (results / "manifest.json").unlink()  # which would say so of any
    if name == "search.csv":
        (results / "search.db").unlink()  # else it is not read
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(DAMAGES[damage](name, path.read_bytes()))
    before = contents(results)
    with pytest.raises(UsageError) as error:
        READERS[name](results)
    said = str(error.value)
    assert said.startswith(str(path)) and "; " in said and "\n" not in said
    assert contents(results) == before


def contents(results):
    return {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "losses.csv", "runs.parquet", "gates.parquet"])
def test_a_flipped_bit_is_noticed(whole, tmp_path, name):
    results = shutil.copytree(whole, tmp_path / "copy")
    content = bytearray((results / name).read_bytes())
    content[len(content) // 2] ^= 1
    (results / name).write_bytes(content)
    with pytest.raises(UsageError, match=f"{name}: is not as the sweep wrote it; repeat"):
        read_sweep(results)


def test_tables_of_different_sweeps_are_noticed_without_a_manifest_too(whole, tmp_path):
    results = shutil.copytree(whole, tmp_path / "copy")
    runs = pd.read_parquet(results / "runs.parquet")
    runs[runs["model"] == "mmoe"].to_parquet(results / "runs.parquet")
    with pytest.raises(UsageError, match=r"runs.parquet: is not as the sweep wrote it"):
        read_sweep(results)
    (results / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"config.yaml and runs.parquet are of different sweeps"):
        read_sweep(results)


def test_drafts_of_processes_that_died_are_removed_and_no_others(tmp_path):
    for name, age in (("old", 3600), ("new", 0)):
        draft = tmp_path / f"runs.parquet.{name}.draft"
        draft.write_bytes(b"half")
        os.utime(draft, (time.time() - age,) * 2)
    write_atomically(tmp_path / "config.yaml", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "runs.parquet.new.draft"]
