"""How the weights of the project's own layers start."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmoe_repro.errors import UsageError, nearest


def _glorot_uniform(weight: Tensor, inputs: int, outputs: int) -> None:
    bound = math.sqrt(6 / (inputs + outputs))
    weight.uniform_(-bound, bound)


def _he_normal(weight: Tensor, inputs: int, outputs: int) -> None:
    weight.normal_(0, math.sqrt(2 / inputs))


def _torch(weight: Tensor, inputs: int, outputs: int) -> None:
    bound = 1 / math.sqrt(inputs)
    weight.uniform_(-bound, bound)


def _normal(weight: Tensor, inputs: int, outputs: int) -> None:
    weight.normal_(0, 1)


#: Each fills a stack of matrices `(…, outputs, inputs)`, given the inputs and outputs of one of them.
INITIALIZERS: dict[str, Callable[[Tensor, int, int], None]] = {
    "glorot_uniform": _glorot_uniform,  # Glorot and Bengio 2010
    "he_normal": _he_normal,  # He et al. 2015
    "torch": _torch,  # the default of torch.nn.Linear, biases included
    "normal": _normal,  # N(0, gain²): here the gain is the standard deviation
}


@torch.no_grad()
def initialize(module: nn.Module, initializer: str, gain: float) -> None:
    """Fill every layer's `weight` from the global generator, and its `bias` with zero.

    A layer has `inputs` and `outputs`, the fans of one of its matrices. `gain` multiplies the weights. With `torch`,
    biases start as `torch.nn.Linear` starts them.

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
        inputs, outputs = int(layer.inputs), int(layer.outputs)  # type: ignore[arg-type]
        INITIALIZERS[initializer](weight, inputs, outputs)
        weight.mul_(gain)
        if bias is None:
            continue
        bias.zero_()
        if initializer == "torch":
            bound = 1 / math.sqrt(inputs)
            bias.uniform_(-bound, bound)
