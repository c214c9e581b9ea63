"""How the weights of the project's own layers start."""

import math
from collections.abc import Callable
from typing import TypedDict

import torch
from torch import Tensor, nn

from mmoe_repro.errors import UsageError, nearest
from mmoe_repro.models.parts import part


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


class Start(TypedDict):
    """How a model's weights start: what every architecture takes and hands on to `initialize`."""

    initializer: str
    gain: float
    output_gain: float
    gate_gain: float


@torch.no_grad()
def initialize(module: nn.Module, initializer: str, gain: float, output_gain: float, gate_gain: float) -> None:
    """Fill every layer's `weight` from the global generator, and its `bias` with zero.

    A layer has `inputs` and `outputs`, the fans of one of its matrices. `gain` multiplies all weights; `output_gain`
    those of the towers' output layers and `gate_gain` those of the gates besides (`mmoe_repro.models.parts`). With
    `torch`, biases start as `torch.nn.Linear` starts them.

    Raises:
        UsageError: there is no such initializer, or a gain is not positive.
    """
    if initializer not in INITIALIZERS:
        raise UsageError(f"model.initializer={initializer}: {nearest(initializer, INITIALIZERS)}")
    gains = {"gain": gain, "output_gain": output_gain, "gate_gain": gate_gain}
    for key, value in gains.items():
        if not 0 < value < math.inf:
            raise UsageError(f"model.{key}={value}: must be a positive number")
    by_part = {"outputs": gain * output_gain, "gates": gain * gate_gain}
    for name, layer in module.named_modules():
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if weight is None:
            continue
        inputs, outputs = int(layer.inputs), int(layer.outputs)
        INITIALIZERS[initializer](weight, inputs, outputs)
        weight.mul_(by_part.get(part(f"{name}.weight"), gain))
        if bias is None:
            continue
        bias.zero_()
        if initializer == "torch":
            bound = 1 / math.sqrt(inputs)
            bias.uniform_(-bound, bound)
