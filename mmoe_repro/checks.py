"""What is refused before any work: laws and models that cannot be made, or are not what the program needs."""

from collections.abc import Callable
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import nn

from mmoe_repro.errors import UsageError
from mmoe_repro.normals import UNIT
from mmoe_repro.step import noise_shape, optional_method
from mmoe_repro.streams import Law, Streams

#: What a model can do instead of what `torch.func.vmap` cannot stack, by a part of the error's message.
_FIXES = {
    "data-dependent control flow": "it decides by the values of a tensor (an if, .item()); use torch.where",
    "dynamic shape": "a shape depends on the values of a tensor (a boolean mask); use torch.where",
    "randomness error mode": "it draws random numbers; take them as forward(x, noise), shaped by noise_shape(batch)",
}


def make(group: str, choice: str, settings: Any) -> Any:
    """The object that an option of a group stands for.

    Raises:
        UsageError: it names no class, the class cannot be found, or it does not take these settings.
    """
    if not (isinstance(settings, dict) and "_target_" in settings):
        raise UsageError(f"{group}={choice}: needs a _target_, the dotted name of a class")
    try:
        return instantiate(settings)
    except InstantiationException as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from None
        raise UsageError(f"{group}={choice}: {settings['_target_']}: {_one_line(error.__cause__ or error)}") from None


def check_law(choice: str, law: Law) -> None:
    """Refuse a law that draws no examples, or of other shapes than it says.

    Raises:
        UsageError: with the reason.
    """
    refused = f"data={choice}:"
    try:
        drawn = Streams(law, [0], UNIT).take()
        wanted = [(UNIT, law.dimension), (UNIT, law.tasks)]
    except Exception as error:  # a user's code may raise anything
        raise UsageError(f"{refused} cannot draw examples: {_one_line(error)}") from None
    x, y = (tuple(of_runs.shape[1:]) for of_runs in drawn)
    if [x, y] != wanted:
        raise UsageError(f"{refused} draws features {x} and labels {y}; must be {wanted[0]} and {wanted[1]}")


def check_model(choice: str, settings: Any, law: Law, populate: Callable[[], object]) -> None:
    """Refuse a model that cannot be made, whose shapes do not fit, or that cannot be trained as a population.

    Args:
        choice: of the `model` group.
        settings: of the model.
        law: the data law that it is to learn.
        populate: makes a small population of it.

    Raises:
        UsageError: with the reason.
    """
    with torch.random.fork_rng(devices=[]):
        model = make("model", choice, settings)
    refused = f"model={choice}:"
    x = torch.rand(3, law.dimension, generator=torch.Generator().manual_seed(0))
    try:
        predictions = model(x)
        hidden, gates = (optional_method(model, name) for name in ("hidden", "gates"))
        units, weights = (None if method is None else method(x) for method in (hidden, gates))
    except Exception as error:  # a user's code may raise anything
        raise UsageError(f"{refused} cannot predict from features (3, {law.dimension}): {_one_line(error)}") from None
    for name, value, axes in (
        ("predicts", predictions, ("batch", "tasks")),
        ("hidden gives", units, ("batch", "tasks", "units")),
        ("gates gives", weights, ("batch", "tasks", "experts")),
    ):
        told = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        fits = isinstance(told, tuple) and len(told) == len(axes) and told[:2] == (3, law.tasks)
        if not fits and (value is not None or name == "predicts"):
            wanted = f"({', '.join(axes)})"
            raise UsageError(f"{refused} {name} {told} for 3 examples; must be {wanted}, with {law.tasks} tasks")
    try:
        populate()
        _check_gradients(model, x)
    except UsageError as error:
        raise UsageError(f"{refused} {error}") from None
    except Exception as error:
        fix = next((fix for sign, fix in _FIXES.items() if sign in str(error)), _one_line(error))
        raise UsageError(f"{refused} cannot be trained as a population: {fix}") from None


def _check_gradients(model: nn.Module, x: torch.Tensor) -> None:
    """Refuse parameters that the loss does not depend on.

    Raises:
        UsageError: with the first of them.
    """
    shape = noise_shape(model, len(x))
    inputs = [x] if shape is None else [x, torch.ones(shape)]
    penalty = optional_method(model, "penalty")
    loss = model(*inputs).sum() + (0.0 if penalty is None else penalty(*inputs))
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not trained or not loss.requires_grad:
        raise UsageError("has no parameter that can be trained")
    gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    for name, gradient in zip(trained, gradients, strict=True):
        if gradient is None:
            raise UsageError(f"{name} gets no gradient; use it in forward, or freeze it with requires_grad_(False)")


def _one_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
