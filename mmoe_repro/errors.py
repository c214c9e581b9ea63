"""A user's mistake in one line, and the order to end."""

import difflib
import errno
import re
import signal
from collections.abc import Iterable
from types import FrameType
from typing import NoReturn

#: What helps against what the operating system refuses.
_CURES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EISDIR: "move the folder away",
    errno.ENOLCK: "use a folder on a file system that has locks",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "use fewer workers",
}


class UsageError(ValueError):
    """What was asked for cannot be done; the message is one line and says what is allowed."""


class DrawingError(Exception):
    """Figures are missing; the message is one line and says which, and all that does not need them is there."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: the program ends as by Ctrl-C, with what it has done stored."""


def raise_terminated(number: int, frame: FrameType | None) -> NoReturn:
    """Handle SIGTERM."""
    raise Terminated


class Killed(Exception):
    """A worker ended by itself while it worked; the message is one line and says by what.

    Args:
        status: its exit status, or the negative number of the signal that killed it.
    """

    def __init__(self, status: int) -> None:
        by = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        likely = "; the system does so when memory is short, and fewer workers need less"
        super().__init__(f"a worker was ended by {by}{likely if status == -signal.SIGKILL else ''}")


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Say what `word` may have meant and what is allowed.

    >>> nearest("mmoee", ["mmoe", "omoe"])
    "did you mean 'mmoe'? Allowed: mmoe, omoe"
    >>> nearest("transformer", ["mmoe", "omoe"])
    'must be one of mmoe, omoe'
    """
    by_lower = {name.lower(): name for name in sorted(allowed)}
    listed = ", ".join(by_lower.values())
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f"did you mean '{by_lower[close[0]]}'? Allowed: {listed}" if close else f"must be one of {listed}"


def one_line(error: BaseException) -> str:
    """An error's kind and the first line of its message.

    >>> one_line(KeyError("width"))
    "KeyError: 'width'"
    """
    if (short := short_of_memory(error)) is not None:
        return short
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def short_of_memory(error: BaseException) -> str | None:
    """Say that an error is for want of memory, and how much was asked for where it tells; None if it is another.

    >>> short_of_memory(RuntimeError("DefaultCPUAllocator: you tried to allocate 400000000000000 bytes."))
    'needs more memory than there is (400,000 GB at once)'
    """
    asked = re.search(r"tried to allocate (\d+) bytes", str(error))
    if asked is not None:
        return f"needs more memory than there is ({int(asked[1]) / 1e9:,.0f} GB at once)"
    told_by_torch = ("CUDA out of memory", "Storage size calculation overflowed", "Overflow when unpacking long")
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in told_by_torch):
        return "needs more memory than there is"
    return None


def told(error: OSError) -> str:
    """What the operating system refused in one line, with the path if there is one, and what helps.

    >>> told(PermissionError(errno.EACCES, "Permission denied", "results"))
    'results: Permission denied'
    """
    where = "" if error.filename is None else f"{error.filename}: "
    cure = f"; {_CURES[error.errno]}" if error.errno in _CURES else ""
    return f"{where}{error.strerror or one_line(error)}{cure}"
