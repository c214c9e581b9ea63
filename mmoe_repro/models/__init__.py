"""Architectures, each an ordinary module written for one run: features `(batch, d)` to `(batch, tasks)`."""

from torch import nn

from mmoe_repro.models.mmoe import MMoE
from mmoe_repro.models.omoe import OMoE
from mmoe_repro.models.shared_bottom import SharedBottom

__all__ = ["MMoE", "OMoE", "SharedBottom", "count_weights"]


def count_weights(model: nn.Module) -> int:
    """Weights as the paper counts them (section 3.3): biases, gates and the towers' output layers aside."""
    aside = ("gate.", "towers.output.")
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if not name.endswith("bias") and not name.startswith(aside)
    )
