"""W = S ×₁ U₁ ×₂ U₂ ×₃ U₃ in every layer.

The weights of a layer for all tasks are one tensor, inputs × outputs × tasks, in Tucker's form: a core S of ranks
r1 × r2 × r3 and a factor for each axis. A rank is at most its axis.

Source: Yang and Hospedales 2017, section 3.2 (Tucker); Ma et al. 2018, section 6.1.
"""

import math
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from mmoe_repro.errors import UsageError
from mmoe_repro.models.initializers import Start, initialize
from mmoe_repro.models.layers import activation_function, pairs


class TuckerLinears(nn.Module):
    """A linear map per task, y_k = W_k x_k + b_k; `weight` is the core `(r3, r2, r1)`, U_i are `(axis, r_i)`.

    The factors start orthogonal and so long that W starts with the variance of its core.
    """

    def __init__(self, tasks: int, inputs: int, outputs: int, ranks: Sequence[int], bias: bool) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        axes = [inputs, outputs, tasks]
        r1, r2, r3 = (min(rank, axis) for rank, axis in zip(ranks, axes, strict=True))
        self.weight = nn.Parameter(torch.empty(r3, r2, r1))
        self.factors = nn.ParameterList(
            nn.init.orthogonal_(torch.empty(axis, rank), math.sqrt(axis / rank))
            for axis, rank in zip(axes, (r1, r2, r3), strict=True)
        )
        self.bias = nn.Parameter(torch.empty(tasks, outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map x `(batch, inputs)`, read by all, or `(batch, tasks, inputs)`, to `(batch, tasks, outputs)`."""
        of_inputs, of_outputs, of_tasks = self.factors
        cores = torch.einsum("kc,cba->kba", of_tasks, self.weight)
        # Factor by factor, which is cheaper than the weights that they make together.
        reduced = x @ of_inputs
        mapped = torch.einsum("na,kba->nkb" if x.ndim == 2 else "nka,kba->nkb", reduced, cores)
        y = mapped @ of_outputs.T
        return y if self.bias is None else y + self.bias


class TensorFactorization(nn.Module):
    """A network per task whose weights, layer by layer, are factored together."""

    def __init__(
        self,
        features: int,
        tasks: int,
        bottom: Sequence[int],
        tower: Sequence[int],
        ranks: Sequence[int],
        bias: bool,
        activation: str,
        **start: Unpack[Start],
    ) -> None:
        super().__init__()
        if len(ranks) != 3 or min(ranks) < 1:
            raise UsageError(f"model.ranks={list(ranks)}: must be three, each at least 1")
        layers = pairs(features, [*bottom, *tower])
        self.layers = nn.ModuleList(TuckerLinears(tasks, *pair, ranks, bias) for pair in layers)
        self.output = TuckerLinears(tasks, layers[-1][1], 1, ranks, bias)
        self.activate = activation_function(activation)
        initialize(self, **start)

    def hidden(self, x: Tensor) -> Tensor:
        """Tower units after their activation, `(batch, tasks, units)`."""
        for layer in self.layers:
            x = self.activate(layer(x))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Predictions `(batch, tasks)` for features x `(batch, features)`."""
        return self.output(self.hidden(x)).squeeze(-1)
