"""y_k = h_k(Σ_i g_k(x)_i f_i(x)) over the experts f_i of task k and the shared ones, g_k(x) = softmax(W_k x).

Customized gate control: as MMoE, but every task also has experts that no other task uses.

Source: Tang et al. 2020, section 4.1.
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Extraction, Towers


class CGC(nn.Module):
    """Experts of each task and shared ones, a gate and a tower per task."""

    def __init__(
        self,
        features: int,
        tasks: int,
        own_experts: int,
        shared_experts: int,
        expert: Sequence[int],
        tower: Sequence[int],
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        super().__init__()
        self.extraction = Extraction(tasks, features, own_experts, shared_experts, expert, bias, activation)
        self.towers = Towers(tasks, expert[-1], tower, bias, activation)
        initialize(self, **start)

    def gates(self, x: Tensor) -> Tensor:
        """Gate weights `(batch, tasks, experts)` over the experts of every task and the shared ones."""
        return self.extraction.gates(x)

    def hidden(self, x: Tensor) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        return self.towers.hidden(self.extraction(x, x)[0])

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        return self.towers(self.hidden(x))
