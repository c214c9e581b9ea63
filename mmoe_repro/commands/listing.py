"""`mmoe-repro models` and `mmoe-repro data`: what there is."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmoe_repro.jobs.from_config import read_cell
from mmoe_repro.models.parts import ASIDE, weights_by_part
from mmoe_repro.settings.help import opening_comment
from mmoe_repro.settings.schema import folder, register
from mmoe_repro.text import aligned, paragraph, terminal_width


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (folder() / group).glob("*.yaml"))


def _settings(group: str, option: str, *overrides: str) -> Mapping[str, Any]:
    """What a group's option stands for, by its defaults."""
    composed = compose("sweep", [f"{group}={option}", *overrides], return_hydra_config=True)
    cell = read_cell(composed, composed.hydra.runtime.choices)
    return cell.model.settings if group == "model" else cell.data.settings


def show_models() -> None:
    """Print each architecture's equation and source, and what it costs: weights of its parts, operations."""
    register()
    rows = []
    with initialize_config_dir(str(folder()), version_base="1.3"):
        for option in _options("model"):
            settings = _settings("model", option)
            model = instantiate(settings)
            equation, meaning, source = (inspect.getdoc(inspect.getmodule(type(model))) or "").split("\n\n")
            print(f"model={option}")
            for part in (equation, meaning, source):
                print(paragraph(part.removesuffix(".")))
            print()
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
    print(paragraph("By default. Weights as the paper counts them: gates, output layers and biases aside.", ""))
    print(paragraph("Operations: additions and multiplications that one example more takes to predict.", ""))
    print()
    print(aligned(header, rows, terminal_width(), ("biases", "outputs", "in all"), "of which"))


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
    """Print each law's closed forms, of mean, variance and two tasks' labels' Pearson correlation, and its source."""
    register()
    correlations = (0.5, 0.9, 1.0)
    with initialize_config_dir(str(folder()), version_base="1.3"):
        for option in _options("data"):
            laws = [instantiate(_settings("data", option, f"data.correlation={p}")) for p in correlations]
            law = laws[0]
            print(f"data={option}")
            pearson = ", ".join(f"{one.label_pearson:.4f} at p = {one.correlation:g}" for one in laws)
            examples = "fresh examples" if law.examples is None else f"{law.examples:,} training examples"
            moments = f"mean {law.mean:.4f}, variance {law.variance:.4f}, of which noise {law.noise_floor:.4f}"
            print(paragraph(f"Labels: {moments}; {examples}"))
            print(paragraph(f"Label Pearson: {pearson}"))
            print(paragraph(f"Source: {opening_comment(folder() / 'data' / f'{option}.yaml').removesuffix('.')}"))
            print()
