"""How a model's gates divide the experts between the tasks, in bits."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Gating(NamedTuple):
    """What gate weights `(examples, tasks, experts)` amount to.

    Attributes:
        entropy: of a task's weights for one example, mean over examples `(tasks,)`; 0 for a gate that picks one
            expert, log2 of the experts for one that weighs all alike.
        divergence: Jensen–Shannon divergence between the tasks' weights for the same example, mean over examples, a
            scalar; 0 where tasks use the experts alike, log2 of the tasks where no two use the same (Lin 1991).
        used: number of experts that a task uses `(tasks,)`: 2 to the power of the entropy of `weights`.
        weights: mean over examples `(tasks, experts)`.
    """

    entropy: Tensor
    divergence: Tensor
    used: Tensor
    weights: Tensor


def gating(gates: Tensor) -> Gating:
    """Sum up gate weights `(examples, tasks, experts)`, each task's of one example adding up to 1."""
    weights = gates.mean(0)
    of_tasks = _entropy(gates)
    divergence = (_entropy(gates.mean(1)) - of_tasks.mean(1)).mean()
    return Gating(of_tasks.mean(0), divergence, _entropy(weights).exp2(), weights)


def _entropy(distribution: Tensor) -> Tensor:
    """Of the last axis, in bits."""
    nats: Tensor = torch.special.entr(distribution).sum(-1)
    return nats / math.log(2)
