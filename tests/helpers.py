"""What several tests make: cells without a config, sweeps that were never trained, and trainings."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

from mmoe_repro.data.normals import normals
from mmoe_repro.data.seeds import derived
from mmoe_repro.data.streams import Streams
from mmoe_repro.jobs.from_config import read_cell
from mmoe_repro.runs.curves import mean_curves
from mmoe_repro.runs.results import Swept, SweptCell
from mmoe_repro.settings.cell import Law, Option
from mmoe_repro.settings.schema import folder, register
from mmoe_repro.settings.training import Adam, Training
from mmoe_repro.training.population import build_model

#: Settings that make a sweep take a second or two. One worker each, since tests run side by side.
SMALL = (
    "data.dimension=20",
    "training.batch_size=32",
    "training.steps=40",
    "training.window=10",
    "runs=10",
    "workers=1",
)
#: PyTorch's defaults.
ADAM = Adam(betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0, decoupled_weight_decay=False, amsgrad=False)
TRAINING = Training(
    steps=10_000, batch_size=256, learning_rate=0.01, window=100, warmup=0, device="cpu", optimizer=ADAM
)
#: What every architecture takes, as is customary, whatever the defaults of the config are.
CUSTOMARY = {
    "bias": True,
    "activation": "relu",
    "initializer": "glorot_uniform",
    "gain": 1.0,
    "output_gain": 1.0,
    "gate_gain": 1.0,
}

#: A module of a user's own, to be filled in by `net`.
NET = """
from torch import nn
{imports}

class Net(nn.Module):
    def __init__(self, width=2):
        super().__init__()
        self.out = nn.Linear(20, 2)
        {init}

    def forward(self, x):
        {forward}
        return self.out(x) * factor

    @classmethod
    def build(cls):
        return cls()


def build():
    return Net()
"""
#: What it may import.
HELPER = "FACTOR = 1.0\ndef factor():\n    return FACTOR\n"


def one_in(number, cases):
    """Test cases that are much alike: of so many one is a default test, and the others are slow ones."""

    def marked(at, case):
        values = case if isinstance(case, tuple) else (case,)
        return pytest.param(*values, marks=[pytest.mark.slow] if at % number else [])

    return [marked(at, case) for at, case in enumerate(cases)]


def training(**changes):
    """A training that differs from `TRAINING` in a few settings."""
    return replace(TRAINING, **changes)


def adam(**changes):
    """An optimiser that differs from `ADAM` in a few settings."""
    return replace(ADAM, **changes)


def composed(*overrides):
    """The config of one job of `mmoe-repro sweep`, with Hydra's own part."""
    register()
    with initialize_config_dir(str(folder()), version_base="1.3"):
        return compose("sweep", list(overrides), return_hydra_config=True)


def cell_of(*overrides):
    """The cell of one job of `mmoe-repro sweep`."""
    config = composed(*overrides)
    return read_cell(config, config.hydra.runtime.choices)


class AnyLaw:
    """A law without a task correlation, of which nothing is known."""


@cache
def _settings_of(model):
    """Settings of the option that stands for a built-in architecture."""
    targets = {path.stem: yaml.safe_load(path.read_text())["_target_"] for path in (folder() / "model").glob("*.yaml")}
    (option,) = [option for option, target in targets.items() if target == f"mmoe_repro.models.{model.__name__}"]
    settings = dict(cell_of(f"model={option}").model.settings)
    settings.pop("_target_")
    return settings


def built(model, features, tasks, **settings):
    """A built-in architecture of these settings, else of `CUSTOMARY`, else of its option."""
    return model(**{**_settings_of(model), **CUSTOMARY, "features": features, "tasks": tasks, **settings})


def swept_cell(
    model="mmoe",
    data="law",
    correlation=0.5,
    rate=0.01,
    settings=None,
    swept=None,
    seeds=range(1),
    crossed=None,
    **of_training,
):
    """A cell of a made-up sweep, of the model with these settings."""
    law = {"_target_": "mmoe_repro.data.SyntheticLaw", "dimension": 20, "c": 0.5, "alpha": [3.0], "beta": [0.5]}
    law |= {"noise_variance": 0.01, "label_variance": 0.45, "examples": None, "tasks": 2}
    if correlation is None:
        law = {"_target_": "helpers.AnyLaw"}
    return SweptCell(
        model=Option(model, {"_target_": "mmoe_repro.models.MMoE", **(settings or {})}),
        data=Law(data, law if correlation is None else {**law, "correlation": correlation}),
        training=training(learning_rate=rate, **of_training),
        crossed=crossed,
        swept=swept or {},
        seeds=list(seeds),
        tuning_seeds=[],
    )


