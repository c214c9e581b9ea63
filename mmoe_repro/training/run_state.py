"""What a run's model is besides its parameters and buffers, which alone a population stacks."""

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from mmoe_repro.data.seeds import seeded
from mmoe_repro.errors import UsageError
from mmoe_repro.settings.own_code import is_own_module
from mmoe_repro.training.step import Method, noise_shape, optional_method

#: What every module has, registered parts among it; these have rules of their own.
_OF_ANY_MODULE = frozenset(vars(nn.Module()))

# -- what a model gives ----------------------------------------------------------------------------


def example_inputs(model: nn.Module, features: int, batch: int) -> list[Tensor]:
    """Inputs of a training step as any law might give them: features `(batch, features)`, and noise if it takes any."""
    shapes = [(batch, features), noise_shape(model, batch)]
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes if shape is not None]


def in_training(model: nn.Module, inputs: Sequence[Tensor], state: dict[str, Tensor] | None = None) -> dict[str, Any]:
    """What a training step asks of a model, in the step's order.

    Args:
        model: in its own mode.
        inputs: features, and noise for a model that takes it.
        state: parameters and buffers to be used in place of its own.
    """
    given = {"forward": _call(model, inputs, state)}
    if (penalty := optional_method(model, "penalty")) is not None:
        given["penalty"] = _call(penalty, inputs, state)
    return given


def in_evaluation(model: nn.Module, inputs: Sequence[Tensor], state: dict[str, Tensor] | None = None) -> dict[str, Any]:
    """What the evaluation asks of a model, of the first of the inputs alone; the model's mode is left as it was."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        methods = {name: optional_method(model, name) for name in ("hidden", "gates")}
        asked = {**{name: method for name, method in methods.items() if method is not None}, "forward": model}
        return {name: _call(method, inputs[:1], state) for name, method in asked.items()}
    finally:
        for part, mode in modes:
            part.training = mode


def _call(module: nn.Module, inputs: Sequence[Tensor], state: dict[str, Tensor] | None) -> Any:
    if state is None:
        return module(*inputs)
    if isinstance(module, Method):
        return module.call(state, *inputs)
    return functional_call(module, state, tuple(inputs))


def agree(one: Mapping[str, Any], other: Mapping[str, Any], near: float = 1e-5) -> bool:
    """Whether two calls gave the same, but for the rounding of the largest value."""
    for name, value in one.items():
        if not (isinstance(value, Tensor) and isinstance(other[name], Tensor) and value.shape == other[name].shape):
            return False
        if not value.numel():
            continue
        expected, found = value.detach().double(), other[name].detach().double()
        scale = float(expected[expected.isfinite()].abs().max()) if expected.isfinite().any() else 1.0
        if not torch.allclose(expected, found, rtol=near, atol=near * scale, equal_nan=True):
            return False
    return True


# -- runs beside one another -----------------------------------------------------------------------


def check_stackable(models: Sequence[nn.Module]) -> None:
    """Refuse runs whose parameters and buffers cannot be stacked.

    Args:
        models: one for each run; they are not called.

    Raises:
        UsageError: with the first thing that cannot be stacked, and what to do.
    """
    for part in models[0].modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor):
                raise UsageError(f"{type(part).__name__}.{name} is a plain tensor; make it a buffer or a parameter")
    shapes = _shapes(models[0])
    for name, shape in shapes.items():
        if shape is None:
            raise UsageError(f"{name} has no shape before the first example; say its layer's sizes (no nn.Lazy…)")
    for model in models[1:]:
        others = _shapes(model)
        for name in shapes.keys() | others.keys():
            if shapes.get(name) != others.get(name):
                one, other = shapes.get(name, "absent"), others.get(name, "absent")
                raise UsageError(f"{name} is {one} in one run and {other} in another; stacked runs have one shape")


def check_runs(models: Sequence[nn.Module], features: int, batch: int) -> None:
    """Refuse runs whose models differ in more than their parameters and buffers: one model computes for all of them.

    Args:
        models: one for each run, not yet trained; they are called, which may leave something in them.
        features: of an example.
        batch: examples of a step.

    Raises:
        UsageError: with what differs, if it can be found.
    """
    first = models[0]
    for model in models[1:]:
        state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        inputs = example_inputs(model, features, batch)
        with torch.no_grad():
            for call in (in_training, in_evaluation):
                with seeded(0, "noise"):
                    alone = call(model, inputs)
                with seeded(0, "noise"):
                    stacked = call(first, inputs, state)
                if not agree(alone, stacked):
                    raise UsageError(_difference(first, model))


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...] | None]:
    """Of parameters and buffers; None for one that has none yet."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: None if nn.parameter.is_lazy(value) else tuple(value.shape) for name, value in named}


