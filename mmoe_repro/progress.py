"""How long work is shown: one bar on a terminal, a plain line now and then elsewhere. On stderr."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

#: Seconds between lines where there is no terminal.
_LINE_SECONDS = 30.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class ProgressBar:
    """Shows how much of the work is done, a measure of how it goes, and the time left.

    Args:
        work: what there is to do, such as "400 runs".
        total: its size in any unit, such as run-steps.
        measure: what is shown beside, such as the loss.
    """

    def __init__(self, work: str, total: int, measure: str = "loss") -> None:
        self._work, self._total, self._done, self._measure = work, total, 0, measure
        self._value: float | None = None
        self._started = self._last_line = time.monotonic()
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[measure]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
            )
            self._bar = Progress(*columns, console=console, speed_estimate_period=120)
            self._task = self._bar.add_task(work, total=total, measure="")

    def __enter__(self) -> "ProgressBar":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def progress(self, done: int, value: float | None = None) -> None:
        """So much more is done."""
        self._done += done
        self._value = self._value if value is None else value
        shown = "" if self._value is None else f"{self._measure} {self._value:.3f}"
        if self._bar is not None:
            self._bar.update(self._task, advance=done, measure=shown)
            return
        now = time.monotonic()
        if now - self._last_line < _LINE_SECONDS:
            return
        self._last_line = now
        left = (now - self._started) * (self._total - self._done) / max(self._done, 1)
        print(
            f"{self._done / self._total:4.0%} of {self._work}  {shown}  {_duration(left)} left",
            file=sys.stderr,
            flush=True,
        )

    def notice(self, message: str) -> None:
        """Print a line that the user should see."""
        if self._bar is not None:
            self._bar.console.print(message, highlight=False)
        else:
            print(message, file=sys.stderr, flush=True)
