"""y_k = h_k(Σ_i g_k(x)_i f_i(x)), g_k(x) = softmax(W_k x).

MMoE: the tasks share the experts f_i, and each mixes them in its own way, by a gate of its own.

Source: Ma et al. 2018, section 4.2, eq. 6 and 7.
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Linears, Networks, Towers, mixture


class MMoE(nn.Module):
    """Experts mixed by one gate per task, and a tower per task that reads its own mixture."""

    def __init__(
        self,
        features: int,
        tasks: int,
        experts: int,
        expert: Sequence[int],
        tower: Sequence[int],
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        super().__init__()
        self.experts = Networks(experts, features, expert, bias, activation)
        self.gate = Linears(tasks, features, experts, bias=False)
        self.towers = Towers(tasks, expert[-1], tower, bias, activation)
        initialize(self, **start)

    def gates(self, x: Tensor) -> Tensor:
        """Gate weights `(batch, tasks, experts)`."""
        return self.gate(x).softmax(-1)

    def hidden(self, x: Tensor) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        return self.towers.hidden(mixture(self.gates(x), self.experts(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        return self.towers(self.hidden(x))
