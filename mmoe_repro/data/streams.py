"""The examples of several runs, each run's an endless stream of its own, and their test sets."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from mmoe_repro.data.law import Law
from mmoe_repro.data.normals import UNIT, CPUNormals, GPUNormals, normals
from mmoe_repro.data.seeds import derived, generator, seeded

#: Fresh examples that the test loss is measured on.
TEST_EXAMPLES = 10_000


class Streams:
    """The examples of several runs in the order in which they see them.

    With `law.examples` a finite training set is drawn once for each run, and its stream is reshuffled passes over it,
    one after the other; a block may span several.

    Args:
        law: the data law.
        seeds: the runs' data seeds.
        count: examples of a run in a block.
        dtype: of features and labels.
        device: where they are drawn, `cpu` or `cuda`; a GPU gives other numbers than a CPU.
        compiled: whether fresh examples are made of compiled normal numbers.

    Raises:
        ValueError: `count` is no multiple of `UNIT`.
    """

    def __init__(
        self,
        law: Law,
        seeds: Sequence[int],
        count: int,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        compiled: bool = False,
    ) -> None:
        if count % UNIT:
            raise ValueError(f"count={count}: must be a multiple of {UNIT}")
        self._law, self._seeds, self._count, self._device = law, seeds, count, device
        self._weights = torch.stack([_weights(law, seed, dtype) for seed in seeds]).to(device)
        self._taken = 0
        self._orders: dict[tuple[int, int], Tensor] = {}
        self._normals: list[CPUNormals | GPUNormals] = []
        if law.examples is None:
            self._normals = self._sources(seeds, "examples", count, compiled)
        else:
            sources = self._sources(seeds, "examples", math.ceil(law.examples / UNIT) * UNIT)
            self._training_set = self._draw(self._weights, sources)

    def _sources(
        self, seeds: Sequence[int], purpose: str, count: int, compiled: bool = False
    ) -> list[CPUNormals | GPUNormals]:
        """The sources of a law's normal numbers, one for each tensor that it takes."""
        return [
            normals(
                self._device,
                [derived(seed, purpose, number) for seed in seeds],
                count,
                size,
                self._weights.dtype,
                compiled,
            )
            for number, size in enumerate(self._law.normals)
        ]

    def _draw(self, weights: Tensor, sources: Sequence[CPUNormals | GPUNormals]) -> tuple[Tensor, Tensor]:
        x, y = vmap(self._law.draw)(weights, *(source.take() for source in sources))
        return x, y

    def take(self) -> tuple[Tensor, Tensor]:
        """The next block of every run, to be used before the next one is taken.

        Returns:
            x `(runs, count, dimension)`, y `(runs, count, tasks)`.
        """
        first, self._taken = self._taken, self._taken + self._count
        if self._normals:
            return self._draw(self._weights, self._normals)
        order = self._order(first).to(self._device)
        runs = torch.arange(len(self._seeds), device=self._device)[:, None]
        x, y = self._training_set
        return x[runs, order], y[runs, order]

    def _order(self, first: int) -> Tensor:
        """Positions in the training set `(runs, count)` of the block that begins with example `first`."""
        size = self._law.examples
        assert size is not None
        passes = range(first // size, (first + self._count - 1) // size + 1)
        before = self._orders  # a pass may go on from block to block
        self._orders = {
            (seed, number): before[seed, number]
            if (seed, number) in before
            else torch.randperm(size, generator=generator(seed, "shuffles", number))
            for seed in self._seeds
            for number in passes
        }
        start = first - passes[0] * size
        rows = [torch.cat([self._orders[seed, number] for number in passes]) for seed in self._seeds]
        return torch.stack([row[start : start + self._count] for row in rows])

    def test_set(self, run: int) -> tuple[Tensor, Tensor]:
        """A run's test examples, the same at every call: x `(10000, dimension)`, y `(10000, tasks)`."""
        sources = self._sources([self._seeds[run]], "test", TEST_EXAMPLES)
        x, y = self._draw(self._weights[run : run + 1], sources)
        return x[0], y[0]

    def state_dict(self) -> dict[str, Any]:
        """Where the streams stand, to go on from later."""
        return {"normals": [source.state_dict() for source in self._normals], "taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self._taken = state["taken"]
        for source, states in zip(self._normals, state["normals"], strict=True):
            source.load_state_dict(states)


def _weights(law: Law, seed: int, dtype: torch.dtype) -> Tensor:
    """What stays fixed over a run, the same for a law that draws from another generator than its own."""
    with seeded(seed, "weights"):
        return law.weights(generator(seed, "weights"), dtype)
