"""What a data law has to offer."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from mmoe_repro.data.seeds import seeded
from mmoe_repro.settings.hydra_targets import make


class Law(Protocol):
    """What a data law has to offer; see `mmoe_repro.data.SyntheticLaw`.

    It may also offer `label_pearson`, for the tables.

    Attributes:
        dimension: number of features.
        tasks: number of tasks.
        examples: size of a finite training set; None for fresh examples at every step.
        normals: how many standard normal numbers an example is made of, a count for each tensor that `draw` takes.
    """

    dimension: int
    tasks: int
    examples: int | None

    @property
    def normals(self) -> Sequence[int]:
        """See above."""

    def weights(self, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Draw what stays fixed over one run."""

    def draw(self, weights: Tensor, *normals: Tensor) -> tuple[Tensor, Tensor]:
        """Turn normals `(count, normals[i])` into features `(count, dimension)` and labels `(count, tasks)`."""


def make_law(choice: str, settings: Any) -> Law:
    """The law of an option of the `data` group; one that draws numbers while it is made draws the same every time.

    Raises:
        UsageError: it cannot be made.
    """
    with seeded(0, "law"):
        return cast(Law, make("data", choice, settings))
