"""y_k = h_k(1/n · Σ_i f_i(x)): MMoE whose gates weigh all experts alike, always.

Without biases it is positively homogeneous, as Shared-Bottom is and MMoE is not: f(a·x) = a·f(x) for a > 0. Its experts
and towers begin with the very weights that MMoE's have with the same seed, so the gates are all that differs.
"""

from typing import Any

from torch import Tensor

from mmoe_repro.models import MMoE


class FixedGates(MMoE):
    """MMoE, its gates taken away after the initial weights were drawn."""

    def __init__(self, tasks: int, experts: int, **settings: Any) -> None:
        super().__init__(tasks=tasks, experts=experts, **settings)
        del self.gate
        self.shape = tasks, experts

    def gates(self, x: Tensor) -> Tensor:
        """Gate weights `(batch, tasks, experts)`, all alike."""
        return x.new_full((len(x), *self.shape), 1 / self.shape[1])
