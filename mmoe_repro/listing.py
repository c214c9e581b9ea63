"""`mmoe-repro models` and `mmoe-repro data`: what there is."""

import inspect
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console

from mmoe_repro import config
from mmoe_repro.models import count_weights


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (config.folder() / group).glob("*.yaml"))


def _made(group: str, option: str, *overrides: str) -> Any:
    """The object that a group's option stands for, by its defaults."""
    settings = compose("sweep", [f"{group}={option}", *overrides])
    return instantiate(OmegaConf.to_container(settings[group], resolve=True))


def _source(path: Path) -> str:
    """The comment that a config file opens with."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines).removeprefix("Source: ")


def show_models() -> None:
    """Print each architecture's equation, its weights as the paper counts them, all its parameters, its source."""
    config.register()
    console = Console(highlight=False)
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        for option in _options("model"):
            model = _made("model", option)
            parameters = sum(parameter.numel() for parameter in model.parameters())
            opening = inspect.getdoc(inspect.getmodule(type(model))) or inspect.getdoc(type(model)) or ""
            equation, _, source = opening.partition("\n\n")
            console.print(f"model={option}", style="bold")
            console.print(f"  {equation}", markup=False)
            console.print(f"  {' '.join(source.split())}", markup=False)
            console.print(
                f"  {count_weights(model):,} weights as the paper counts them "
                f"(biases, gates and the towers' output layers aside), {parameters:,} parameters in all"
            )
            console.print()


def show_data() -> None:
    """Print each law's closed-form mean, variance and label Pearson correlation at p = 0.5, 0.9, 1, and its source."""
    config.register()
    console = Console(highlight=False)
    correlations = (0.5, 0.9, 1.0)
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        for option in _options("data"):
            laws = [_made("data", option, f"data.correlation={p}") for p in correlations]
            law = laws[0]
            console.print(f"data={option}", style="bold")
            console.print(f"  {_source(config.folder() / 'data' / f'{option}.yaml')}", markup=False)
            pearson = ", ".join(f"{one.label_pearson:.4f} at p = {one.correlation:g}" for one in laws)
            examples = "fresh examples" if law.examples is None else f"{law.examples:,} training examples"
            moments = f"mean {law.mean:.4f}, variance {law.variance:.4f}, of which noise {law.noise_floor:.4f}"
            console.print(f"  labels: {moments}; {examples}")
            console.print(f"  Pearson correlation of two tasks' labels: {pearson}")
            console.print()
