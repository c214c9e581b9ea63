"""x̃_k = Σ_l A_kl x_l after every hidden layer below the towers.

Separate networks that trainable units A combine linearly, layer by layer. A starts near the identity.

Source: Misra et al. 2016, section 3; they advise to start near 0.9 for the own task and 0.1 for the other.
"""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Networks, Towers


class Stitch(nn.Module):
    """A cross-stitch unit, `(tasks, tasks)`: `same` for a task's own layer, the rest of 1 shared by the others."""

    def __init__(self, tasks: int, same: float) -> None:
        super().__init__()
        others = (1 - same) / max(1, tasks - 1)
        self.units = nn.Parameter(torch.full((tasks, tasks), others).fill_diagonal_(same))

    def forward(self, hidden: Tensor) -> Tensor:
        """Combine the tasks' hidden units `(batch, tasks, units)`."""
        return self.units @ hidden


class CrossStitch(nn.Module):
    """A bottom per task, stitched to the others after every layer, and a tower per task."""

    def __init__(
        self,
        features: int,
        tasks: int,
        bottom: Sequence[int],
        tower: Sequence[int],
        same: float,
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        super().__init__()
        self.bottoms = Networks(tasks, features, bottom, bias, activation)
        self.stitches = nn.ModuleList(Stitch(tasks, same) for _ in bottom)
        self.towers = Towers(tasks, bottom[-1], tower, bias, activation)
        initialize(self, **start)

    def hidden(self, x: Tensor) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        for layer, stitch in zip(self.bottoms.layers, self.stitches, strict=True):
            x = stitch(self.bottoms.activate(layer(x)))
        return self.towers.hidden(x)

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        return self.towers(self.hidden(x))
