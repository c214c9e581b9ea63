"""Losses and gradients of a whole population, as one function traced once and compiled where that pays."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from mmoe_repro.errors import UsageError

#: Maps (*values, x, y) to (*gradients, losses), every tensor with the runs along its first axis.
Gradients = Callable[..., Sequence[Tensor]]

_compiled: dict[tuple[Any, ...], Gradients] = {}


class CompileError(RuntimeError):
    """PyTorch's compiler, or the C++ compiler that it calls, did not do its work."""


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


def can_compile() -> bool:
    """Whether a C++ compiler is there for PyTorch's Inductor."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return bool(get_cpp_compiler())
    except InvalidCxxCompiler:
        return False


def trace(module: nn.Module, names: Sequence[str], trained: int, arguments: Sequence[Tensor]) -> GraphModule:
    """Trace the population's losses and their gradients into a plain list of tensor operations.

    The ordinary module is vectorised over runs by `torch.func.vmap` and differentiated by `torch.func.grad`; tracing
    takes the cost of both out of the training loop. A run's loss is the sum over tasks of the mean squared error, plus
    the module's `penalty(x)` if it has one.

    Args:
        module: of one run, mapping x `(batch, features)` to predictions `(batch, tasks)`.
        names: of its trained parameters, then of what stays as it is: frozen parameters and buffers.
        trained: how many are trained.
        arguments: their stacked values, then x `(runs, batch, features)` and y `(runs, batch, tasks)`.

    Returns:
        a module that maps such arguments to the gradient of each parameter and the losses `(runs, tasks)`.

    Raises:
        UsageError: the module keeps state that a population cannot stack.
    """
    for part in module.modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor):
                raise UsageError(f"{type(part).__name__}.{name} is a plain tensor; make it a buffer or a parameter")
    penalty = optional_method(module, "penalty")

    def loss(parameters: Sequence[Tensor], fixed: Sequence[Tensor], x: Tensor, y: Tensor) -> Any:
        state = dict(zip(names, (*parameters, *fixed), strict=True))
        task_losses = (functional_call(module, state, (x,)) - y).square().mean(0)
        total = task_losses.sum()
        return total if penalty is None else total + penalty.call(state, x), task_losses

    def stacked(*values: Tensor) -> tuple[Tensor, ...]:
        *state, x, y = values
        differentiate = vmap(grad_and_value(loss, has_aux=True))
        gradients, (_, losses) = differentiate(state[:trained], state[trained:], x, y)
        # The optimiser runs along memory, so a gradient has to lie there as its parameter does.
        return (*(gradient.contiguous() for gradient in gradients), losses)

    # Tracing executes the module once, so it gets values of its own.
    tried = [value.clone(memory_format=torch.preserve_format) for value in arguments]
    traced = make_fx(stacked)(*tried)
    for name, before, after in zip(names, arguments, tried, strict=False):
        if not torch.equal(before, after):
            raise UsageError(f"{name} changes in forward (running statistics?); a population cannot stack that")
    return traced


def compile_traced(traced: GraphModule, arguments: Sequence[Tensor]) -> Gradients:
    """Compile traced gradients for one thread; the same graph with the same shapes is compiled once in a process.

    Raises:
        CompileError: that did not work.
    """
    shapes = tuple((value.shape, value.stride(), value.dtype, value.device) for value in arguments)
    constants = tuple(
        (name, value.cpu().numpy().tobytes())
        for name, value in [*vars(traced).items(), *traced.named_buffers()]
        if isinstance(value, Tensor)
    )
    key = (traced.code, shapes, constants)
    if key not in _compiled:
        import torch._inductor

        # The trace's example values bring their own fake tensors, of which the compiler wants to make its own.
        for node in traced.graph.nodes:
            node.meta.pop("val", None)
        options = {"cpp.threads": 1, "compile_threads": 1}  # no pool of compiling processes
        try:
            _compiled[key] = torch._inductor.compile(traced, list(arguments), options=options)
        except Exception as error:  # of many kinds: PyTorch's own, the C++ compiler's, a full disk
            raise CompileError((str(error).splitlines() or [type(error).__name__])[0]) from error
    return _compiled[key]
