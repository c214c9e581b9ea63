"""Losses and gradients of a whole population, as one function traced once and compiled where that pays."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

#: Maps (*parameters, *buffers, x, y) to (*gradients, losses), every tensor with the runs along its first axis.
Gradients = Callable[..., Sequence[Tensor]]

_compiled: dict[tuple[Any, ...], Gradients] = {}


def can_compile() -> bool:
    """Whether a C++ compiler is there for PyTorch's Inductor."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return bool(get_cpp_compiler())
    except InvalidCxxCompiler:
        return False


def trace(module: nn.Module, names: Sequence[str], arguments: Sequence[Tensor]) -> GraphModule:
    """Trace the population's losses and their gradients into a plain list of tensor operations.

    The ordinary module is vectorised over runs by `torch.func.vmap` and differentiated by `torch.func.grad`; tracing
    takes the cost of both out of the training loop. A run's loss is the sum over tasks of the mean squared error.

    Args:
        module: of one run, mapping x `(batch, features)` to predictions `(batch, tasks)`.
        names: of its parameters, then of its buffers.
        arguments: their stacked values, then x `(runs, batch, features)` and y `(runs, batch, tasks)`.

    Returns:
        a module that maps such arguments to the gradient of each parameter and the losses `(runs, tasks)`.
    """
    count = len(list(module.parameters()))

    def loss(parameters: Sequence[Tensor], buffers: Sequence[Tensor], x: Tensor, y: Tensor) -> Any:
        state = dict(zip(names, (*parameters, *buffers), strict=True))
        task_losses = (functional_call(module, state, (x,)) - y).square().mean(0)
        return task_losses.sum(), task_losses

    def stacked(*values: Tensor) -> tuple[Tensor, ...]:
        *state, x, y = values
        differentiate = vmap(grad_and_value(loss, has_aux=True))
        gradients, (_, losses) = differentiate(state[:count], state[count:], x, y)
        # The optimiser runs along memory, so a gradient has to lie there as its parameter does.
        return (*(gradient.contiguous() for gradient in gradients), losses)

    return make_fx(stacked)(*arguments)


def compile_traced(traced: GraphModule, arguments: Sequence[Tensor]) -> Gradients:
    """Compile traced gradients for one thread; the same graph with the same shapes is compiled once in a process.

    Where compiling fails, warn and give back what was traced: the same mathematics, slower.
    """
    shapes = tuple((value.shape, value.stride(), value.dtype, value.device) for value in arguments)
    key = (traced.code, shapes)
    if key not in _compiled:
        import torch._inductor

        # The trace's example values bring their own fake tensors, of which the compiler wants to make its own.
        for node in traced.graph.nodes:
            node.meta.pop("val", None)
        try:
            _compiled[key] = torch._inductor.compile(traced, list(arguments), options={"cpp.threads": 1})
        except Exception as error:  # of many kinds: PyTorch's own, the C++ compiler's, a full disk
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(f"cannot compile ({reason}); training goes on without, slower", stacklevel=2)
            _compiled[key] = traced
    return _compiled[key]