def _difference(first: nn.Module, other: nn.Module) -> str:
    """Say in what the models of two runs differ besides parameters and buffers."""
    mine, others = attributes(first), attributes(other)
    for key in mine:
        if key in others and mine[key].frozen != others[key].frozen:
            return (
                f"{mine[key].name} is not the same in every run, and only parameters and buffers are kept for each; "
                "make it one (nn.Parameter, register_buffer, nn.ModuleList), or the same in every run"
            )
    return (
        "a run's predictions depend on more than its parameters and buffers, which alone are kept for each; "
        "make what they depend on a parameter or a buffer"
    )


# -- what a call leaves behind ---------------------------------------------------------------------


@dataclass
class Attribute:
    """What an object, a class or a module of Python's holds under a name.

    Attributes:
        holder: whose it is.
        key: its name there.
        name: as a reader knows it.
        value: itself, so that it outlives the comparison.
        frozen: what it was when it was looked at, deeply.
    """

    holder: Any
    key: str
    name: str
    value: Any
    frozen: Any


def attributes(root: Any) -> dict[tuple[str, str], Attribute]:
    """Everything besides parameters and buffers that a user's own object can keep between calls.

    Of the object itself, and for a module of all its parts; of their own classes; of the own Python modules that those
    are in or use.
    """
    parts = dict(root.named_modules()) if isinstance(root, nn.Module) else {"": root}
    classes = {
        f"class {kind.__module__}.{kind.__qualname__}": kind
        for part in parts.values()
        for kind in type(part).__mro__
        if is_own_module(sys.modules.get(kind.__module__))
    }
    modules = {f"module {module.__name__}": module for module in _python_modules(list(classes.values()))}
    found: dict[tuple[str, str], Attribute] = {}
    for where, holder in {**parts, **classes, **modules}.items():
        shown = holder.__name__ if isinstance(holder, type | ModuleType) else type(holder).__name__
        for key, value in list(vars(holder).items()) if hasattr(holder, "__dict__") else []:
            skipped = key in _OF_ANY_MODULE if isinstance(holder, nn.Module) else key.startswith("__")
            if not skipped and not (isinstance(holder, ModuleType) and isinstance(value, type | ModuleType)):
                found[where, key] = Attribute(holder, key, f"{shown}.{key}", value, freeze(value))
    return found


def _python_modules(classes: Sequence[type]) -> list[ModuleType]:
    """The own Python modules of classes, and those whose modules, functions or classes they use."""
    found: dict[str, ModuleType] = {}
    to_see = [sys.modules[kind.__module__] for kind in classes]
    while to_see:
        module = to_see.pop()
        if module.__name__ in found or not is_own_module(module):
            continue
        found[module.__name__] = module
        for value in list(vars(module).values()):
            used = value if isinstance(value, ModuleType) else None
            if isinstance(value, FunctionType | type):
                used = sys.modules.get(value.__module__ or "")
            if used is not None:
                to_see.append(used)
    return list(found.values())


def freeze(value: Any) -> Any:
    """A copy of a value, deeply, that equals another if the values do."""
    return _freeze(value, {})


def _freeze(value: Any, seen: dict[int, int]) -> Any:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return type(value), repr(value)
    if id(value) in seen:
        return "again", seen[id(value)]
    seen[id(value)] = len(seen)
    kind = type(value)
    match value:
        case Tensor():
            return kind, _frozen_tensor(value)
        case np.ndarray():
            content = _freeze(value.tolist(), seen) if value.dtype.hasobject else value.tobytes()
            return kind, str(value.dtype), value.shape, content
        case np.random.Generator():
            return kind, repr(value.bit_generator.state)
        case np.random.RandomState():
            return kind, repr(value.get_state())
        case torch.Generator():
            return kind, value.get_state().numpy().tobytes()
        case random.Random():
            return kind, value.getstate()
        case Mapping():
            return kind, [(_freeze(key, seen), _freeze(one, seen)) for key, one in list(value.items())]
        case list() | tuple() | deque():
            return kind, [_freeze(one, seen) for one in value]
        case set() | frozenset():
            return kind, sorted(repr(_freeze(one, {})) for one in value)
        case FunctionType():
            cells = [_cell(cell) for cell in value.__closure__ or ()]
            kept = [value.__defaults__, value.__kwdefaults__, cells, vars(value)]
            return kind, value.__code__, _freeze(kept, seen) if is_own_module(sys.modules.get(value.__module__)) else 0
        case MethodType():
            return kind, _freeze(value.__func__, seen), _freeze(value.__self__, seen)
        case GeneratorType():
            frame = value.gi_frame
            return kind, frame and (frame.f_lasti, _freeze(dict(frame.f_locals), seen))
        case type() | ModuleType():
            return kind, id(value)
    if hasattr(value, "__dict__"):
        slots = [name for one in kind.__mro__ for name in getattr(one, "__slots__", ()) if hasattr(value, name)]
        held = {**vars(value), **{name: getattr(value, name) for name in slots if name != "__dict__"}}
        return kind, _freeze(held, seen)
    try:
        return kind, _freeze(value.__reduce_ex__(2)[1:], seen)
    except Exception:  # of many kinds, from objects that cannot be copied
        return kind, id(value)


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty yet
        return None


