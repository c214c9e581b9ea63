"""One run trained as anybody would, to hold a population against."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mmoe_repro.settings.training import Training
from mmoe_repro.training.optimizer import corrections
from mmoe_repro.training.run_state import in_training


def ordinary_losses(model: nn.Module, batches: Iterable[tuple[Sequence[Tensor], Tensor]], training: Training) -> Tensor:
    """Train a model by PyTorch's own Adam, without stacking, tracing or compiling anything.

    Args:
        model: not yet trained; it is trained.
        batches: of each step the inputs, features `(batch, d)` and noise if the model takes it, and labels
            `(batch, tasks)`.
        training: how to train.

    Returns:
        the loss of every step's batch before the update `(steps, tasks)`.
    """
    settings = training.optimizer
    optimizer = torch.optim.Adam(
        [value for value in model.parameters() if value.requires_grad],
        betas=(settings.betas[0], settings.betas[1]),
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        amsgrad=settings.amsgrad,
        decoupled_weight_decay=settings.decoupled_weight_decay,
    )
    losses = []
    for step, (inputs, y) in enumerate(batches, 1):
        given = in_training(model, inputs)
        task_losses = (given["forward"] - y).square().mean(0)
        optimizer.zero_grad()
        (task_losses.sum() + given.get("penalty", 0.0)).backward()
        for group in optimizer.param_groups:
            group["lr"] = corrections(training, step)[2]
        optimizer.step()
        losses.append(task_losses.detach())
    return torch.stack(losses)
