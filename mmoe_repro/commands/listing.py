"""`mmoe-repro models` and `mmoe-repro data`: what there is."""

import errno
import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console
from rich.padding import Padding
from rich.text import Text
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmoe_repro.jobs.from_config import read_cell
from mmoe_repro.models.parts import ASIDE, weights_by_part
from mmoe_repro.settings.schema import folder, register
from mmoe_repro.text import aligned


class _Pages(Console):
    """What is shown, wrapped; that a reader has seen enough is left to the command line, where it is no error."""

    def on_broken_pipe(self) -> None:
        """Do not end the program, as Rich would."""
        raise BrokenPipeError(errno.EPIPE, "the output is closed")


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (folder() / group).glob("*.yaml"))


def _settings(group: str, option: str, *overrides: str) -> Mapping[str, Any]:
    """What a group's option stands for, by its defaults."""
    composed = compose("sweep", [f"{group}={option}", *overrides], return_hydra_config=True)
    cell = read_cell(composed, composed.hydra.runtime.choices)
    return cell.model.settings if group == "model" else cell.data.settings


def _source(path: Path) -> str:
    """The comment that a config file opens with."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines).removeprefix("Source: ")


def show_models() -> None:
    """Print each architecture's equation and source, and what it costs: weights of its parts, operations."""
    register()
    console = _Pages(highlight=False)
    rows = []
    with initialize_config_dir(str(folder()), version_base="1.3"):
        for option in _options("model"):
            settings = _settings("model", option)
            model = instantiate(settings)
            equation, meaning, source = (inspect.getdoc(inspect.getmodule(type(model))) or "").split("\n\n")
            console.print(f"model={option}", style="bold")
            for paragraph in (equation, meaning, source):
                line = Text(" ".join(paragraph.split()).removesuffix("."))
                console.print(Padding(line, (0, 0, 0, 2), expand=False))
            console.print()
            parts = weights_by_part(model)
            counted = {part: count for part, count in parts.items() if part not in ASIDE}
            rows.append(
                [
                    option,
                    f"{sum(counted.values()):,}",
                    ", ".join(f"{part} {count:,}" for part, count in counted.items()),
                    *(f"{parts.get(part, 0):,}" for part in ASIDE),
                    f"{sum(parts.values()):,}",
                    f"{_operations(model, settings['features']):,}",
                ]
            )
    header = ["model", "weights", "of which", *ASIDE, "in all", "operations"]
    print("By default. Weights as the paper counts them: gates, output layers and biases aside, which follow.")
    print("Operations: additions and multiplications that one example more takes to predict.\n")
    print(aligned(header, rows))


def _operations(model: nn.Module, features: int) -> int:
    """Additions and multiplications that a batch's second example adds: of matrix products, mixtures and biases."""

    def elementwise(*shapes: Any, out_shape: torch.Size, **_: Any) -> int:
        return math.prod(out_shape)

    def reduction(values: torch.Size, *_: Any, **__: Any) -> int:
        return math.prod(values)

    counted = {torch.ops.aten.mul: elementwise, torch.ops.aten.add: elementwise, torch.ops.aten.sum: reduction}
    totals = []
    for batch in (1, 2):
        with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=counted) as counter:
            model.eval()(torch.zeros(batch, features))
        totals.append(counter.get_total_flops())
    return int(totals[1] - totals[0])


def show_data() -> None:
    """Print each law's closed-form mean, variance and label Pearson correlation at p = 0.5, 0.9, 1, and its source."""
    register()
    console = _Pages(highlight=False)
    correlations = (0.5, 0.9, 1.0)
    with initialize_config_dir(str(folder()), version_base="1.3"):
        for option in _options("data"):
            laws = [instantiate(_settings("data", option, f"data.correlation={p}")) for p in correlations]
            law = laws[0]
            console.print(f"data={option}", style="bold")
            console.print(f"  {_source(folder() / 'data' / f'{option}.yaml')}", markup=False)
            pearson = ", ".join(f"{one.label_pearson:.4f} at p = {one.correlation:g}" for one in laws)
            examples = "fresh examples" if law.examples is None else f"{law.examples:,} training examples"
            moments = f"mean {law.mean:.4f}, variance {law.variance:.4f}, of which noise {law.noise_floor:.4f}"
            console.print(f"  labels: {moments}; {examples}")
            console.print(f"  Pearson correlation of two tasks' labels: {pearson}")
            console.print()
