"""Functions of tensors, traced into a plain list of tensor operations and compiled where there is a compiler."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.fx import GraphModule

_compiled: dict[tuple[Any, ...], Callable[..., Any]] = {}


class CompileError(RuntimeError):
    """PyTorch's compiler, or the C++ compiler that it calls, did not do its work."""


def can_compile(device: str) -> bool:
    """Whether PyTorch's Inductor has what it needs: a C++ compiler on the CPU, Triton on a GPU."""
    if device == "cuda":
        from torch.utils._triton import has_triton

        return bool(has_triton())

    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return bool(get_cpp_compiler())
    except InvalidCxxCompiler:
        return False


def compile_traced(traced: GraphModule, arguments: Sequence[Tensor]) -> Callable[..., Any]:
    """Compile a traced function for one thread; the same graph with the same shapes is compiled once in a process.

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
        on_cpu = arguments[0].device.type == "cpu"
        options = {
            "cpp.threads": 1,
            "compile_threads": 1,  # no pool of compiling processes
            "size_asserts": False,  # it is always called with these shapes
            "cpp_wrapper": on_cpu,  # calling the kernels from Python costs a tenth more
            "deterministic": not on_cpu,  # no choice between a GPU's kernels by timing them
        }
        try:
            _compiled[key] = torch._inductor.compile(traced, list(arguments), options=options)
        except Exception as error:  # of many kinds: PyTorch's own, the C++ compiler's, a full disk
            raise CompileError((str(error).splitlines() or [type(error).__name__])[0]) from error
    return _compiled[key]