def _frozen_tensor(value: Tensor) -> Any:
    try:
        plain = value.detach().cpu().contiguous().reshape(-1)
        return str(value.dtype), tuple(value.shape), plain.view(torch.uint8).numpy().tobytes()
    except Exception:  # sparse, lazy, of a tracer
        return id(value)


def check_calls(make: Callable[[], Any], calls: Mapping[str, Callable[[Any], Mapping[str, Any]]]) -> None:
    """Refuse an object that is another after a call, unless what changed is only stored.

    A step is traced once and its runs share one module, so what a call leaves behind would be of the trace, or of the
    runs that came before. Stored only is what decides nothing when the next call begins: it is taken away, and what
    is in its place then must not be looked at before it is overwritten.

    Args:
        make: a new object, the same each time.
        calls: what is asked of it, each by itself, by its name; they give tensors, the same each time.

    Raises:
        UsageError: with what changes.
    """
    for when, call in calls.items():
        made = make()
        before, tensors = attributes(made), frozen_tensors(made)
        given = call(made)
        after = attributes(made)
        for name, frozen in frozen_tensors(made).items():
            if frozen != tensors[name]:
                raise UsageError(
                    f"{name} changes in {when}, which a population cannot stack; without running statistics "
                    "(track_running_stats=False, or LayerNorm) it can"
                )
        changed = [one for key, one in after.items() if key not in before or before[key].frozen != one.frozen]
        changed += [one for key, one in before.items() if key not in after]
        if not changed:
            continue
        for one in changed:
            if isinstance(one.value, FunctionType):
                raise UsageError(_changes(one.name, when))
        used: list[str] = []
        with _taken_away(changed, used):
            try:
                again = call(made)
            except Exception:  # a user's code may raise anything, and here it meets what it does not expect
                again = {}
        if used or again.keys() != given.keys() or not agree(given, again):
            raise UsageError(_changes(used[0] if used else changed[0].name, when))


@contextmanager
def _taken_away(attributes: Sequence[Attribute], used: list[str]) -> Iterator[None]:
    """Put something in the place of attributes that notes under which name it is looked at."""

    def put(one: Attribute, value: Any) -> None:
        if isinstance(one.holder, type):
            setattr(one.holder, one.key, value)
        else:
            vars(one.holder)[one.key] = value  # not by setattr, which a module has rules for

    for one in attributes:
        put(one, _Absent(one.name, used))
    try:
        yield
    finally:
        for one in attributes:
            put(one, one.value)


class _Absent:
    """In the place of what was stored: it may be counted on and added to, but notes when anything depends on it."""

    def __init__(self, name: str, used: list[str]) -> None:
        self.__dict__["_noted"] = name, used

    def _look(self, *_: Any, **__: Any) -> Any:
        name, used = self.__dict__["_noted"]
        used.append(name)
        raise TypeError(f"{name} is looked at")

    def _go_on(self, *others: Any, **_: Any) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        """An operation of PyTorch's depends on it."""
        for argument in [*arguments, *(named or {}).values()]:
            if isinstance(argument, cls):
                argument._look()
        raise TypeError("something that is not there is looked at")

    def __setattr__(self, name: str, value: Any) -> None:
        """Take it."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take it."""

    __bool__ = __len__ = __iter__ = __contains__ = __hash__ = __float__ = __int__ = __index__ = _look
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __array__ = __complex__ = __enter__ = __next__ = _look
    __call__ = __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _go_on
    __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = _go_on
    __neg__ = __pos__ = __abs__ = __or__ = __and__ = __xor__ = _go_on


def _changes(name: str, when: str) -> str:
    return (
        f"{name} changes in {when}, and decides what the next call gives; a population's step is traced once and "
        "shared by its runs, so nothing may be carried from call to call"
    )


def frozen_tensors(made: Any) -> dict[str, Any]:
    """Parameters and buffers as they are, to be compared."""
    if not isinstance(made, nn.Module):
        return {}
    return {name: _frozen_tensor(value) for name, value in [*made.named_parameters(), *made.named_buffers()]}
