"""Standard normal numbers for several runs, each run's from a generator of its own."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.random import SFC64, SeedSequence
from torch import Tensor

from mmoe_repro.compiler import compile_traced, trace

#: A CPU makes this many examples at a time, so that a run's do not depend on how many are asked for at once.
UNIT = 16


def box_muller(words: Tensor, out: Tensor) -> None:
    """Turn random bits into standard normal numbers (Box and Muller 1958).

    A radius sqrt(−2 log u) and an angle make two of them. u has 31 bits and comes within 2⁻³² of 0, so the largest
    number there can be is 6.7.

    Args:
        words: of 32 random bits each, int32 `(…, 2, n)`: first those of the radii, then those of the angles.
        out: filled, `(…, 2, n)`.
    """
    of_radius, of_angle = words.unbind(-2)
    u = ((of_radius & 0x7FFFFFFF).to(out.dtype) + 0.5) * 2.0**-31
    radius = (u.log() * -2.0).sqrt()
    angle = of_angle.to(out.dtype) * (2.0 * math.pi * 2.0**-32)
    out.copy_(torch.stack([radius * angle.cos(), radius * angle.sin()], -2))


def normals(
    device: str, seeds: Sequence[SeedSequence], count: int, size: int, dtype: torch.dtype, compiled: bool = False
) -> "CPUNormals | GPUNormals":
    """The source of normal numbers of a device, `cpu` or `cuda`; arguments as of `CPUNormals`."""
    if device == "cuda":
        return GPUNormals(seeds, count, size, dtype)
    return CPUNormals(seeds, count, size, dtype, compiled)


class CPUNormals:
    """Normal numbers by Box and Muller's method from the bits of SFC64, the fastest of NumPy's generators.

    Args:
        seeds: one for each run.
        count: examples at a time, a multiple of `UNIT`.
        size: numbers in an example.
        dtype: of the numbers.
        compiled: whether to compile `box_muller`, which rounds some last bits differently.
    """

    def __init__(
        self, seeds: Sequence[SeedSequence], count: int, size: int, dtype: torch.dtype, compiled: bool = False
    ) -> None:
        self._generators = [SFC64(seed) for seed in seeds]
        shape = (count // UNIT, 2, UNIT // 2 * size)
        self._words = torch.zeros(shape, dtype=torch.int32)
        self._numbers = torch.zeros(len(seeds), *shape, dtype=dtype)
        self._taken = self._numbers.view(len(seeds), count, size)
        self._transform: Callable[..., Any] = box_muller
        if compiled:
            arguments = (self._words, self._numbers[0])
            self._transform = compile_traced(trace(box_muller, arguments), arguments)

    def take(self) -> Tensor:
        """The next numbers `(runs, count, size)`, in a tensor that the next call overwrites."""
        bits = self._words.numpy().reshape(-1).view(np.uint64)
        # Run by run, in a core's cache.
        for numbers, generator in zip(self._numbers, self._generators, strict=True):
            bits[:] = generator.random_raw(bits.size)
            self._transform(self._words, numbers)
        return self._taken

    def state_dict(self) -> list[Any]:
        """Where the generators stand."""
        return [generator.state["state"]["state"].tolist() for generator in self._generators]

    def load_state_dict(self, states: list[Any]) -> None:
        """Go on from where `state_dict` was called."""
        for generator, state in zip(self._generators, states, strict=True):
            generator.state = {**generator.state, "state": {"state": np.array(state, dtype=np.uint64)}}


class GPUNormals:
    """Normal numbers drawn on the GPU by its own generators (Philox); other numbers than the CPU's.

    Args:
        seeds: one for each run.
        count: examples at a time.
        size: numbers in an example.
        dtype: of the numbers.
    """

    def __init__(self, seeds: Sequence[SeedSequence], count: int, size: int, dtype: torch.dtype) -> None:
        drawn = [int(seed.generate_state(1, np.uint64)[0]) for seed in seeds]
        self._generators = [torch.Generator("cuda").manual_seed(seed) for seed in drawn]
        self._numbers = torch.zeros(len(seeds), count, size, dtype=dtype, device="cuda")

    def take(self) -> Tensor:
        """The next numbers `(runs, count, size)`, in a tensor that the next call overwrites."""
        for numbers, generator in zip(self._numbers, self._generators, strict=True):
            numbers.normal_(generator=generator)
        return self._numbers

    def state_dict(self) -> list[Any]:
        """Where the generators stand."""
        return [generator.get_state() for generator in self._generators]

    def load_state_dict(self, states: list[Any]) -> None:
        """Go on from where `state_dict` was called."""
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)
