"""How fast a population trains, against its rivals and against this machine's arithmetic.

    python scripts/bench.py                       the table: rivals, breakdown, memory; about three minutes
    python scripts/bench.py --batch 1 4 32 128    the same at other batch sizes
    python scripts/bench.py --models              every architecture against its ordinary loop; about five minutes
    python scripts/bench.py --grid                results/bench/: how cost grows with the work; about fifteen minutes

All do the same work, the default setting of a sweep as it is composed, which is printed: one law, one model, one way to
start its weights. Examples are drawn and labelled within the timing. All are timed in one process tree and one run,
interleaved, and the numbers are medians of the repeats. A shared machine's timings are noisy: quote the ratios. JAX is
timed where it is installed (`pip install '.[bench]'`).
"""

import argparse
import importlib.util
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.func import functional_call, vmap

from mmoe_repro.compiler import CompileError, compile_traced, trace
from mmoe_repro.data.seeds import generator
from mmoe_repro.jobs.from_config import read_cell
from mmoe_repro.names import name_of
from mmoe_repro.processes import cores, one_thread
from mmoe_repro.settings.cell import Cell
from mmoe_repro.settings.schema import folder, register
from mmoe_repro.training.chunk import CHUNK_SIZE, population
from mmoe_repro.training.optimizer import adam
from mmoe_repro.training.population import Population
from mmoe_repro.training.step import noise_shape
from mmoe_repro.views.panels import Panel, Picture, Points, Rule, log_axis
from mmoe_repro.views.style import models_of, style_of

MODELS = ("shared_bottom", "omoe", "mmoe")
CHUNK = CHUNK_SIZE["cpu"]
#: The paper's protocol: correlations × learning rates × runs × steps, of each model.
PROTOCOL = 3 * 3 * 200 * 10_000


def cell(model: str, batch: int | None) -> Cell:
    """The work: a model at the default setting of a sweep, endlessly; at another batch size unless that is None."""
    register()
    with initialize_config_dir(str(folder()), version_base="1.3"):
        config = compose("sweep", [f"model={model}"], return_hydra_config=True)
    work = read_cell(config, config.hydra.runtime.choices)
    endless = replace(work.training, steps=10_000_000, window=1_000)
    return replace(work, training=endless if batch is None else replace(endless, batch_size=batch))


def described(work: Cell) -> str:
    """The setting, a line for each config group."""
    training = asdict(work.training)
    groups = {
        f"model={work.model.name}": work.model.settings,
        f"data={work.data.name}": work.data.settings,
        "training": {key: training[key] for key in ("batch_size", "learning_rate", "warmup", "optimizer")},
    }
    return "\n".join(f"{name}: {_described(settings)}" for name, settings in groups.items())


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_described(entry)}" for key, entry in value.items() if key != "_target_")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_described, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else "null" if value is None else str(value).lower()


def needed_flops(model: torch.nn.Module, batch: int) -> int:
    """Floating-point operations that a step of one run needs, multiplications and additions counted each.

    A matrix product forward, one for its weights' gradient, and one for its inputs' gradient, which the layers that
    read x do not need. A mixture counts as the product that it is.
    """
    products = 0
    for name, layer in model.named_modules():
        weight = getattr(layer, "weight", None)
        if weight is not None:
            reads_x = name == "gate" or name.endswith(("experts.layers.0", "bottom.layers.0"))
            products += (2 if reads_x else 3) * weight.numel()
    if hasattr(model, "gate"):
        gates, experts = model.gate.weight.shape[:2]
        products += 3 * gates * experts * model.experts.layers[-1].outputs
    return 2 * batch * products


def rate_of(work: Callable[[], int], seconds: float) -> float:
    """Run-steps per second of repeated work, timed for about `seconds`."""
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        done += work()
    return done / elapsed


def ordinary_loop(work: Cell) -> Callable[[], int]:
    """One run, trained as anybody would, with PyTorch's own threads."""
    law, model = instantiate(work.data.settings), instantiate(work.model.settings)
    batch = work.training.batch_size
    noise, penalty = noise_shape(model, batch), getattr(model, "penalty", None)
    weights, settings = law.weights(generator(0, "weights")), asdict(work.training.optimizer)
    optimizer = torch.optim.Adam(model.parameters(), lr=work.training.learning_rate, **settings)

    def steps() -> int:
        for _ in range(100):
            x, y = law.draw(weights, *(torch.randn(batch, size) for size in law.normals))
            inputs = [x] if noise is None else [x, torch.randn(noise)]
            loss = (model(*inputs) - y).square().mean(0).sum()
            if penalty is not None:
                loss = loss + penalty(*inputs)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return 100

    return steps


