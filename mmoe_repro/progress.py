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
    """Shows runs × steps done, the loss so far and the time left.

    Args:
        runs: runs to train.
        run_steps: their steps together.
    """

    def __init__(self, runs: int, run_steps: int) -> None:
        self._runs, self._total, self._done = runs, run_steps, 0
        self._loss: float | None = None
        self._started = self._last_line = time.monotonic()
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[loss]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
            )
            self._bar = Progress(*columns, console=console, speed_estimate_period=120)
            self._task = self._bar.add_task(f"{runs:,} runs", total=run_steps, loss="")

    def __enter__(self) -> "ProgressBar":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def progress(self, run_steps: int, loss: float | None = None) -> None:
        """So many more run-steps are done."""
        self._done += run_steps
        self._loss = self._loss if loss is None else loss
        shown = "" if self._loss is None else f"loss {self._loss:.3f}"
        if self._bar is not None:
            self._bar.update(self._task, advance=run_steps, loss=shown)
            return
        now = time.monotonic()
        if now - self._last_line < _LINE_SECONDS:
            return
        self._last_line = now
        left = (now - self._started) * (self._total - self._done) / max(self._done, 1)
        print(
            f"{self._done / self._total:4.0%} of {self._runs:,} runs  {shown}  {_duration(left)} left",
            file=sys.stderr,
            flush=True,
        )

    def notice(self, message: str) -> None:
        """Print a line that the user should see."""
        if self._bar is not None:
            self._bar.console.print(message, highlight=False)
        else:
            print(message, file=sys.stderr, flush=True)
