"""A run's examples: an endless stream, and a test set, fixed by the run's data seed."""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

#: Examples of a stream are drawn so many at a time, whatever the batch, so that they do not depend on it.
BLOCK = 1024
#: Fresh examples that the test loss is measured on.
TEST_EXAMPLES = 10_000

_PURPOSES = ("weights", "examples", "shuffles", "test", "init")


class Law(Protocol):
    """What a data law has to offer; see `mmoe_repro.synthetic.SyntheticLaw`.

    It may also tell `label_pearson`, for the tables.
    """

    dimension: int
    tasks: int
    examples: int | None

    def weights(self, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Draw what stays fixed over one run."""

    def draw(self, count: int, weights: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw features `(count, dimension)` and labels `(count, tasks)`."""


def derived_seed(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose of a run, so that its random streams are independent."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_PURPOSES.index(purpose),))
    return int(sequence.generate_state(1)[0])  # PyTorch's CPU generator uses 32 bits


def generator(seed: int, purpose: str) -> torch.Generator:
    """The generator of a run for one purpose."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose))


class Stream:
    """The examples of one run in the order in which it sees them.

    With `law.examples` a finite training set is drawn once, and the stream is its reshuffled passes, one
    after the other; a batch may span two of them.

    Args:
        law: the data law.
        seed: the run's data seed.
        dtype: of features and labels.
    """

    def __init__(self, law: Law, seed: int, dtype: torch.dtype = torch.float32) -> None:
        self.law, self.seed = law, seed
        self.weights = law.weights(generator(seed, "weights"), dtype)
        self._generator = generator(seed, "examples")
        self._training_set: tuple[Tensor, Tensor] | None = None
        if law.examples is not None:
            self._training_set = law.draw(law.examples, self.weights, self._generator)
            self._generator = generator(seed, "shuffles")
        self._next_block()

    def _next_block(self) -> None:
        self._state = self._generator.get_state()
        self._offset = 0
        if self._training_set is None:
            self._block = self.law.draw(BLOCK, self.weights, self._generator)
        else:
            x, y = self._training_set
            order = torch.randperm(len(x), generator=self._generator)
            self._block = x[order], y[order]

    def take_into(self, x: Tensor, y: Tensor) -> None:
        """Fill x `(count, dimension)` and y `(count, tasks)` with the next examples."""
        filled = 0
        while filled < len(x):
            if self._offset == len(self._block[0]):
                self._next_block()
            part = min(len(x) - filled, len(self._block[0]) - self._offset)
            for target, block in zip((x, y), self._block, strict=True):
                target[filled : filled + part] = block[self._offset : self._offset + part]
            filled += part
            self._offset += part

    def test_set(self) -> tuple[Tensor, Tensor]:
        """The run's test examples, the same at every call: x `(10000, dimension)`, y `(10000, tasks)`."""
        return self.law.draw(TEST_EXAMPLES, self.weights, generator(self.seed, "test"))

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, to go on from later."""
        return {"generator": self._state, "offset": self._offset}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self._generator.set_state(state["generator"])
        self._next_block()
        self._offset = state["offset"]
