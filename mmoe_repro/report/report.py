"""`mmoe-repro report results/<name>`: judge a sweep that is already there, and write its page."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from omegaconf import DictConfig

from mmoe_repro import tables
from mmoe_repro.config import read_claims
from mmoe_repro.errors import UsageError, nearest
from mmoe_repro.report.conclusions import conclude
from mmoe_repro.report.page import Swept
from mmoe_repro.results import recall
from mmoe_repro.verdicts import as_text, beside

_VERDICTS = ("reproduced", "contradicted", "inconclusive", "untested")


def run(config: DictConfig, hydra: Any) -> int:
    """Judge the runs of a folder of results, from its tables alone, and write `report.html` and the verdicts.

    Args:
        config: the settings.
        hydra: Hydra's own.

    Returns:
        the exit status: 1 if a claim has the verdict of `fail_on`.

    Raises:
        UsageError: the folder holds no sweep, or a setting is out of range.
    """
    if config.fail_on not in (None, *_VERDICTS):
        raise UsageError(f"fail_on={config.fail_on}: must be null or a verdict; {nearest(config.fail_on, _VERDICTS)}")
    claims, results = read_claims(config), Path(config.results)
    files = {name: results / name for name in ("config.yaml", "runs.parquet", "losses.csv", "environment.json")}
    for path in files.values():
        if not path.is_file():
            raise UsageError(f"{results}: no results of a sweep, {path.name} is missing")
    record = yaml.safe_load(files["config.yaml"].read_text())
    cells, command = recall(record), shlex.split(record["command"])
    runs = pd.read_parquet(files["runs.parquet"])
    curves, tuning = (_read(results / f"{name}.parquet") for name in ("curves", "tuning"))
    chosen = tables.choose_rates(cells, tuning)
    others = _beside(config.beside)
    environment = json.loads(files["environment.json"].read_text())
    losses = pd.read_csv(files["losses.csv"])
    paper_loss = record.get("paper_loss", 1.0)  # an older sweep has none
    swept = Swept(cells, chosen, runs, curves, losses, command, environment, paper_loss)
    table = conclude(results, swept, claims, others)
    print(as_text(table, command))
    print(f"Page     {results / 'report.html'}")
    found = table.loc[table["verdict"] == config.fail_on, "id"].unique()
    if len(found):
        print(f"\n{', '.join(found)}: {config.fail_on}")
    return 1 if len(found) else 0


def _beside(folders: Sequence[str]) -> dict[str, dict[str, str]]:
    found = {}
    for folder in map(Path, folders):
        if not (folder / "verdicts.csv").is_file():
            raise UsageError(f"beside: {folder} has no verdicts.csv")
        found.update(beside(str(folder), pd.read_csv(folder / "verdicts.csv")))
    return found


def _read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.exists() else pd.DataFrame()
