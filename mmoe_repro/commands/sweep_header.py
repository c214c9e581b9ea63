"""What a sweep is going to do, said before it does it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmoe_repro.names import readable
from mmoe_repro.runs.results import SweptCell, merge
from mmoe_repro.settings.job import Job
from mmoe_repro.settings.own_code import own_targets
from mmoe_repro.text import aligned, duration
from mmoe_repro.training.chunk import CHUNK_SIZE

#: Settings that do not change how long a run takes.
_NO_MATTER = {"data": ("correlation",), "training": ("learning_rate",)}


@dataclass(frozen=True)
class _Asked:
    """The runs that are asked for of a cell, and its chunks that are stored, by their seeds."""

    cell: SweptCell
    chunks: Mapping[range, Path]

    @property
    def runs(self) -> set[int]:
        return {*self.cell.seeds, *self.cell.tuning_seeds}

    @property
    def missing(self) -> set[int]:
        return self.runs.difference(*self.chunks)

    @property
    def to_train(self) -> int:
        """The runs of the chunks in which the missing ones lie."""
        size = len(next(iter(self.chunks), range(CHUNK_SIZE[self.cell.training.device])))
        return size * len({seed // size for seed in self.missing})

    @property
    def shape(self) -> str:
        """All that decides how long a run takes."""
        settings = self.cell.record()["settings"]
        for group, keys in _NO_MATTER.items():
            settings[group] = {key: value for key, value in settings[group].items() if key not in keys}
        return json.dumps(settings, sort_keys=True)


def sweep_header(
    jobs: Sequence[Job], finished: Mapping[str, Mapping[range, Path]], workers: int | None, grid: bool
) -> str:
    """What there is to train, and about how long it takes where stored runs of the same models tell.

    Args:
        jobs: of the sweep.
        finished: the files of the finished chunks, by cell and by their seeds.
        workers: processes; None if a launcher decides.
        grid: whether each cell has a line.
    """
    asked = [_Asked(cell, finished[cell.identity]) for cell in merge(jobs)]
    runs, missing = (sum(map(len, of)) for of in zip(*((one.runs, one.missing) for one in asked), strict=True))
    stored = f"{runs - missing:,} stored" if missing < runs else "none stored"
    most = "at most " if jobs[0].report_rates == "chosen" else ""  # rates that are not chosen get no further runs
    side_by_side = "" if workers is None else f" in {_counted(workers, 'process', 'processes')}"
    left = f"{stored}, {most}{missing:,} to train{side_by_side}" if missing else "all stored"
    lines = [f"Sweep    {_counted(len(asked), 'cell', 'cells')}, {_counted(runs, 'run', 'runs')}: {left}"]
    seconds = _seconds(asked)
    if seconds and workers is not None:
        lines.append(f"Time     about {duration(seconds / workers)}, by what stored runs of the same models took")
    if own := dict.fromkeys(own_targets([[one.cell.model.settings, one.cell.data.settings] for one in asked])):
        lines.append(f"Code     runs {', '.join(own)}, which is not of this program")
    lines.append(f"Folder   {jobs[0].results}")
    return "\n".join([*([_grid(asked)] if grid else []), *lines]) + "\n"


def _counted(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def _seconds(asked: Sequence[_Asked]) -> float:
    """What the missing runs take one after the other; 0 where no stored run tells."""
    work: dict[str, int] = {}
    for one in asked:
        if one.missing:
            work[one.shape] = work.get(one.shape, 0) + one.to_train
    stored = {one.shape: one.chunks for one in asked if one.chunks}
    if not work.keys() <= stored.keys():
        return 0.0
    return sum(runs * _of_a_run(stored[shape].values()) for shape, runs in work.items())


def _of_a_run(paths: Iterable[Path]) -> float:
    """Seconds that a run of the newest of these chunks took."""
    newest = max(paths, key=lambda path: path.stat().st_mtime)
    return float(pd.read_parquet(newest, columns=["seconds"])["seconds"].mean())


def _grid(asked: Sequence[_Asked]) -> str:
    """A line a cell: model, correlation and whatever else tells it from the others, its runs, the stored ones."""
    lines = [
        {
            **{readable(key): str(value) for key, value in one.cell.keys.items() if key != "cell"},
            "runs": str(len(one.runs)),
            "stored": str(len(one.runs) - len(one.missing)),
        }
        for one in asked
    ]
    always = ("model", "correlation", "runs", "stored")
    header = [key for key in lines[0] if key in always or len({line[key] for line in lines}) > 1]
    return aligned(header, [[line[key] for key in header] for line in lines])
