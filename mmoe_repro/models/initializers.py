"""How the weights of the project's own layers start."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmoe_repro.errors import UsageError, nearest


def _fans(weight: Tensor) -> tuple[int, int]:
    """Inputs and outputs of one matrix `(…, outputs, inputs)` of a stack, not of the whole stack."""
    return weight.shape[-1], weight.shape[-2]


def _glorot_uniform(weight: Tensor) -> None:
    bound = math.sqrt(6 / sum(_fans(weight)))
    weight.uniform_(-bound, bound)


def _he_normal(weight: Tensor) -> None:
    weight.normal_(0, math.sqrt(2 / _fans(weight)[0]))


def _torch(weight: Tensor) -> None:
    bound = 1 / math.sqrt(_fans(weight)[0])
    weight.uniform_(-bound, bound)


def _normal(weight: Tensor) -> None:
    weight.normal_(0, 1)


INITIALIZERS: dict[str, Callable[[Tensor], None]] = {
    "glorot_uniform": _glorot_uniform,  # Glorot and Bengio 2010
    "he_normal": _he_normal,  # He et al. 2015
    "torch": _torch,  # the default of torch.nn.Linear, biases included
    "normal": _normal,  # N(0, gain²): here the gain is the standard deviation
}


@torch.no_grad()
def initialize(module: nn.Module, initializer: str, gain: float) -> None:
    """Fill every weight of `module` from the global generator, and its biases with zero.

    `gain` multiplies the weights. With `torch`, biases start as `torch.nn.Linear` starts them.

    Raises:
        UsageError: there is no such initializer, or the gain is not positive.
    """
    if initializer not in INITIALIZERS:
        raise UsageError(f"model.initializer={initializer}: {nearest(initializer, INITIALIZERS)}")
    if not 0 < gain < math.inf:
        raise UsageError(f"model.gain={gain}: must be a positive number")
    for layer in module.modules():
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if weight is None:
            continue
        INITIALIZERS[initializer](weight)
        weight.mul_(gain)
        if bias is None:
            continue
        bias.zero_()
        if initializer == "torch":
            bound = 1 / math.sqrt(_fans(weight)[0])
            bias.uniform_(-bound, bound)
