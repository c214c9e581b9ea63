"""y_k = h_k(f_k(x)).

One network per task, nothing shared: what a multi-task model has to beat.

Source: the baseline of every comparison, such as Ma et al. 2018, section 6.1.
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Networks, Towers


class SingleTask(nn.Module):
    """A bottom and a tower per task."""

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
        self.bottoms = Networks(tasks, features, bottom, bias, activation)
        self.towers = Towers(tasks, bottom[-1], tower, bias, activation)
        initialize(self, **start)

    def hidden(self, x: Tensor) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        return self.towers.hidden(self.bottoms(x))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        return self.towers(self.hidden(x))
