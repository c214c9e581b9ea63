"""How fast a population trains, against its rivals and against this machine's arithmetic.

    python scripts/bench.py                       the table: rivals, breakdown, memory; about three minutes
    python scripts/bench.py --batch 1 4 32 128    the same at other batch sizes
    python scripts/bench.py --models              every architecture against its ordinary loop; about five minutes
    python scripts/bench.py --grid                results/bench/: how cost grows with the work; some fifteen minutes

All on the same work (`data=figure2_m4`; examples are drawn and labelled within the timing), in one process tree and
one run, interleaved, medians of the repeats. A shared machine's timings are noisy: quote the ratios. JAX is timed where
it is installed (`pip install '.[bench]'`).
"""

import argparse
import importlib.util
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.func import functional_call, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from mmoe_repro import config
from mmoe_repro.cell import CHUNK_SIZE, population
from mmoe_repro.compiler import compile_traced
from mmoe_repro.config import Cell
from mmoe_repro.step import adam, noise_shape
from mmoe_repro.streams import generator
from mmoe_repro.workers import cores, one_thread

MODELS = ("shared_bottom", "omoe", "mmoe")
CHUNK = CHUNK_SIZE["cpu"]
#: The paper's protocol: correlations × learning rates × runs × steps, of each model.
PROTOCOL = 3 * 3 * 200 * 10_000


def cell(model: str, batch: int) -> Cell:
    """The work: a model on the default law, endlessly."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        settings = config.cell_settings(compose("sweep", [f"model={model}"]))
    settings["training"].update(batch_size=batch, steps=10_000_000, window=1_000)
    return Cell(model, "figure2_m4", settings)


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
    """Run-steps per second of repeated work, for about so many seconds."""
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        done += work()
    return done / elapsed


def ordinary_loop(work: Cell) -> Callable[[], int]:
    """One run, trained as anybody would, with PyTorch's own threads."""
    law, model = instantiate(work.settings["data"]), instantiate(work.settings["model"])
    batch = work.settings["training"]["batch_size"]
    noise, penalty = noise_shape(model, batch), getattr(model, "penalty", None)
    weights, optimizer = law.weights(generator(0, "weights")), torch.optim.Adam(model.parameters(), lr=0.01)

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
    runs = population(work, range(first_seed, first_seed + size), compiled=True)
    return lambda: size * runs.advance()


def jax_population(work: Cell) -> Callable[[], int]:
    """200 runs in JAX, on all cores."""
    import bench_jax

    batch = work.settings["training"]["batch_size"]
    return bench_jax.population(instantiate(work.settings["data"]), 200, batch, steps=max(4, 640 // batch))


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
    runs = population(work, range(CHUNK), compiled=True)
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
        ready = compile_traced(make_fx(function)(*(argument.clone() for argument in arguments)), arguments)
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


def compare(batch: int, repeats: int, seconds: float) -> None:
    """Time MMoE's rivals against one another and print the table."""
    work, workers = cell("mmoe", batch), cores()
    rivals = {
        "ordinary loop, one process": Rival(ordinary_loop, work, single=False),
        f"ordinary loop, {workers} processes": Rival(ordinary_loop, work, processes=workers, single=True),
    }
    if importlib.util.find_spec("jax"):
        rivals["JAX jit(vmap(scan)), 200 runs"] = Rival(jax_population, work, single=False)
    rivals["population, one process"] = Rival(chunk, work, CHUNK, single=True)
    populations = {model: Rival(chunk, cell(model, batch), CHUNK, processes=workers, single=True) for model in MODELS}
    ours = rivals[f"population, {workers} processes"] = populations["mmoe"]
    sgemm = []
    for _ in range(repeats):
        for rival in dict.fromkeys([*rivals.values(), *populations.values()]):
            rival.time(seconds)
        sgemm.append(sgemm_flops(seconds / 2))
    for rival in dict.fromkeys([*rivals.values(), *populations.values()]):
        rival.close()

    print(f"\nMMoE, batch {batch}, chunks of {CHUNK} runs, medians of {repeats} repeats of {seconds:g} s\n")
    print(f"{'':<34}{'run-steps/s':>12}{'(lowest – highest)':>22}{'µs each':>9}{'× slower than here':>20}")
    for name, rival in rivals.items():
        speed, spread = statistics.median(rival.speeds), f"{min(rival.speeds):,.0f} – {max(rival.speeds):,.0f}"
        # Pair by pair, so that the machine's drift cancels.
        ratio = statistics.median(a / b for a, b in zip(ours.speeds, rival.speeds, strict=True))
        print(f"{name:<34}{speed:>12,.0f}{spread:>22}{1e6 / speed:>9.1f}{ratio:>20.1f}")
    flops = needed_flops(instantiate(work.settings["model"]), batch)
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


def architectures(batch: int, repeats: int, seconds: float) -> None:
    """Time every architecture against its ordinary loop, one process each, and print the table."""
    options = sorted(path.stem for path in (config.folder() / "model").glob("*.yaml"))
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
    import matplotlib.pyplot as plt
    import pandas as pd

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
    colors = {"shared_bottom": "#D55E00", "omoe": "#0072B2", "mmoe": "#009E73"}
    with plt.rc_context({"figure.constrained_layout.use": True, "axes.grid": True, "grid.alpha": 0.3, "font.size": 9}):
        figure, (by_size, by_batch) = plt.subplots(1, 2, figsize=(9, 3.8))
        for batch, marker in ((1, "o"), (32, "s")):
            of = table[(table["model"] == "mmoe") & (table["batch"] == batch)].sort_values("runs")
            label = f"MMoE, batch {batch}"
            by_size.loglog(of["runs"], of["microseconds"], marker=marker, color=colors["mmoe"], label=label)
        by_size.axvline(CHUNK, color="black", lw=0.8, ls=":", label="trained together by the program")
        by_size.set_xlabel("runs trained together")
        for model, color in colors.items():
            of = table[(table["model"] == model) & (table["runs"] == CHUNK)].sort_values("batch")
            by_batch.loglog(of["batch"], of["microseconds"], marker="o", color=color, label=model)
        by_batch.set_xlabel(f"batch size, {CHUNK} runs together")
        for axes in (by_size, by_batch):
            axes.set_ylabel("µs per run-step on one core")
            axes.legend()
        figure.suptitle("What a step of one run costs")
        figure.savefig(folder / "cost.png", dpi=150)
    print(f"\n{folder}/cost.png, grid.csv")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[32])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--models", action="store_true", help="every architecture against its ordinary loop")
    parser.add_argument("--grid", action="store_true", help="population sizes and batches instead of rivals")
    options = parser.parse_args()
    if options.grid:
        grid(options.seconds, Path(__file__).parents[1] / "results" / "bench")
    else:
        print(f"{platform.platform()}, {cores()} cores, PyTorch {torch.__version__}")
        for batch in options.batch:
            (architectures if options.models else compare)(batch, options.repeats, options.seconds)


if __name__ == "__main__":
    main()
