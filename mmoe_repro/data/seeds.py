"""Seeds of a run's random streams, one for each purpose."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.random import SeedSequence

_PURPOSES = ("weights", "examples", "shuffles", "test", "init", "noise", "law")


def derived(seed: int, purpose: str, number: int = 0) -> SeedSequence:
    """A seed of its own for each purpose of a run, so that its random streams are independent."""
    return SeedSequence(seed, spawn_key=(_PURPOSES.index(purpose), number))


def generator(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """PyTorch's generator of a run for one purpose; there may be several, by `number`."""
    # The CPU's generator uses 32 bits of its seed.
    return torch.Generator().manual_seed(int(derived(seed, purpose, number).generate_state(1)[0]))


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Seed the global generators of PyTorch, NumPy and Python for a purpose of a run; leave them as they were.

    A user's own code may draw from any of them.
    """
    number = generator(seed, purpose).initial_seed()
    # `torch.manual_seed` notes the whole call stack in words for each kind of accelerator, at work or not, which takes
    # longer than all else here.
    seed_torch = torch.manual_seed if torch.cuda.is_available() else torch.default_generator.manual_seed
    before = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            seed_torch(number)
            np.random.seed(number)
            random.seed(number)
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
