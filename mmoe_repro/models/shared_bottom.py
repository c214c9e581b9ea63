"""y_k = h_k(f(x)).

Shared-Bottom: one bottom network f for all tasks, one tower h_k for each.

Source: Caruana 1997; Ma et al. 2018, section 3.1, eq. 1.
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Networks, Towers


class SharedBottom(nn.Module):
    """A bottom that every task reads, and a tower per task."""

    def __init__(
        self,
        features: int,
        tasks: int,
        bottom: Sequence[int],
        tower: Sequence[int],
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        super().__init__()
        self.bottom = Networks(1, features, bottom, bias, activation)
        self.towers = Towers(tasks, bottom[-1], tower, bias, activation)
        initialize(self, **start)

    def hidden(self, x: Tensor) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        shared = self.bottom(x).squeeze(-2)
        return self.towers.hidden(shared)

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        return self.towers(self.hidden(x))
