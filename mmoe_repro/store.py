"""Everything that touches files: atomic writes, checksums, locks, what is done.

A cell's folder holds

    cell.yaml                                the cell's settings, the size of its chunks, the versions that made it
    runs-<first>-<last>-<checksum>.parquet   the finished runs of one chunk of seeds, a row per seed and task
    runs-<first>-<last>.checkpoint           a chunk in training
    runs-<first>-<last>.lock                 held by the process that trains the chunk

A file is either whole or absent: it is written beside its place and moved there.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from yaml import YAMLError

from mmoe_repro.config import Cell


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that, whenever the process dies, the file is either whole or as it was.

    Raises:
        OSError: the disk is full or the folder cannot be written to; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


class CellStore:
    """The stored runs of one cell.

    Runs are trained and stored in chunks of consecutive seeds: chunk i holds the seeds from i × `chunk_size` on.
    So a run always trains in the same place among the same neighbours, and its bits do not depend on what else was
    asked for. The size is fixed when the folder is made.

    Args:
        results: the sweep's folder.
        cell: the setting.
        made_with: what else decides a run's bits, recorded if the folder is new: `chunk_size`, `compiled`, `versions`.

    Attributes:
        chunk_size, compiled, versions: as recorded.
        damaged_record: the name under which a `cell.yaml` that could not be read was set aside.
    """

    def __init__(self, results: Path, cell: Cell, made_with: dict[str, Any]) -> None:
        self.folder = results / "cells" / cell.identity
        self._path_of_record = self.folder / "cell.yaml"
        self.damaged_record: Path | None = None
        settings = {**asdict(cell), **made_with}
        if not self._path_of_record.exists():
            write_settings(self._path_of_record, settings)
        try:
            self._read_record()
        except (KeyError, TypeError, ValueError, YAMLError):
            self.damaged_record = self._path_of_record.with_suffix(".damaged")
            os.replace(self._path_of_record, self.damaged_record)
            write_settings(self._path_of_record, settings)
            self._read_record()

    def _read_record(self) -> dict[str, Any]:
        record: Any = OmegaConf.to_container(OmegaConf.load(self._path_of_record))
        self.chunk_size, self.compiled = int(record["chunk_size"]), bool(record["compiled"])
        self.versions: dict[str, str] = record["versions"]
        return dict(record)

    def forgo_compiling(self) -> bool:
        """Record that this cell's runs are not compiled; False if some already are."""
        record = self._read_record()
        if self.compiled and any(self.folder.glob("runs-*.parquet")):
            return False
        write_settings(self._path_of_record, {**record, "compiled": False})
        self.compiled = False
        return True

    def chunks(self, seeds: Iterable[int]) -> list[range]:
        """The chunks that these seeds lie in."""
        size = self.chunk_size
        return [range(i * size, (i + 1) * size) for i in sorted({seed // size for seed in seeds})]

    def _path(self, chunk: range, ending: str) -> Path:
        return self.folder / f"runs-{chunk[0]:07d}-{chunk[-1]:07d}{ending}"

    def find(self, chunk: range) -> Path | None:
        """The file of a finished chunk; None if it has yet to be trained."""
        return next(iter(self.folder.glob(self._path(chunk, "-*.parquet").name)), None)

    def save(self, chunk: range, runs: pd.DataFrame) -> None:
        """Store a finished chunk and drop its checkpoint."""
        buffer = io.BytesIO()
        runs.to_parquet(buffer, index=False)
        content = buffer.getvalue()
        write_atomically(self._path(chunk, f"-{_checksum(content)}.parquet"), content)
        self._path(chunk, ".checkpoint").unlink(missing_ok=True)

    def load(self, chunk: range) -> pd.DataFrame | None:
        """The runs of a finished chunk; None if it has yet to be trained."""
        path = self.find(chunk)
        return None if path is None else pd.read_parquet(path)

    def set_damaged_aside(self, chunk: range) -> Path | None:
        """If the chunk's file is not as it was written, rename it so that its runs are trained again.

        Returns:
            the new name; None if nothing was wrong.
        """
        path = self.find(chunk)
        if path is None or path.stem.endswith(_checksum(path.read_bytes())):
            return None
        aside = path.with_suffix(".damaged")
        os.replace(path, aside)
        return aside

    def save_checkpoint(self, chunk: range, state: bytes) -> None:
        """Store a chunk in training."""
        write_atomically(self._path(chunk, ".checkpoint"), _checksum(state).encode() + state)

    def load_checkpoint(self, chunk: range) -> bytes | None:
        """The state that `save_checkpoint` stored; None if there is none or it is damaged."""
        try:
            content = self._path(chunk, ".checkpoint").read_bytes()
        except FileNotFoundError:
            return None
        checksum, state = content[:16], content[16:]
        return state if checksum == _checksum(state).encode() else None

    @contextmanager
    def lock(self, chunk: range, blocked: Callable[[], None]) -> Iterator[None]:
        """Hold the chunk against other processes; a process that dies lets go.

        `blocked` is called every second while another process holds it; it may raise to give up.
        """
        path = self._path(chunk, ".lock")
        lock = FileLock(path)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                blocked()
        try:
            for draft in self.folder.glob(self._path(chunk, "*.draft").name):
                draft.unlink()  # of a process that was killed while writing
            yield
        finally:
            if self.find(chunk) is not None:
                path.unlink(missing_ok=True)  # whoever still waits for it finds the chunk done
            lock.release()


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV or Parquet, by the ending of `path`."""
    buffer = io.BytesIO()
    if path.suffix == ".parquet":
        table.to_parquet(buffer, index=False)
    else:
        table.to_csv(buffer, index=False, lineterminator="\n")
    write_atomically(path, buffer.getvalue())


def write_settings(path: Path, settings: Any, opening: str = "") -> None:
    """Write settings as YAML, below an opening comment if there is one."""
    comment = "".join(f"# {line}\n" for line in opening.splitlines())
    write_atomically(path, (comment + OmegaConf.to_yaml(OmegaConf.create(settings))).encode())
