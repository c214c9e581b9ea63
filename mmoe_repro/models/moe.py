"""y_k = Σ_i g_k(x)_i f_ki(x), g_k(x) = softmax(W_k x).

The original mixture of experts, one per task: the experts are themselves the predictors, and nothing is shared.

Source: Jacobs et al. 1991 (theirs competes in its loss; here the mixture's squared error is trained).
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Linears, Networks, apart


class MoE(nn.Module):
    """Experts and a gate per task; no towers."""

    def __init__(
        self,
        features: int,
        tasks: int,
        experts: int,
        expert: Sequence[int],
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        super().__init__()
        self.experts = Networks(tasks * experts, features, expert, bias, activation)
        self.output = Linears(tasks * experts, expert[-1], 1, bias)
        self.gate = Linears(tasks, features, experts, bias=False)
        initialize(self, **start)

    def gates(self, x: Tensor) -> Tensor:
        """Gate weights over the experts of every task `(batch, tasks, tasks · experts)`, 0 for those of others."""
        return apart(self.gate(x).softmax(-1))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        gates = self.gate(x).softmax(-1)
        return (gates * self.output(self.experts(x)).view_as(gates)).sum(-1)
