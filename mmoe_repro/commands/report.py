"""`mmoe-repro report results/<name>`: judge a sweep that is already there, and write its page."""

import sys
import webbrowser
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mmoe_repro.commands.outputs import FORMATS, as_only_writer, verdicts_of, write_verdicts
from mmoe_repro.errors import UsageError, nearest
from mmoe_repro.findings.sweep_findings import find
from mmoe_repro.runs.results import read_sweep, read_verdicts
from mmoe_repro.settings.claims import read_claims
from mmoe_repro.views.figures import pictures_of
from mmoe_repro.views.tables import verdicts_text

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
    for name in config.formats:
        if name not in FORMATS:
            raise UsageError(f"formats=[{name}]: {nearest(name, FORMATS)}")
    claims, results = read_claims(config), Path(config.results)
    with as_only_writer(results) if results.is_dir() else nullcontext():
        swept = read_sweep(results)
        beside = _beside(config.beside)
        findings = find(swept, claims)
        write_verdicts(results, findings, pictures_of(findings), beside)
    table = findings.verdicts
    print(verdicts_text(table, swept.command))
    page = results / "report.html"
    print(f"Page     {page}")
    for path in (path for name in config.formats for path in FORMATS[name](results, findings)):
        print(f"And      {path}")
    if config.open and not webbrowser.open(page.resolve().as_uri()):
        print("mmoe-repro: there is no browser here to show it in", file=sys.stderr)
    found = table.loc[table["verdict"] == config.fail_on, "id"].unique()
    if len(found):
        print(f"\n{', '.join(found)}: {config.fail_on}")
    return 1 if len(found) else 0


def _beside(folders: Sequence[str]) -> dict[str, dict[str, str]]:
    found = {}
    for folder in map(Path, folders):
        if not (folder / "verdicts.csv").exists():
            raise UsageError(f"beside: {folder} has no verdicts.csv")
        found.update(verdicts_of(str(folder), read_verdicts(folder)))
    return found
