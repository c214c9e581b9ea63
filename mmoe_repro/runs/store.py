"""Everything that touches files: atomic writes, checksums, locks, what is done.

A cell's folder holds

    cell.yaml                                the cell's settings, the size of its chunks, the versions that made it
    runs-<first>-<last>-<checksum>.parquet   the finished runs of one chunk of seeds, a row per seed and task
    runs-<first>-<last>.checkpoint           a chunk in training
    runs-<first>-<last>.lock                 held by the process that trains the chunk

A file is either whole or absent: it is written beside its place and moved there. Each has a checksum, and whose it is:
one that was altered, or moved here from another cell or other seeds, is not taken for a file of this cell.
"""

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from yaml import YAMLError

from mmoe_repro.runs.files import checksum, write_atomically, write_once
from mmoe_repro.settings.cell import Cell, read_record

#: What stands before the checksum in the last line of `cell.yaml`.
_SUM_OF_RECORD = b"# checksum "
_FINISHED = re.compile(r"runs-(\d+)-(\d+)-[0-9a-f]+\.parquet")


class CellStore:
    """The stored runs of one cell.

    Runs are trained and stored in chunks of consecutive seeds: chunk i holds the seeds from i × `chunk_size` on.
    So a run always trains in the same place among the same neighbours, and its bits do not depend on what else was
    asked for. The size is fixed when the folder is made.

    Args:
        results: the sweep's folder.
        cell: the setting.
        made_with: gives what else decides a run's bits, `chunk_size`, `compiled` and `versions`; recorded if the folder
            is new, and else not asked, since whether to compile takes seconds to find out.

    Attributes:
        chunk_size, compiled, versions: as recorded.
        damaged_record: the name under which a `cell.yaml` that could not be read was set aside.
    """

    def __init__(self, results: Path, cell: Cell, made_with: Callable[[], dict[str, Any]]) -> None:
        self.folder = results / "cells" / cell.identity
        self._path_of_record = self.folder / "cell.yaml"
        self.damaged_record: Path | None = None
        self._identity = cell.identity
        if not self._path_of_record.exists():
            self._write_record({**cell.record(), **made_with()}, write_once)
        try:
            self._read_record()
        except (KeyError, TypeError, ValueError, YAMLError):
            self.damaged_record = self._path_of_record.with_suffix(".damaged")
            os.replace(self._path_of_record, self.damaged_record)
            self._write_record({**cell.record(), **made_with()}, write_once)
            self._read_record()

    def _write_record(self, record: dict[str, Any], write: Callable[[Path, bytes], None] = write_atomically) -> None:
        content = OmegaConf.to_yaml(OmegaConf.create(record)).encode()
        write(self._path_of_record, content + _SUM_OF_RECORD + checksum(content).encode() + b"\n")

    def _read_record(self) -> dict[str, Any]:
        record = _record(self._path_of_record)
        self.chunk_size, self.compiled = int(record["chunk_size"]), bool(record["compiled"])
        self.versions: dict[str, str] = record["versions"]
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size: {self.chunk_size}")
        return record

    def keep_uncompiled(self) -> bool:
        """Record that the cell stays uncompiled; False, and nothing changes, if finished runs of it were compiled."""
        record = self._read_record()
        if self.compiled and any(self.folder.glob("runs-*.parquet")):
            return False
        self._write_record({**record, "compiled": False})
        self.compiled = False
        return True

    def chunks(self, seeds: Iterable[int]) -> list[range]:
        """The chunks that these seeds lie in."""
        size = self.chunk_size
        return [range(i * size, (i + 1) * size) for i in sorted({seed // size for seed in seeds})]

    def _path(self, chunk: range, ending: str) -> Path:
        return self.folder / f"runs-{chunk[0]:07d}-{chunk[-1]:07d}{ending}"

    def finished(self) -> dict[range, Path]:
        """The files of all finished chunks, by their seeds."""
        return finished_chunks(self.folder)

    def find(self, chunk: range) -> Path | None:
        """The file of a finished chunk; None if it has yet to be trained."""
        return self.finished().get(chunk)

    def save(self, chunk: range, runs: pd.DataFrame) -> None:
        """Store a finished chunk and drop its checkpoint."""
        table, buffer = pa.Table.from_pandas(runs, preserve_index=False), io.BytesIO()
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **self._owner(chunk)}), buffer)
        content = buffer.getvalue()
        write_atomically(self._path(chunk, f"-{checksum(content)}.parquet"), content)
        self._path(chunk, ".checkpoint").unlink(missing_ok=True)

    def load(self, chunk: range) -> pd.DataFrame | None:
        """The runs of a finished chunk; None if it has yet to be trained, or its file is not as it was written."""
        path = self.find(chunk)
        table = None if path is None else self.read(chunk, path)
        return None if table is None else table.to_pandas()

    def read(self, chunk: range, path: Path) -> pa.Table | None:
        """The runs in the file of a finished chunk; None if it is not as it was written."""
        content = path.read_bytes()
        return pq.ParquetFile(io.BytesIO(content)).read() if self._is_own(path, chunk, content) else None

    def _owner(self, chunk: range) -> dict[bytes, bytes]:
        """Whose a chunk's file is, for its metadata."""
        return {b"cell": self._identity.encode(), b"seeds": f"{chunk[0]}-{chunk[-1]}".encode()}

    def _is_own(self, path: Path, chunk: range, content: bytes) -> bool:
        """Whether a file is as it was written, for this cell and these seeds; those of earlier versions do not say."""
        if not path.stem.endswith(f"-{checksum(content)}"):
            return False
        metadata = pq.read_schema(io.BytesIO(content)).metadata or {}
        return all(metadata.get(key, value) == value for key, value in self._owner(chunk).items())

    def missing(self, seeds: Iterable[int]) -> tuple[list[range], list[Path]]:
        """The chunks that have yet to be trained for these seeds to be there.

        A finished one whose file is not as it was written is renamed, and counts as missing.

        Returns:
            the chunks, and the new names of damaged files.
        """
        finished, missing, aside = self.finished(), [], []
        for chunk in self.chunks(seeds):
            path = finished.get(chunk)
            if path is not None and not self._is_own(path, chunk, path.read_bytes()):
                aside.append(path.with_suffix(".damaged"))
                os.replace(path, aside[-1])
                path = None
            if path is None:
                missing.append(chunk)
            else:  # a process may have died between storing the chunk and dropping what it trained it with
                self._drop_unfinished(chunk)
        return missing, aside

    def _drop_unfinished(self, chunk: range) -> None:
        """Drop the checkpoint and the lock of a finished chunk; whoever waits for the lock finds the chunk done."""
        for ending in (".checkpoint", ".lock"):
            self._path(chunk, ending).unlink(missing_ok=True)

    def save_checkpoint(self, chunk: range, state: bytes) -> None:
        """Store a chunk in training."""
        write_atomically(self._path(chunk, ".checkpoint"), self._sum_of(chunk, state) + state)

    def load_checkpoint(self, chunk: range) -> bytes | None:
        """The state that `save_checkpoint` stored; None if there is none.

        Raises:
            ValueError: it is damaged, or another chunk's.
        """
        path = self._path(chunk, ".checkpoint")
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        written, state = content[:16], content[16:]
        if written != self._sum_of(chunk, state):
            raise ValueError(f"{path} is damaged")
        return state

    def _sum_of(self, chunk: range, state: bytes) -> bytes:
        return checksum(b"".join(self._owner(chunk).values()) + state).encode()

    @contextmanager
    def lock(self, chunk: range) -> Iterator[bool]:
        """Hold the chunk against other processes, if none has it: gives whether it is held. One that dies lets go."""
        path = self._path(chunk, ".lock")
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            for draft in self.folder.glob(self._path(chunk, "*.draft").name):
                draft.unlink(missing_ok=True)  # of a process that was killed while writing
            yield True
        finally:
            if self.find(chunk) is not None:
                path.unlink(missing_ok=True)  # whoever still waits for it finds the chunk done
            lock.release()


