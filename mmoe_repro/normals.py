"""Standard normal numbers for several runs, each run's from a generator of its own."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.random import SFC64, SeedSequence
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from mmoe_repro.compiler import compile_traced

#: Examples are made this many at a time, so that a run's do not depend on how many are asked for at once.
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


class CPUNormals:
    """Normal numbers by Box and Muller's method from the bits of SFC64, the fastest of NumPy's generators.

    Args:
        seeds: one for each run.
        size: numbers in an example.
        dtype: of the numbers.
        compiled: whether to compile `box_muller` for the training examples, which rounds some last bits differently.
    """

    def __init__(self, seeds: Sequence[SeedSequence], size: int, dtype: torch.dtype, compiled: bool) -> None:
        self._generators = [SFC64(seed) for seed in seeds]
        self._size, self._dtype, self._compiled = size, dtype, compiled
        self._ready: dict[int, tuple[Tensor, Tensor, Callable[..., Any]]] = {}

    def take(self, count: int) -> Tensor:
        """The next numbers `(runs, count, size)`, in a tensor that the next call with this count overwrites."""
        if count not in self._ready:
            self._ready[count] = self._prepare(count)
        words, out, transform = self._ready[count]
        flat = words.numpy().reshape(-1).view(np.uint64)
        # Run by run, in a core's cache.
        for of_run, bits in zip(out, self._generators, strict=True):
            flat[:] = bits.random_raw(flat.size)
            transform(words, of_run)
        return out.view(len(out), count, self._size)

    def _prepare(self, count: int) -> tuple[Tensor, Tensor, Callable[..., Any]]:
        shape = (count // UNIT, 2, UNIT // 2 * self._size)
        words, out = (
            torch.zeros(shape, dtype=torch.int32),
            torch.empty(len(self._generators), *shape, dtype=self._dtype),
        )
        if not self._compiled:
            return words, out, box_muller
        return words, out, compile_traced(make_fx(box_muller)(words, out[0]), (words, out[0]))

    def state_dict(self) -> list[Any]:
        """Where the generators stand."""
        return [bits.state["state"]["state"].tolist() for bits in self._generators]

    def load_state_dict(self, states: list[Any]) -> None:
        """Go on from where `state_dict` was called."""
        for bits, state in zip(self._generators, states, strict=True):
            bits.state = {**bits.state, "state": {"state": np.array(state, dtype=np.uint64)}}


class GPUNormals:
    """Normal numbers drawn on the GPU by its own generators (Philox); other numbers than the CPU's.

    Args:
        seeds: one for each run.
        size: numbers in an example.
        dtype: of the numbers.
    """

    def __init__(self, seeds: Sequence[SeedSequence], size: int, dtype: torch.dtype) -> None:
        drawn = [int(seed.generate_state(1, np.uint64)[0]) for seed in seeds]
        self._generators = [torch.Generator("cuda").manual_seed(seed) for seed in drawn]
        self._size, self._dtype = size, dtype

    def take(self, count: int) -> Tensor:
        """The next numbers `(runs, count, size)`."""
        shape = (len(self._generators), count, self._size)
        out = torch.empty(shape, dtype=self._dtype, device="cuda")
        for of_run, generator in zip(out, self._generators, strict=True):
            of_run.normal_(generator=generator)
        return out

    def state_dict(self) -> list[Any]:
        """Where the generators stand."""
        return [generator.get_state() for generator in self._generators]

    def load_state_dict(self, states: list[Any]) -> None:
        """Go on from where `state_dict` was called."""
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)
