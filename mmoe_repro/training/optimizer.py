"""Adam, on a whole stack of runs at once."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmoe_repro.settings.training import Training


def corrections(training: Training, step: int) -> tuple[float, float, float]:
    """What Adam's bias correction makes of its settings at a step, counted from 1.

    Returns:
        lr / (1 − β1ᵗ), 1 / sqrt(1 − β2ᵗ), and lr, which is the learning rate as far as the warm-up has got.
    """
    first, second = training.optimizer.betas
    rate = training.learning_rate * (min(step / training.warmup, 1.0) if training.warmup else 1.0)
    return rate / (1 - first**step), 1 / math.sqrt(1 - second**step), rate


def adam(
    parameter: Tensor, moments: Sequence[Tensor], gradient: Tensor, correction: Tensor, training: Training
) -> None:
    """Update a parameter and its moments in place, as `torch.optim.Adam` does (Kingma and Ba 2015, algorithm 1).

    It works on each weight alone, so on the stack as on a single run.

    Args:
        parameter: of any shape.
        moments: as in `State`, of this parameter; of its shape.
        gradient: of its shape.
        correction: the three numbers of `corrections`.
        training: how to train.
    """
    optimizer = training.optimizer
    beta1, beta2 = optimizer.betas
    decay = optimizer.weight_decay
    if decay and optimizer.decoupled_weight_decay:
        parameter.mul_(1 - correction[2] * decay)
    elif decay:
        gradient = gradient + decay * parameter
    mean, square, *largest = moments
    mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    if largest:
        square = torch.maximum(largest[0], square, out=largest[0])
    parameter.sub_(correction[0] * mean / (square.sqrt() * correction[1] + optimizer.eps))