def _record(path: Path) -> dict[str, Any]:
    """What `cell.yaml` says.

    Raises:
        ValueError: it is not as it was written; that of an earlier version has no checksum.
    """
    content, separator, written = path.read_bytes().partition(_SUM_OF_RECORD)
    if separator and written.strip() != checksum(content).encode():
        raise ValueError(f"{path} is damaged")
    record: Any = OmegaConf.to_container(OmegaConf.create(content.decode()))
    return dict(record)


def stored_cell(results: Path, identity: str) -> Cell:
    """The cell of a store, by the name of its folder."""
    return Cell(**read_record(_record(results / "cells" / identity / "cell.yaml")), recorded=identity)


def finished_chunks(folder: Path) -> dict[range, Path]:
    """The files of the finished chunks in a cell's folder, by their seeds; none where there is no such folder yet.

    The folder is listed anew: opening it makes a network file system ask its server, which looking for a single file
    does not.
    """
    try:
        with os.scandir(folder) as entries:
            # In order: of two files of one chunk (of processes that no lock kept apart) everyone takes the same one.
            names = sorted((entry.name for entry in entries), reverse=True)
    except FileNotFoundError:
        return {}
    matches = filter(None, map(_FINISHED.fullmatch, names))
    return {range(int(match[1]), int(match[2]) + 1): folder / match[0] for match in matches}
