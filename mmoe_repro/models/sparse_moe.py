"""y_k = h_k(Σ_i g_k(x)_i f_i(x)), g_k(x) = softmax(top k of W_k x + ε · softplus(V_k x)).

MMoE with noisy top-k gates: for each task and example only k experts weigh in, and a penalty keeps all of them in use.
Gates start at zero, so that noise alone chooses at first. Every expert is computed, so nothing is saved here; the
architecture is what is compared.

Source: Shazeer et al. 2017, eq. 3 to 11 (gate 3 to 5, importance 6 and 7, load 8 to 11).
"""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mmoe_repro.errors import UsageError
from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import Linears, Networks, Towers, mixture


def _squared_variation(values: Tensor) -> Tensor:
    """CV² over the last axis: the variance by the squared mean."""
    return values.var(-1, correction=0) / (values.mean(-1).square() + 1e-10)


class SparseMoE(nn.Module):
    """Experts of which each task's gate picks k, and a tower per task."""

    def __init__(
        self,
        features: int,
        tasks: int,
        experts: int,
        expert: Sequence[int],
        tower: Sequence[int],
        k: int,
        noisy: bool,
        w_importance: float,
        w_load: float,
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        super().__init__()
        if not 1 <= k <= experts:
            raise UsageError(f"model.k={k}: must be between 1 and model.experts={experts}")
        self.tasks, self.count, self.k = tasks, experts, k
        self.w_importance, self.w_load = w_importance, w_load
        self.experts = Networks(experts, features, expert, bias, activation)
        self.gate = Linears(tasks, features, experts, bias=False)
        self.gate_noise = Linears(tasks, features, experts, bias=False) if noisy else None
        self.towers = Towers(tasks, expert[-1], tower, bias, activation)
        initialize(self, **start)
        for gate in (self.gate, self.gate_noise):
            if gate is not None:
                nn.init.zeros_(gate.weight)

    def noise_shape(self, batch: int) -> tuple[int, int, int]:
        """Of the standard normal numbers that a batch in training takes."""
        return batch, self.tasks, self.count

    def _logits(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """H(x) of eq. 4, `(batch, tasks, experts)`."""
        logits: Tensor = self.gate(x)
        return logits if noise is None or self.gate_noise is None else logits + noise * softplus(self.gate_noise(x))

    def gates(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Gate weights `(batch, tasks, experts)`, k of them not 0 (eq. 3 and 5)."""
        logits = self._logits(x, noise)
        best = logits.topk(self.k, -1)
        kept = torch.full_like(logits, -torch.inf).scatter(-1, best.indices, best.values)
        return kept.softmax(-1)

    def penalty(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """How unevenly the experts are used by this batch, summed over tasks; a scalar."""
        importance = _squared_variation(self.gates(x, noise).sum(0))
        if noise is None or self.gate_noise is None or self.k == self.count:
            return self.w_importance * importance.sum()
        logits = self._logits(x, noise)
        best = logits.topk(self.k + 1, -1).values
        last_in, first_out = best[..., -2:-1], best[..., -1:]
        others = torch.where(logits >= last_in, first_out, last_in)  # the k-th best but for the expert itself
        in_top_k = torch.special.ndtr((self.gate(x) - others) / softplus(self.gate_noise(x)))
        load = _squared_variation(in_top_k.sum(0))
        return (self.w_importance * importance + self.w_load * load).sum()

    def hidden(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        return self.towers.hidden(mixture(self.gates(x, noise), self.experts(x)))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`, with noise in training only."""
        return self.towers(self.hidden(x, noise))
