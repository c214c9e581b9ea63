"""y_k = h_k(f_k(x)), loss + α Σ_{k<l} ‖θ_k − θ_l‖².

Separate networks whose parameters θ_k, biases included, are drawn towards one another.

Source: Duong et al. 2015; Ma et al. 2018, section 6.1.
"""

import math
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from mmoe_repro.errors import UsageError
from mmoe_repro.models.initializers import Start
from mmoe_repro.models.single_task import SingleTask


class L2Constrained(SingleTask):
    """A network per task, and a price on their distance."""

    def __init__(
        self,
        features: int,
        tasks: int,
        bottom: Sequence[int],
        tower: Sequence[int],
        alpha: float,
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        if not 0 <= alpha < math.inf:
            raise UsageError(f"model.alpha={alpha}: must be zero or positive")
        super().__init__(features, tasks, bottom, tower, bias, activation, **start)
        self.alpha = alpha

    def distance(self) -> Tensor:
        """Σ_{k<l} ‖θ_k − θ_l‖², a scalar."""
        # Every parameter has the tasks along its first axis; both orders of a pair are summed.
        apart = [(value.unsqueeze(0) - value.unsqueeze(1)).square().sum() / 2 for value in self.parameters()]
        return torch.stack(apart).sum()

    def penalty(self, x: Tensor) -> Tensor:
        """What is added to the loss, a scalar."""
        return self.alpha * self.distance()
