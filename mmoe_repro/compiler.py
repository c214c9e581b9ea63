"""Functions of tensors, traced into a plain list of tensor operations and compiled where there is a compiler.

All that the program takes from PyTorch beyond its stable interface is here: `make_fx`, documented but experimental, and
Inductor, whose errors, options and search for a compiler are private. Everything is trained through `make_fx`, which
has not changed for years. Inductor may change with any release, so only the releases that it was tested with use it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

#: Releases of PyTorch that compiling was tested with; with any other, training goes uncompiled.
TESTED_RELEASES = ("2.13", "2.14")

_compiled: dict[tuple[Any, ...], Callable[..., Any]] = {}


class CompileError(RuntimeError):
    """PyTorch's compiler, or the C++ compiler that it calls, did not do its work."""


def untested_release() -> str | None:
    """Name the release of PyTorch if compiling was not tested with it, and those that it was tested with."""
    if ".".join(torch.__version__.split(".")[:2]) in TESTED_RELEASES:
        return None
    return f"compiling was tested with PyTorch {' and '.join(TESTED_RELEASES)}, and this is {torch.__version__}"


def can_compile(device: str) -> bool:
    """Whether PyTorch's Inductor is of a tested release and has a C++ compiler, or Triton on a GPU."""
    if untested_release() is not None:
        return False
    if device == "cuda":
        from torch.utils._triton import has_triton

        return bool(has_triton())

    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        return bool(get_cpp_compiler())
    except InvalidCxxCompiler:
        return False


def trace(function: Callable[..., Any], arguments: Sequence[Tensor]) -> GraphModule:
    """Trace a function of tensors into the list of operations that it does; it is called once with `arguments`."""
    if untested_release() is not None:
        return make_fx(function)(*arguments)
    from torch._guards import TracingContext, tracing
    from torch._subclasses import FakeTensorMode

    # It notes the shape of each result by a fake tensor, for which it makes a mode each unless there is one.
    with tracing(TracingContext(FakeTensorMode(allow_fallback_kernels=True))):
        return make_fx(function)(*arguments)


def compile_traced(traced: GraphModule, arguments: Sequence[Tensor]) -> Callable[..., Any]:
    """Compile a traced function for one thread; the same graph with the same shapes is compiled once in a process.

    Inductor keeps it for the next processes in its own cache.

    Raises:
        CompileError: that did not work, or was not tested with this release of PyTorch.
    """
    if (untested := untested_release()) is not None:
        raise CompileError(untested)
    shapes = tuple((value.shape, value.stride(), value.dtype, value.device) for value in arguments)
    constants = tuple(
        (name, value.cpu().numpy().tobytes())
        for name, value in [*vars(traced).items(), *traced.named_buffers()]
        if isinstance(value, Tensor)
    )
    key = (traced.code, shapes, constants)
    if key not in _compiled:
        import torch._inductor
        from torch._guards import TracingContext, tracing
        from torch._subclasses import FakeTensorMode
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

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
            # Inductor keeps compiled graphs for other processes only where it finds an environment of shapes, though
            # ours are fixed.
            with tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv()))):
                _compiled[key] = torch._inductor.compile(traced, list(arguments), options=options)
        except Exception as error:  # of many kinds: PyTorch's own, the C++ compiler's, a full disk
            raise CompileError((str(error).splitlines() or [type(error).__name__])[0]) from error
    return _compiled[key]