def chunk(work: Cell, size: int, first_seed: int = 0) -> Callable[[], int]:
    """A chunk of runs, trained as the program trains it."""
    runs = compiled_population(work, range(first_seed, first_seed + size))
    return lambda: size * runs.advance()


def compiled_population(work: Cell, seeds: range) -> Population:
    """Runs whose step is compiled; if that fails, they go without, as in a sweep, and a line says so."""
    try:
        return population(work, seeds, compiled=True)
    except CompileError as error:
        print(f"{work.model.name} at batch {work.training.batch_size} is not compiled: {error}", flush=True)
        return population(work, seeds)


def jax_population(work: Cell) -> Callable[[], int]:
    """200 runs in JAX, on all cores."""
    import bench_jax

    steps = max(4, 640 // work.training.batch_size)
    return bench_jax.population(work, instantiate(work.data.settings), 200, steps)


class Rival:
    """Work in processes of its own, made once and timed whenever asked.

    Args:
        make: makes the work, from `arguments` and, for several processes, each one's number.
        processes: how many do it at the same time.
        single: whether a process keeps to one thread.
    """

    def __init__(
        self, make: Callable[..., Callable[[], int]], *arguments: Any, processes: int = 1, single: bool
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pools = [ProcessPoolExecutor(1, context) for _ in range(processes)]
        numbers = range(processes) if processes > 1 else [0]
        made = [
            pool.submit(_make, make, single, *arguments, *([CHUNK * number] if make is chunk else []))
            for pool, number in zip(self._pools, numbers, strict=True)
        ]
        for future in made:
            future.result()
        self.speeds: list[float] = []
        self.memory = 0.0

    def time(self, seconds: float) -> None:
        """Add the run-steps per second of all processes together to `speeds`."""
        together = [future.result() for future in [pool.submit(_time, seconds) for pool in self._pools]]
        self.speeds.append(sum(speed for speed, _ in together))
        self.memory = max(memory for _, memory in together)

    def close(self) -> None:
        """End the processes."""
        for pool in self._pools:
            pool.shutdown()


_work: Callable[[], int]


def _make(make: Callable[..., Callable[[], int]], single: bool, *arguments: Any) -> None:
    global _work
    if single:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    _work = make(*arguments)
    _work()


def _time(seconds: float) -> tuple[float, float]:
    return rate_of(_work, seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sgemm_flops(seconds: float) -> float:
    """Floating-point operations per second of a large matrix product on all cores."""
    size = 1024
    a, b, out = torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)

    def product() -> int:
        torch.mm(a, b, out=out)
        return 2 * size**3

    return rate_of(product, seconds)


def breakdown(work: Cell, repeats: int, seconds: float) -> dict[str, float]:
    """Where the time of a run-step goes, in µs on one core: data, forward, backward, optimiser, the rest, and all.

    The step is one compiled function. Its forward pass and its optimiser are timed as compiled functions of their own,
    and the backward pass is what remains of the step.
    """
    runs = compiled_population(work, range(CHUNK))
    state, (*_, x, _, correction, _) = runs._state, runs._arguments[0]
    parameters, fixed = list(state.parameters.values()), list(state.fixed.values())
    count = len(parameters)

    def predict(*arguments: torch.Tensor) -> Any:
        *tensors, features = arguments
        names = [*state.parameters, *state.fixed]
        one = lambda values, f: functional_call(runs._template, dict(zip(names, values, strict=True)), (f,))  # noqa: E731
        return vmap(one)(tensors, features)

    def update(*arguments: torch.Tensor) -> tuple[()]:
        *tensors, correction = arguments
        for number in range(count):
            parameter, *moments, gradient = tensors[number::count]
            adam(parameter, moments, gradient, correction, runs.training)
        return ()

    def compiled(function: Callable[..., Any], *arguments: torch.Tensor) -> Callable[[], Any]:
        ready = compile_traced(trace(function, [argument.clone() for argument in arguments]), arguments)
        return lambda: ready(*arguments)

    moments = [moment for kind in state.moments for moment in kind]
    gradients = [torch.randn_like(value) for value in parameters]
    block = CHUNK * runs._ahead
    timed: dict[str, tuple[Callable[[], Any], int]] = {
        "all": (runs.advance, block),
        "data": (runs._draw, block),
        "step": (lambda: runs._step(*runs._arguments[0]), CHUNK),
        "forward": (compiled(predict, *parameters, *fixed, x.contiguous()), CHUNK),
        "optimiser": (compiled(update, *parameters, *moments, *gradients, correction), CHUNK),
    }
    with one_thread(), torch.no_grad():
        times: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(repeats):
            for name, (call, run_steps) in timed.items():
                times[name].append(1e6 / rate_of(lambda c=call, n=run_steps: (c(), n)[1], seconds / 2))
    took = {name: statistics.median(values) for name, values in times.items()}
    return {
        "data": took["data"],
        "forward": took["forward"],
        "backward": took["step"] - took["forward"] - took["optimiser"],
        "optimiser": took["optimiser"],
        "rest": took["all"] - took["data"] - took["step"],
        "all": took["all"],
    }


def compare(batch: int | None, repeats: int, seconds: float, processes: int) -> None:
    """Time MMoE's rivals against one another and print the table."""
    work = cell("mmoe", batch)
    print(f"\n{described(work)}", flush=True)
    rivals = {"ordinary loop, one process": Rival(ordinary_loop, work, single=False)}
    if processes > 1:
        rivals[f"ordinary loop, {processes} processes"] = Rival(ordinary_loop, work, processes=processes, single=True)
    if importlib.util.find_spec("jax"):
        rivals["JAX jit(vmap(scan)), 200 runs"] = Rival(jax_population, work, single=False)
    rivals["population, one process"] = Rival(chunk, work, CHUNK, single=True)
    populations = {
        model: rivals["population, one process"]
        if model == "mmoe" and processes == 1
        else Rival(chunk, cell(model, batch), CHUNK, processes=processes, single=True)
        for model in MODELS
    }
    ours = populations["mmoe"]
    if processes > 1:
        rivals[f"population, {processes} processes"] = ours
    sgemm = []
    for _ in range(repeats):
        for rival in dict.fromkeys([*rivals.values(), *populations.values()]):
            rival.time(seconds)
        sgemm.append(sgemm_flops(seconds / 2))
    for rival in dict.fromkeys([*rivals.values(), *populations.values()]):
        rival.close()

    print(
        f"\nMMoE, batch {work.training.batch_size}, chunks of {CHUNK} runs, "
        f"medians of {repeats} repeats of {seconds:g} s\n"
    )
    print(f"{'':<34}{'run-steps/s':>12}{'(lowest – highest)':>22}{'µs each':>9}{'× slower than here':>20}")
    for name, rival in rivals.items():
        speed, spread = statistics.median(rival.speeds), f"{min(rival.speeds):,.0f} – {max(rival.speeds):,.0f}"
        # Pair by pair, so that the machine's drift cancels.
        ratio = statistics.median(a / b for a, b in zip(ours.speeds, rival.speeds, strict=True))
        print(f"{name:<34}{speed:>12,.0f}{spread:>22}{1e6 / speed:>9.1f}{ratio:>20.1f}")
    flops = needed_flops(instantiate(work.model.settings), work.training.batch_size)
    share = statistics.median(a * flops / b for a, b in zip(ours.speeds, sgemm, strict=True))
    peak = statistics.median(sgemm) / 1e9
    print(f"\na run-step needs {flops / 1e6:.2f} MFLOP; sgemm on all cores reaches {peak:,.0f} GFLOP/s, ", end="")
    print(f"the population {share:.0%} of it")
    print("peak memory in MB, a process: " + ", ".join(f"{name} {rival.memory:,.0f}" for name, rival in rivals.items()))
    parts = breakdown(work, repeats, seconds)
    print(f"µs of a run-step on one core: {', '.join(f'{name} {value:.1f}' for name, value in parts.items())}")
    speeds = {model: statistics.median(rival.speeds) for model, rival in populations.items()}
    minutes = sum(PROTOCOL / speed for speed in speeds.values()) / 60
    print(f"run-steps/s by model: {', '.join(f'{model} {speed:,.0f}' for model, speed in speeds.items())}")
    print(f"the paper's protocol, {len(MODELS) * PROTOCOL:,} run-steps, would take {minutes:.0f} minutes", flush=True)


def architectures(batch: int | None, repeats: int, seconds: float, _: int) -> None:
    """Time every architecture against its ordinary loop, one process each, and print the table."""
    options = sorted(path.stem for path in (folder() / "model").glob("*.yaml"))
    batch = cell("mmoe", batch).training.batch_size
    print(f"\nEvery architecture, batch {batch}, one process each, medians of {repeats} repeats of {seconds:g} s\n")
    print(f"{'':<22}{'ordinary loop, µs':>18}{'population, µs':>16}{'faster by':>11}")
    for option in options:
        work = cell(option, batch)
        loop, population = Rival(ordinary_loop, work, single=False), Rival(chunk, work, CHUNK, single=True)
        for _ in range(repeats):
            loop.time(seconds)
            population.time(seconds)
        loop.close()
        population.close()
        ratio = statistics.median(a / b for a, b in zip(population.speeds, loop.speeds, strict=True))
        slow, fast = (1e6 / statistics.median(rival.speeds) for rival in (loop, population))
        print(f"{option:<22}{slow:>18,.0f}{fast:>16.1f}{ratio:>9.1f} ×", flush=True)


def grid(seconds: float, folder: Path) -> None:
    """Draw how the cost of a run-step on one core grows with population size and batch."""
    import pandas as pd

    from mmoe_repro.views.figure_files import save

    sizes, batches = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    rows = []

    def measure(model: str, size: int, batch: int) -> None:
        rival = Rival(chunk, cell(model, batch), size, single=True)
        rival.time(seconds)
        rival.close()
        rows.append(
            {
                "model": model,
                "runs": size,
                "batch": batch,
                "microseconds": 1e6 / rival.speeds[0],
                "memory": rival.memory,
            }
        )
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)

    by_size_first = [("mmoe", size, batch) for size in sizes for batch in (1, 32)]
    then_by_batch = [(model, CHUNK, batch) for batch in batches for model in MODELS]
    for setting in dict.fromkeys([*by_size_first, *then_by_batch]):
        measure(*setting)
    table = pd.DataFrame(rows).round(1)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "grid.csv", index=False)
    save(folder, {"cost": cost(table)})
    print(f"\n{folder}/cost.png, grid.csv")


