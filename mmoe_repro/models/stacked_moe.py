"""z^l = Σ_i g^l(z^{l−1})_i f^l_i(z^{l−1}), z^0 = x, y_k = h_k(z^L).

Mixtures of experts as building blocks, each reading what the one below gives. The gate of the last layer is one for all
tasks, or with `own_gates` one for each, as in MMoE.

Source: Eigen et al. 2013, section 2; Shazeer et al. 2017, section 2.
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from mmoe_repro.errors import UsageError
from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Linears, Networks, Towers, mixture


class StackedMoE(nn.Module):
    """Layers of experts mixed by a gate, and a tower per task."""

    def __init__(
        self,
        features: int,
        tasks: int,
        levels: int,
        experts: int,
        expert: Sequence[int],
        tower: Sequence[int],
        own_gates: bool,
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        super().__init__()
        if levels < 1:
            raise UsageError(f"model.levels={levels}: must be at least 1")
        self.tasks = tasks
        inputs = [features] + [expert[-1]] * (levels - 1)
        counts = [1] * (levels - 1) + [tasks if own_gates else 1]
        self.experts = nn.ModuleList(Networks(experts, size, expert, bias, activation) for size in inputs)
        self.gate = nn.ModuleList(
            Linears(count, size, experts, bias=False) for count, size in zip(counts, inputs, strict=True)
        )
        self.towers = Towers(tasks, expert[-1], tower, bias, activation)
        initialize(self, **start)

    def _below(self, x: Tensor) -> Tensor:
        """What the last layer reads, `(batch, units)`."""
        for experts, gate in zip(self.experts[:-1], self.gate[:-1], strict=True):
            x = mixture(gate(x).softmax(-1), experts(x)).squeeze(-2)
        return x

    def gates(self, x: Tensor) -> Tensor:
        """Gate weights of the last layer `(batch, tasks, experts)`."""
        return self.gate[-1](self._below(x)).softmax(-1).expand(-1, self.tasks, -1)

    def hidden(self, x: Tensor) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        below = self._below(x)
        mixed = mixture(self.gate[-1](below).softmax(-1), self.experts[-1](below))
        return self.towers.hidden(mixed.expand(-1, self.tasks, -1))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        return self.towers(self.hidden(x))
