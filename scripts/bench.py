"""How fast a population trains: against the ordinary PyTorch loop, and against this machine's arithmetic.

    python scripts/bench.py [--repeats 5] [--seconds 2]

All on the same work (MMoE, batch 32, data=figure2_m4, examples drawn and labelled within the timing), in one process
tree and one run, interleaved, medians of the repeats. Timings of a shared machine are noisy: quote the ratios.
"""

import argparse
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmoe_repro import config
from mmoe_repro.cell import CHUNK_SIZE, population
from mmoe_repro.config import Cell
from mmoe_repro.models import MMoE
from mmoe_repro.population import Population
from mmoe_repro.streams import Stream
from mmoe_repro.workers import cores, one_thread

BATCH = 32


def cell() -> Cell:
    """The work: MMoE on the default law."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        settings = OmegaConf.to_container(compose("sweep", ["model=mmoe"]), resolve=True)
    settings["training"].pop("device")
    settings["training"].update(batch_size=BATCH, steps=1_000_000, window=1_000)
    return Cell("mmoe", "figure2_m4", settings)


def needed_flops(
    batch: int, features: int = 100, tasks: int = 2, experts: int = 8, units: int = 16, tower: int = 8
) -> int:
    """Floating-point operations that a run-step needs, multiplications and additions counted each.

    A matrix product forward, one for its weights' gradient, and one for its inputs' gradient, which the first layer
    does not need.
    """
    first = features * (experts * units + tasks * experts)
    mixture = tasks * experts * units
    towers = tasks * (units * tower + tower)
    return 2 * batch * (2 * first + 3 * (mixture + towers))


def rate(work: Callable[[], int], seconds: float) -> float:
    """Run-steps per second of repeated work, for about so many seconds."""
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        done += work()
    return done / elapsed


def ordinary_loop() -> Callable[[], int]:
    """One run, trained as anybody would, with PyTorch's own threads."""
    from hydra.utils import instantiate

    law = instantiate(cell().settings["data"])
    model, stream = MMoE(law.dimension, law.tasks), Stream(law, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.empty(BATCH, law.dimension), torch.empty(BATCH, law.tasks)

    def steps() -> int:
        for _ in range(100):
            stream.take_into(x, y)
            loss = (model(x) - y).square().mean(0).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return 100

    return steps


_population: Population


def _prepare(first_seed: int) -> None:
    global _population
    _population = population(cell(), range(first_seed, first_seed + CHUNK_SIZE), compiled=True)
    with one_thread():
        _population.advance()


def _advance(seconds: float) -> tuple[float, float]:
    """Run-steps per second of this process's chunk, and the process's peak memory in MB."""
    with one_thread():
        speed = rate(lambda: CHUNK_SIZE * _population.advance(), seconds)
    return speed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sgemm_flops(seconds: float) -> float:
    """Floating-point operations per second of a large matrix product on all cores."""
    size = 1024
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)

    def product() -> int:
        torch.mm(a, b, out=out)
        return 2 * size**3

    return rate(product, seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    options = parser.parse_args()

    workers = cores()
    loop = ordinary_loop()
    measured: dict[str, list[float]] = {"loop": [], "one": [], "all": [], "sgemm": []}
    memory = [0.0]
    # One pool of one process each, so that every process has its own chunk.
    context = multiprocessing.get_context("spawn")
    pools = [ProcessPoolExecutor(1, context) for _ in range(workers)]
    for future in [pool.submit(_prepare, index * CHUNK_SIZE) for index, pool in enumerate(pools)]:
        future.result()
    rate(loop, 0.5)
    for _ in range(options.repeats):
        measured["loop"].append(rate(loop, options.seconds))
        measured["one"].append(pools[0].submit(_advance, options.seconds).result()[0])
        together = [future.result() for future in [pool.submit(_advance, options.seconds) for pool in pools]]
        measured["all"].append(sum(speed for speed, _ in together))
        memory = [used for _, used in together]
        measured["sgemm"].append(sgemm_flops(options.seconds / 2))
    for pool in pools:
        pool.shutdown()

    median = {name: statistics.median(values) for name, values in measured.items()}
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    flops = needed_flops(BATCH)
    share = median["all"] * flops / median["sgemm"]
    print(f"{platform.platform()}, {workers} cores, PyTorch {torch.__version__}")
    print(
        f"MMoE, batch {BATCH}, chunks of {CHUNK_SIZE} runs, medians of {options.repeats} repeats (lowest – highest)\n"
    )
    for name, label in {
        "loop": "ordinary loop, one process",
        "one": "population, one process",
        "all": f"population, {workers} processes",
    }.items():
        spread = f"{min(measured[name]):,.0f} – {max(measured[name]):,.0f}"
        speed = median[name]
        ratio = speed / median["loop"]
        print(f"{label:<28} {speed:>9,.0f} run-steps/s ({spread})  {1e6 / speed:6.1f} µs each  {ratio:5.1f} ×")
    print(f"\nsgemm on all cores           {median['sgemm'] / 1e9:,.0f} GFLOP/s")
    print(f"a run-step needs             {flops / 1e6:.2f} MFLOP; the population reaches {share:.0%} of sgemm")
    print(f"peak memory                  {own:,.0f} MB here, {max(memory):,.0f} MB in each process of the population")


if __name__ == "__main__":
    main()