def swept_cells(models, correlations, bottom=(113,), **swept):
    """Cells of every model and correlation, with each of the swept values."""
    made = []
    for model in models:
        for correlation in correlations:
            for values in [dict(zip(swept, each, strict=True)) for each in zip(*swept.values(), strict=True)] or [{}]:
                settings = {"bottom": list(bottom), **values}
                made.append(swept_cell(model, "figure2_m4", correlation, settings=settings, swept=values))
    return made


def net(imports="", init="pass", forward="factor = 1.0"):
    """A file with a user's own model, which has these lines in it."""
    return NET.format(imports=imports, init=init, forward=forward)


def made_up_sweep(cells, losses, steps=(0, 5000, 9900), paper_loss=1.0, **columns):
    """A sweep that was never trained.

    Args:
        cells: of it.
        losses: of the runs of each cell `(cells, runs)`, the same at every step; one that is not finite is of a run
            that diverged. Models named `…moe` have four gates.
        steps: of the mean curves.
        paper_loss: how many squared errors a loss of the paper is.
        columns: of `runs.parquet`, instead of the ones made up.
    """
    run_rows, curve_rows, gate_rows = [], [], []
    for cell, of_cell in zip(cells, losses, strict=True):
        for seed, loss in enumerate(of_cell):
            outcome = {
                "seed": seed,
                "task": 1,
                "final_loss": loss,
                "test_loss": loss,
                "diverged": not np.isfinite(loss),
                "stuck": False,
                "dead_units": 0.0,
                **dict.fromkeys(("gate_entropy", "gate_divergence", "experts_used"), loss),
                **columns,
            }
            run_rows.append({**cell.keys, **outcome})
            keys = {**cell.keys, "seed": seed, "task": 1}
            curve_rows += [{**keys, "step": step, "loss": loss} for step in steps]
            if cell.model.name.endswith("moe"):
                gate_rows += [{**keys, "expert": expert, "weight": 0.25} for expert in range(1, 5)]
    runs, curves, gates = (pd.DataFrame(rows) for rows in (run_rows, curve_rows, gate_rows))
    means = mean_curves(curves)
    return Swept("mine", cells, runs, means, gates, pd.DataFrame(), ["mmoe-repro", "sweep"], {}, paper_loss)


def batches(law, seed, batch, dtype=torch.float64):
    """A run's examples, one after the other, cut into batches."""
    streams = Streams(law, [seed.data], 48, dtype)
    x, y = torch.empty(0, law.dimension, dtype=dtype), torch.empty(0, law.tasks, dtype=dtype)
    while True:
        while len(x) < batch:
            more_x, more_y = streams.take()
            x, y = torch.cat([x, more_x[0]]), torch.cat([y, more_y[0]])
        yield x[:batch], y[:batch]
        x, y = x[batch:], y[batch:]


def noise_of(model, seed, batch, dtype):
    """A run's noise, batch by batch; none for most models."""
    shape = model.noise_shape(batch) if hasattr(model, "noise_shape") else None
    if shape is not None:
        source = normals("cpu", [derived(seed.init, "noise")], 16 * batch, math.prod(shape[1:]), dtype)
    while True:
        if shape is None:
            yield []
        else:
            for noise in source.take()[0].view(16, *shape):
                yield [noise]


def ordinary_loop(build, law, training, seed, dtype=torch.float64):
    """Train one run as anybody would; return the loss of every step and the trained model."""
    model = build_model(build, seed.init).to(dtype)
    stream = batches(law, seed, training.batch_size, dtype)
    settings = training.optimizer
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=training.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        amsgrad=settings.amsgrad,
        decoupled_weight_decay=settings.decoupled_weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min((t + 1) / max(training.warmup, 1), 1.0))
    noises = noise_of(model, seed, training.batch_size, dtype)
    penalty = getattr(model, "penalty", lambda *_: 0.0)
    losses = []
    for _ in range(training.steps):
        (x, y), noise = next(stream), next(noises)
        task_losses = (model(x, *noise) - y).square().mean(0)
        optimizer.zero_grad()
        (task_losses.sum() + penalty(x, *noise)).backward()
        optimizer.step()
        schedule.step()
        losses.append(task_losses.detach())
    return torch.stack(losses).numpy(), model
