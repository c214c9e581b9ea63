"""Files: written whole or not at all, whenever the process dies, and read without trust in what became of them."""

import errno
import hashlib
import io
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import pandas as pd
from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from mmoe_repro.errors import UsageError, one_line, told

#: Seconds after which a draft is of a process that died, on whatever machine.
_ABANDONED = 600.0


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that the file is either whole or as it was, whenever the process or the power dies.

    Raises:
        OSError: the disk is full or the folder cannot be written to; what was there stays.
    """
    with writing(path) as file:
        file.write(content)


def write_once(path: Path, content: bytes) -> None:
    """Write `content` to `path` unless there is a file; of several processes that try, on any machine, one does.

    Raises:
        OSError: as of `write_atomically`.
    """
    with writing(path, _link) as file:
        file.write(content)


def _link(draft: Path, path: Path) -> None:
    """Make a draft the file of `path` unless there is one."""
    try:
        os.link(draft, path)  # fails where there is a file, on network file systems, too
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links, where the last one wins
        os.replace(draft, path)
    draft.unlink(missing_ok=True)


def check_locks(folder: Path) -> None:
    """Try whether files in a folder can be locked: without locks commands would wait for each other for ever.

    Raises:
        UsageError: they cannot.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where all can
        return
    with TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            reason = f"its file system has no file locks ({error.strerror})"
            raise UsageError(f"{folder}: {reason}; mount it with locks, or work in a folder elsewhere") from None


@contextmanager
def writing(path: Path, move: Callable[[Path, Path], object] = Path.replace) -> Iterator[IO[bytes]]:
    """Write `path` piece by piece, so that the file is whole, at the end of the block, or as it was.

    Args:
        path: of the file.
        move: makes the draft, which the pieces go to, the file.

    Raises:
        OSError: as of `write_atomically`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Machines that share a folder have the same process numbers.
    draft = path.with_name(f"{path.name}.{socket.gethostname()}.{uuid.uuid4().hex}.draft")
    try:
        with open(draft, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        move(draft, path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(draft)):  # a full disk names no file
            error.filename, error.filename2 = str(path), None
        raise
    _sync(path.parent)
    for left in path.parent.glob("*.draft"):
        with suppress(FileNotFoundError):  # which its own process has moved meanwhile
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()


def _sync(folder: Path) -> None:
    """Let a renaming in a folder outlast a power cut, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot
            raise
    finally:
        os.close(descriptor)


def checksum(content: bytes) -> str:
    """Part of a SHA-256 hash, to know whether a file is as it was written."""
    return hashlib.sha256(content).hexdigest()[:16]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV or Parquet, by the ending of `path`."""
    with writing(path) as file:
        if path.suffix == ".parquet":
            table.to_parquet(file, index=False)
        else:
            table.to_csv(file, index=False, lineterminator="\n")


@contextmanager
def alone(folder: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Write several files of a folder that belong together, as the only process that does so; one that dies lets go.

    Args:
        folder: of the files; there is such a folder.
        wait: called before waiting for another process.
    """
    lock = FileLock(folder / ".lock")  # never removed, since another process may be waiting for it
    try:
        lock.acquire(timeout=0)
    except Timeout:
        wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reading(path: Path, cure: str) -> Iterator[None]:
    """Read a file and make sense of its content; whatever is wrong with it is said of the file.

    Args:
        path: of the file.
        cure: what brings it back.

    Raises:
        UsageError: it cannot be read, is damaged, or another program's.
    """
    try:
        yield
    except UsageError:
        raise
    except OSError as error:
        if error.filename is not None:  # else it is a reader's word for damage
            raise UsageError(f"{told(error)}; {cure}") from error
        raise UsageError(f"{path}: is damaged or another program's; {cure}") from error
    except Exception as error:  # what a reader raises depends on what it was fed with
        raise UsageError(f"{path}: is damaged or another program's ({one_line(error)}); {cure}") from error


def read_text(path: Path) -> str:
    """A text of lines, whole.

    Raises:
        ValueError: it is cut off, empty, or has a merge conflict in it.
    """
    text = path.read_bytes().decode()
    if re.search("^(<{7}|>{7}) ", text, re.MULTILINE):
        raise ValueError("a merge conflict is in it")
    if not text.endswith("\n"):
        raise ValueError("it is cut off" if text else "it is empty")
    return text


def read_table(path: Path, columns: Iterable[str], **options: Any) -> pd.DataFrame:
    """A table that was written as CSV, its numbers to the bit, or as Parquet.

    Args:
        path: of the file.
        columns: that it has to have, others beside.
        options: of pandas, for a CSV.

    Raises:
        ValueError: it has not, or is not whole.
    """
    if path.suffix == ".parquet":
        table = pd.read_parquet(io.BytesIO(path.read_bytes()))  # which, given a folder, would read all of it
    else:
        if int(pd.__version__.partition(".")[0]) < 3 and "dtype" not in options:
            options["float_precision"] = "round_trip"  # as later releases always do
        table = pd.read_csv(io.StringIO(read_text(path)), **options)
    require_columns(columns, table)
    return table


def require_columns(columns: Iterable[str], table: Container[str]) -> None:
    """Refuse a table that lacks one of these columns.

    Raises:
        ValueError: with the first that it lacks.
    """
    for column in columns:
        if column not in table:
            raise ValueError(f"it has no column {column}")


def write_settings(path: Path, settings: Any, opening: str = "") -> None:
    """Write settings as YAML, below an opening comment if there is one."""
    comment = "".join(f"# {line}\n" for line in opening.splitlines())
    write_atomically(path, (comment + OmegaConf.to_yaml(OmegaConf.create(settings))).encode())
