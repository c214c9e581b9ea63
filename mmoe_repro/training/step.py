"""One step of a whole population, losses, gradients and Adam, as one function traced once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx import GraphModule

from mmoe_repro.compiler import trace
from mmoe_repro.errors import UsageError
from mmoe_repro.settings.training import Training
from mmoe_repro.training.optimizer import adam


class Method(nn.Module):
    """A module's method as a module, so that `functional_call` can reach it; its state's names start with `module.`."""

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module, self.method = module, method

    def forward(self, *inputs: Tensor) -> Tensor:
        """Call the method."""
        return getattr(self.module, self.method)(*inputs)  # type: ignore[no-any-return]

    def call(self, state: dict[str, Tensor], *inputs: Tensor) -> Tensor:
        """Call the method with other parameters and buffers."""
        prefixed = {f"module.{name}": value for name, value in state.items()}
        result: Tensor = functional_call(self, prefixed, inputs)
        return result


def optional_method(module: nn.Module, name: str) -> Method | None:
    """A method that a model may offer; a layer of this name is not one."""
    found = getattr(module, name, None)
    return Method(module, name) if callable(found) and not isinstance(found, nn.Module) else None


def noise_shape(module: nn.Module, batch: int) -> tuple[int, ...] | None:
    """Shape of the standard normal noise that a module takes with each training batch; None if it takes none.

    Raises:
        UsageError: it does not begin with the batch.
    """
    if optional_method(module, "noise_shape") is None:
        return None
    shape = tuple(module.noise_shape(batch))  # type: ignore[operator]
    if not shape or shape[0] != batch:
        raise UsageError(f"noise_shape({batch}) is {shape}; must begin with the batch")
    return shape


@dataclass
class State:
    """What the step of a population reads and changes, every tensor with the runs along its first axis.

    Attributes:
        parameters: trained, by name.
        moments: Adam's running means for each parameter: of the gradient, of its square, and with `amsgrad` the
            largest of the latter so far.
        fixed: frozen parameters and buffers, by name.
    """

    parameters: dict[str, Tensor]
    moments: list[list[Tensor]]
    fixed: dict[str, Tensor]

    def tensors(self) -> list[Tensor]:
        """All of them, in the order in which the traced step takes them."""
        return [*self.parameters.values(), *(m for kind in self.moments for m in kind), *self.fixed.values()]


def trace_step(module: nn.Module, state: State, training: Training, inputs: Sequence[Tensor], y: Tensor) -> GraphModule:
    """Trace a step of a population into a plain list of tensor operations.

    The ordinary module is vectorised over runs by `torch.func.vmap` and differentiated by `torch.func.grad`; tracing
    takes the cost of both out of the training loop. A run's loss is the sum over tasks of the mean squared error, plus
    the module's `penalty(*inputs)` if it has one.

    Args:
        module: of one run, mapping its inputs to predictions `(batch, tasks)`.
        state: as it is before a step; left as it is.
        training: how to train.
        inputs: features `(runs, batch, features)`, and noise `(runs, batch, …)` for a module that takes it, to know
            their shapes.
        y: labels `(runs, batch, tasks)`, to know their shape.

    Returns:
        a module to be called with the tensors of a state, which it changes, inputs, y, the numbers of `corrections`,
        and a tensor `(runs, tasks)` that it fills with the losses before the update.

    Raises:
        UsageError: the module changes what a population cannot stack.
    """
    penalty = optional_method(module, "penalty")
    names = [*state.parameters, *state.fixed]
    trained = len(state.parameters)
    changed = trained * (1 + len(state.moments))
    state_size = changed + len(state.fixed)

    def loss(parameters: Sequence[Tensor], fixed: Sequence[Tensor], inputs: Sequence[Tensor], y: Tensor) -> Any:
        values = dict(zip(names, [*parameters, *fixed], strict=True))
        task_losses = (functional_call(module, values, tuple(inputs)) - y).square().mean(0)
        total = task_losses.sum()
        return total if penalty is None else total + penalty.call(values, *inputs), task_losses

    def step(*arguments: Tensor) -> tuple[()]:
        tensors, rest = arguments[:state_size], arguments[state_size:]
        *inputs, y, correction, losses = rest
        differentiate = vmap(grad_and_value(loss, has_aux=True))
        gradients, (_, task_losses) = differentiate(list(tensors[:trained]), list(tensors[changed:]), inputs, y)
        for number, gradient in enumerate(gradients):
            parameter, *moments = tensors[number:changed:trained]
            adam(parameter, moments, gradient, correction, training)
        losses.copy_(task_losses)
        return ()

    correction, losses = y.new_ones(3), y.new_empty(y.shape[0], y.shape[-1])
    # Tracing executes the step once, so it gets values of its own.
    tried = [_copy(value) for value in (*state.tensors(), *inputs, y)]
    traced = trace(step, [*tried, correction, losses])
    for (name, before), after in zip(state.fixed.items(), tried[changed:state_size], strict=True):
        if not torch.equal(before, after):
            raise UsageError(
                f"{name} changes in forward, which a population cannot stack; without running statistics "
                "(track_running_stats=False, or LayerNorm) it can"
            )
    return traced


def _copy(value: Tensor) -> Tensor:
    """A copy with the strides that a step meets, which a batch within a block has and a clone has not."""
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device).copy_(value)
