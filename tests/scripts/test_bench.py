"""The benchmark runs, its rivals do the same work, and it says which."""

import importlib.util
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import cell_of
from hydra.utils import instantiate

from mmoe_repro.compiler import can_compile
from mmoe_repro.views.style import style_of

SCRIPTS = Path(__file__).parents[2] / "scripts"
TINY = ("--batch", "16", "--repeats", "1", "--seconds", "0.05", "--processes", "1")


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="there is no C++ compiler")
def test_it_says_what_it_times_and_how_fast_each_is(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPTS / "bench.py", *TINY],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    cell = cell_of("model=mmoe")
    lines = done.stdout.splitlines()
    (model,) = (line for line in lines if line.startswith("model=mmoe: "))
    for key in ("bias", "initializer"):
        assert f"{key} {str(cell.model.settings[key]).lower()}" in model
    assert f"gain {cell.model.settings['gain']:.4g}" in model
    assert any(line.startswith(f"data={cell.data.name}: ") for line in lines)
    assert any(line.startswith("training: batch_size 16, learning_rate 0.01") for line in lines)
    speeds = {match[1]: match[2] for line in lines if (match := re.match(r"(\w.*\S) {2,}([\d,]+) +[\d,]+ – ", line))}
    names = {"ordinary loop, one process", "population, one process"}
    if importlib.util.find_spec("jax"):
        names.add("JAX jit(vmap(scan)), 200 runs")
    assert set(speeds) == names
    assert any(line.startswith("µs of a run-step on one core: data ") for line in lines)
    assert any(line.startswith("the paper's protocol") for line in lines)


@pytest.fixture
def bench_jax():
    pytest.importorskip("jax")
    spec = importlib.util.spec_from_file_location("bench_jax", SCRIPTS / "bench_jax.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SETTINGS = [
    (),
    ("model.bias=true", "model.initializer=torch", "model.expert=[16,12]", "model.tower=[8,6]"),
    ("model.initializer=glorot_uniform", "model.gate_gain=0.3", "model.output_gain=4", "model.activation=leaky_relu"),
]


def in_jax(bench_jax, *overrides, seed=0):
    import jax

    cell = cell_of("model=mmoe", *overrides)
    settings, features, tasks = cell.model.settings, cell.data.settings["dimension"], cell.data.settings["tasks"]
    return cell, settings, bench_jax.initial(jax.random.PRNGKey(seed), settings, features, tasks), tasks


def as_in_torch(value, like):
    """A parameter in the shape that PyTorch's model has it in."""
    if value.ndim == like.ndim == 2:
        return value  # a bias
    count, outputs, inputs = like.shape
    if value.ndim == 2:  # read by all
        return value.reshape(inputs, count, outputs).permute(1, 2, 0)
    return value.permute(0, 2, 1)


def tensors(layers):
    """The parameters of JAX's MMoE by the names of PyTorch's."""
    names = {"experts": "experts.layers.{}", "gates": "gate", "towers": "towers.hidden.layers.{}"}
    named = {}
    for part, of_part in layers.items():
        for number, layer in enumerate(of_part):
            name = names.get(part, "towers.output").format(number)
            for kind, value in layer.items():
                named[f"{name}.{kind}"] = torch.from_numpy(np.array(value))
    return named


@pytest.mark.parametrize("overrides", SETTINGS)
def test_jax_predicts_what_the_model_does(bench_jax, overrides):
    cell, settings, layers, tasks = in_jax(bench_jax, *overrides)
    model = instantiate(settings)
    state = {name: as_in_torch(tensors(layers)[name], value) for name, value in model.state_dict().items()}
    assert state.keys() == tensors(layers).keys()
    model.load_state_dict(state)
    x = torch.randn(5, cell.data.settings["dimension"], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(x).numpy()
    np.testing.assert_allclose(bench_jax.predict(layers, x.numpy(), settings, tasks), expected, rtol=1e-4, atol=1e-5)
    assert any(name.endswith("bias") for name in state) == settings["bias"]


@pytest.mark.parametrize("overrides", SETTINGS)
def test_jax_starts_at_the_models_scale(bench_jax, overrides):
    ours, others = defaultdict(list), defaultdict(list)
    for seed in range(40):
        _, settings, layers, _ = in_jax(bench_jax, *overrides, seed=seed)
        torch.manual_seed(seed)
        for name, value in instantiate(settings).state_dict().items():
            ours[name].append(value)
        for name, value in tensors(layers).items():
            others[name].append(value)
    assert ours.keys() == others.keys()
    for name, values in ours.items():
        # 480 numbers or more of each, so a deviation has a standard error of 3 %.
        deviations = [float(torch.stack(drawn).std()) for drawn in (others[name], values)]
        assert deviations[0] == pytest.approx(deviations[1], rel=0.2), name


def test_the_cost_is_drawn_as_the_figures_of_a_sweep_are():
    spec = importlib.util.spec_from_file_location("bench", SCRIPTS / "bench.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    table = pd.DataFrame(
        [
            (model, runs, batch, 10.0 * batch / runs)
            for model in bench.MODELS
            for runs in (1, bench.CHUNK)
            for batch in (1, 32)
        ],
        columns=["model", "runs", "batch", "microseconds"],
    )
    by_size, by_batch = bench.cost(table).panels
    assert [mark.label for mark in by_size.marks[:2]] == ["MMoE, batch 1", "MMoE, batch 32"]
    assert [mark.label for mark in by_batch.marks] == ["Shared-Bottom", "OMoE", "MMoE"]
    assert by_batch.marks[0].style == style_of("shared_bottom", bench.MODELS)