def cost(table: Any) -> Picture:
    """What a step of one run costs against the size of its population and its batch, as the figures of a sweep look.

    Args:
        table: `grid.csv`: model, runs, batch, microseconds, a row each.
    """
    y = log_axis("µs per run and step on one core", table["microseconds"])
    by_size = Panel("", log_axis("runs trained together", table["runs"]), y)
    by_batch = Panel("", log_axis(f"batch size, {CHUNK} runs trained together", table["batch"]), y)
    for batch, dash in ((1, (1.0, 1.0)), (32, ())):
        of = table[(table["model"] == "mmoe") & (table["batch"] == batch)].sort_values("runs")
        at, cost_of = of["runs"].to_numpy(float), of["microseconds"].to_numpy(float)
        style = style_of("mmoe", MODELS, dash)
        by_size.marks.append(Points(at, cost_of, style, f"MMoE, batch {batch}", joined=True))
    by_size.marks.append(Rule(CHUNK, "trained together by the program"))
    for model in models_of(MODELS):
        of = table[(table["model"] == model) & (table["runs"] == CHUNK)].sort_values("batch")
        at, cost_of = of["batch"].to_numpy(float), of["microseconds"].to_numpy(float)
        by_batch.marks.append(Points(at, cost_of, style_of(model, MODELS), name_of(model), joined=True))
    note = "left: MMoE; right: the three models of the paper"
    return Picture("What a step of one run costs", note, "", [by_size, by_batch], 2, (4.2, 3.2))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[None], help="sizes of batches; the default setting's if left out"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--processes", type=int, default=cores(), help="side by side; one for each core if left out")
    parser.add_argument("--models", action="store_true", help="every architecture against its ordinary loop")
    parser.add_argument("--grid", action="store_true", help="population sizes and batches instead of rivals")
    options = parser.parse_args()
    if options.grid:
        grid(options.seconds, Path(__file__).parents[1] / "results" / "bench")
    else:
        print(f"{platform.platform()}, {cores()} cores, PyTorch {torch.__version__}")
        for batch in options.batch:
            (architectures if options.models else compare)(batch, options.repeats, options.seconds, options.processes)


if __name__ == "__main__":
    main()
