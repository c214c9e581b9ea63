"""What is refused before any work: laws and models that cannot be made, or are not what the program needs."""

from collections.abc import Callable
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from mmoe_repro.errors import UsageError
from mmoe_repro.normals import UNIT
from mmoe_repro.step import optional_method
from mmoe_repro.streams import Law, Streams


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
    x = torch.zeros(3, law.dimension)
    try:
        with torch.no_grad():
            predictions = model(x)
            hidden = optional_method(model, "hidden")
            units = None if hidden is None else hidden(x)
    except Exception as error:  # a user's code may raise anything
        raise UsageError(f"{refused} cannot predict from features (3, {law.dimension}): {_one_line(error)}") from None
    for name, value, shape in (("predicts", predictions, (3, law.tasks)), ("hidden gives", units, (3, law.tasks, -1))):
        told = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        fits = isinstance(told, tuple) and len(told) == len(shape) and told[:2] == shape[:2]
        if not fits and value is not None:
            wanted = f"({', '.join(['batch', 'tasks', 'units'][: len(shape)])})"
            raise UsageError(f"{refused} {name} {told} for 3 examples; must be {wanted}, with {law.tasks} tasks")
    try:
        populate()
    except UsageError as error:
        raise UsageError(f"{refused} {error}") from None
    except Exception as error:
        raise UsageError(f"{refused} cannot be trained as a population: {_one_line(error)}") from None


def _one_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
