"""z_k^l = Σ_i g_k^l(z_k^{l−1})_i f^l_i, experts as in CGC, and a shared z^l over all experts; y_k = h_k(z_k^L).

Progressive layered extraction: levels of CGC. Below the last, one more gate mixes the experts of all tasks into what
the next level's shared experts read.

Source: Tang et al. 2020, section 4.2.
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from mmoe_repro.errors import UsageError
from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Extraction, Linears, Towers, mixture


class PLE(nn.Module):
    """Levels of experts of each task and shared ones, a gate each, and a tower per task."""

    def __init__(
        self,
        features: int,
        tasks: int,
        levels: int,
        own_experts: int,
        shared_experts: int,
        expert: Sequence[int],
        tower: Sequence[int],
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        super().__init__()
        if levels < 1:
            raise UsageError(f"model.levels={levels}: must be at least 1")
        inputs = [features] + [expert[-1]] * (levels - 1)
        *below, top = (
            Extraction(tasks, size, own_experts, shared_experts, expert, bias, activation) for size in inputs
        )
        self.below, self.top = nn.ModuleList(below), top
        experts = tasks * own_experts + shared_experts
        self.shared_gate = nn.ModuleList(Linears(1, size, experts, bias=False) for size in inputs[:-1])
        self.towers = Towers(tasks, expert[-1], tower, bias, activation)
        initialize(self, **start)

    def _read_by_top(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the last level's tasks `(batch, tasks, units)` and its shared experts `(batch, units)` read."""
        of_tasks = shared = x
        for level, gate in zip(self.below, self.shared_gate, strict=True):
            weights = gate(shared).softmax(-1)
            of_tasks, experts = level(of_tasks, shared)
            shared = mixture(weights, experts).squeeze(-2)
        return of_tasks, shared

    def gates(self, x: Tensor) -> Tensor:
        """Gate weights of the last level `(batch, tasks, experts)`, over the experts of every task and the shared."""
        return self.top.gates(self._read_by_top(x)[0])

    def hidden(self, x: Tensor) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        return self.towers.hidden(self.top(*self._read_by_top(x))[0])

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        return self.towers(self.hidden(x))
