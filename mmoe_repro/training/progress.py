"""How long work is shown: one bar on a terminal, a plain line now and then elsewhere. On stderr."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

#: Where there is no terminal, seconds to the first line; the next ones come after a tenth of the time so far, if that
#: is longer.
_LINE_SECONDS = 10.0
#: Work that shows no bar is told after so many seconds.
_SLOW = 15.0
#: What is left is told after so many seconds of progress.
_TELLING = 5.0


def _clock(seconds: float) -> str:
    """A length of time as a clock shows it.

    >>> _clock(80), _clock(3723)
    ('1:20', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


@contextmanager
def told_if_slow(work: str) -> Iterator[None]:
    """Say in a line what is being done, if it takes longer than anybody expects."""
    timer = threading.Timer(_SLOW, lambda: print(f"mmoe-repro: {work}; this takes long", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Live(ProgressColumn):
    """A column of what a function says whenever the bar is drawn."""

    def __init__(self, says: Callable[[], str], column: Column) -> None:
        super().__init__(column)
        self._says = says

    def render(self, task: Task) -> Text:
        return Text(self._says())


class ProgressBar:
    """Shows how much of the work is done, for how long it goes on, and what is being worked at.

    Args:
        work: what there is to do, such as "400 runs".
        total: its size in any unit, such as run-steps.
        measure: what the values are that `progress` gets, such as "best score"; nothing if it gets none.
    """

    def __init__(self, work: str, total: int, measure: str = "") -> None:
        self._work, self._total, self._done, self._measure = work, total, 0, measure
        self._value: float | None = None
        self._at_work: dict[int, str] = {}
        self._started = self._last_line = time.monotonic()
        # When there first was progress, and how much: work before that is compiling, or was done by an earlier command.
        self._first: tuple[float, int] | None = None
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.percentage:3.0f}% of {task.description}"),
                BarColumn(bar_width=10),
                _Live(self._times, Column(no_wrap=True)),
                _Live(self._beside, Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            )
            self._bar = Progress(*columns, console=console, refresh_per_second=4, expand=True)
            self._task = self._bar.add_task(work, total=total)

    def __enter__(self) -> "ProgressBar":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def progress(self, done: int, value: float | None = None) -> None:
        """Add what is done, and the latest value of the measure if there is one."""
        self._done = min(self._done + done, self._total)  # what a killed process had done is done again
        self._value = self._value if value is None else value
        now = time.monotonic()
        if self._first is None and done:
            self._first = now, self._done
        if self._bar is not None:
            self._bar.update(self._task, advance=done)
        elif now - self._last_line > max(_LINE_SECONDS, (self._last_line - self._started) / 10):
            self._last_line = now
            parts = [f"{self._done / self._total:4.0%} of {self._work}", self._times(), self._beside()]
            print("  ".join(filter(None, parts)), file=sys.stderr, flush=True)

    def at_work(self, worker: int, what: str) -> None:
        """Note what a worker is at; nothing if it is done."""
        self._at_work[worker] = what

    def notice(self, message: str) -> None:
        """Print a line that the user should see."""
        if self._bar is not None:
            self._bar.console.print(message, highlight=False, markup=False)
        else:
            print(message, file=sys.stderr, flush=True)

    def _times(self) -> str:
        """The time so far, and what is left as soon as there is something to tell it by."""
        now = time.monotonic()
        so_far = _clock(now - self._started)
        began, before = self._first or (now, 0)
        if now - began < _TELLING or self._done == before:
            return so_far
        left = (now - began) * (self._total - self._done) / (self._done - before)
        return f"{so_far}, {_clock(left)} left"

    def _beside(self) -> str:
        if self._value is not None:
            return f"{self._measure} {self._value:.3f}"
        return ", ".join(dict.fromkeys(filter(None, self._at_work.values())))
