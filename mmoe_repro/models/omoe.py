"""y_k = h_k(Σ_i g(x)_i f_i(x)), g(x) = softmax(W x).

OMoE, one gate for all tasks: the mixture is a shared bottom that can switch between experts.

Source: Ma et al. 2018, section 4.1.
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Linears, Networks, Towers, mixture


class OMoE(nn.Module):
    """Experts mixed by one gate, and a tower per task that reads the mixture."""

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
        self.tasks = tasks
        self.experts = Networks(experts, features, expert, bias, activation)
        self.gate = Linears(1, features, experts, bias=False)
        self.towers = Towers(tasks, expert[-1], tower, bias, activation)
        initialize(self, **start)

    def gates(self, x: Tensor) -> Tensor:
        """Gate weights `(batch, tasks, experts)`: the same for every task."""
        return self.gate(x).softmax(-1).expand(-1, self.tasks, -1)

    def hidden(self, x: Tensor) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        mixed = mixture(self.gate(x).softmax(-1), self.experts(x))
        return self.towers.hidden(mixed.squeeze(-2))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        return self.towers(self.hidden(x))
