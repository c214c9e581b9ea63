"""What is refused before any work: laws and models that cannot be made, or are not what the program needs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from mmoe_repro.compiler import CompileError
from mmoe_repro.data.law import Law, make_law
from mmoe_repro.data.normals import UNIT
from mmoe_repro.data.seeds import generator, seeded
from mmoe_repro.data.streams import Streams
from mmoe_repro.errors import UsageError
from mmoe_repro.jobs.ordinary_loop import ordinary_losses
from mmoe_repro.processes import one_thread
from mmoe_repro.settings.cell import Cell
from mmoe_repro.settings.hydra_targets import make
from mmoe_repro.settings.job import Job
from mmoe_repro.settings.own_code import explain, own_targets
from mmoe_repro.settings.ranges import check
from mmoe_repro.training.chunk import CHUNK_SIZE, is_compiled, population
from mmoe_repro.training.population import build_model
from mmoe_repro.training.progress import told_if_slow
from mmoe_repro.training.run_state import (
    agree,
    check_calls,
    check_stackable,
    example_inputs,
    frozen_tensors,
    in_evaluation,
    in_training,
)
from mmoe_repro.training.step import noise_shape, optional_method

_RANDOM = "it draws random numbers; take them as forward(x, noise), shaped by noise_shape(batch)"
#: What a model can do instead of what `torch.func.vmap` cannot stack, by a part of the error's message.
_FIXES = {
    "data-dependent control flow": "it decides by the values of a tensor (an if, .item()); use torch.where",
    "dynamic shape": "a shape depends on the values of a tensor (a boolean mask); use torch.where",
    "randomness error mode": _RANDOM,
    "aten::stack() Expected": "PyTorch cannot stack its nn.LSTM; write its steps with nn.LSTMCell",
}
#: Steps that a model of a user's own takes in an ordinary loop, and how near a population has to come, relatively.
_STEPS, _NEAR = 3, {torch.float64: 1e-6, torch.float32: 1e-3}


def check_jobs(jobs: Sequence[Job]) -> None:
    """Refuse jobs that cannot be trained; laws and models that several share are tried once.

    Raises:
        UsageError: of a model that cannot be trained, a law that draws no examples, a device that is not there.
    """
    checked: list[Any] = []
    for job in jobs:
        cell = job.cell
        if cell.training.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("training.device=cuda: there is no CUDA device here; use training.device=cpu")
        law = make_law(cell.data.name, cell.data.settings)
        with one_thread():  # as they are trained
            if cell.data.settings not in checked:
                check_law(cell.data.name, law)
                if own_targets(cell.data.settings):
                    check_own_law(cell.data.name, cell.data.settings)
            checked.append(cell.data.settings)
            own = bool(own_targets(cell.model.settings))
            shapes = [cell.model.settings, law.dimension, law.tasks]
            if own:  # of the program's own it is known how they are trained
                shapes += [cell.training.batch_size, cell.training.device, is_compiled(cell)]
            if shapes not in checked:
                with told_if_slow(f"model={cell.model.name} is being tried"):
                    check_model(cell, law)
                    if own:
                        check_own_model(cell, law, job.seeds or job.tuning_seeds)
            checked.append(shapes)


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
        raise UsageError(f"{refused} cannot draw examples: {explain(error)}") from None
    x, y = (tuple(of_runs.shape[1:]) for of_runs in drawn)
    if [x, y] != wanted:
        raise UsageError(f"{refused} draws features {x} and labels {y}; must be {wanted[0]} and {wanted[1]}")


def check_own_law(choice: str, settings: Any) -> None:
    """Refuse a user's own law whose examples depend on anything but what `weights` gives and on `draw`'s numbers.

    Raises:
        UsageError: with the reason.
    """

    def made() -> Law:
        return make_law(choice, settings)

    def weights(law: Law, seed: int = 0) -> Tensor:
        with seeded(seed, "weights"):
            return law.weights(generator(seed, "weights"), torch.float32)

    def draw(law: Law, seed: int = 0) -> dict[str, Tensor]:
        with seeded(seed, "noise"):
            x, y = law.draw(of_runs[0], *(numbers[0] for numbers in normals))
        return {"x": x, "y": y}

    refused = f"data={choice}:"
    try:
        one = made()
        of_runs = torch.stack([weights(one, seed) for seed in (0, 1)])
        drawn_from = torch.Generator().manual_seed(0)
        normals = [torch.randn(2, UNIT, size, generator=drawn_from) for size in one.normals]
        check_calls(made, {"weights": lambda law: {"weights": weights(law)}, "draw": draw})
        alone = draw(made())
        if not agree(alone, draw(one)):
            raise UsageError("draw depends on what weights left in the law; runs share a law, so let weights return it")
        if not agree(alone, draw(made(), seed=1)):
            raise UsageError("draw draws random numbers of its own; let normals say how many it takes")
        x, y = vmap(one.draw)(of_runs, *normals)
        if not agree(alone, {"x": x[0], "y": y[0]}):
            raise UsageError("draw gives other examples for several runs at once (torch.func.vmap) than for one")
    except UsageError as error:
        raise UsageError(f"{refused} {error}") from None
    except Exception as error:  # a user's code may raise anything
        raise UsageError(f"{refused} cannot draw examples: {explain(error)}") from None


def check_model(cell: Cell, law: Law) -> None:
    """Refuse a model that cannot be made, whose shapes do not fit, or that cannot be trained as a population.

    Args:
        cell: of the model.
        law: the data law that it is to learn.

    Raises:
        UsageError: with the reason.
    """
    if not own_targets(cell.model.settings):  # in which these may mean something else
        for key, of_law in (("features", law.dimension), ("tasks", law.tasks)):
            given = cell.model.settings.get(key, of_law)
            check(f"model.{key}", given, given == of_law, f"{of_law}, as data={cell.data.name} has; leave it out")
    model = _build(cell, 0)
    refused = f"model={cell.model.name}:"
    x = torch.rand(3, law.dimension, generator=torch.Generator().manual_seed(0))
    try:
        predictions = model(x)
        hidden, gates = (optional_method(model, name) for name in ("hidden", "gates"))
        units, weights = (None if method is None else method(x) for method in (hidden, gates))
    except Exception as error:  # a user's code may raise anything
        raise UsageError(f"{refused} cannot predict from features (3, {law.dimension}): {explain(error)}") from None
    for name, value, axes in (
        ("predicts", predictions, ("batch", "tasks")),
        ("hidden gives", units, ("batch", "tasks", "units")),
        ("gates gives", weights, ("batch", "tasks", "experts")),
    ):
        shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        fits = isinstance(shape, tuple) and len(shape) == len(axes) and shape[:2] == (3, law.tasks)
        if not fits and (value is not None or name == "predicts"):
            wanted = f"({', '.join(axes)})"
            raise UsageError(f"{refused} {name} {shape} for 3 examples; must be {wanted}, with {law.tasks} tasks")
    try:
        if own_targets(cell.model.settings):
            _check_state(cell, law)
        else:
            population(cell, range(2))  # `check_own_model` makes populations of the others
        _check_gradients(_build(cell, 0), x)
    except Exception as error:
        raise UsageError(f"{refused} {_cannot_be_trained(error)}") from None


def check_own_model(cell: Cell, law: Law, seeds: range) -> None:
    """Refuse a user's own model that would train otherwise than in an ordinary loop.

    It is held against one in double precision, and then takes its first steps exactly as it is going to be trained: a
    chunk of as many runs, compiled or not.

    Args:
        cell: of the model.
        law: the data law that it is to learn.
        seeds: of the runs.

    Raises:
        UsageError: with the reason.
    """
    try:
        try:
            _check_losses(cell, torch.float64)
        except UsageError:
            raise
        except Exception:  # it may make tensors of single precision itself
            _check_losses(cell, torch.float32)
        _check_first_block(cell, seeds)
    except Exception as error:
        raise UsageError(f"model={cell.model.name}: {_cannot_be_trained(error)}") from None


def _build(cell: Cell, seed: int) -> nn.Module:
    return build_model(lambda: make("model", cell.model.name, cell.model.settings), seed)


def _cannot_be_trained(error: Exception) -> str:
    if isinstance(error, UsageError):
        return str(error)
    fix = next((fix for sign, fix in _FIXES.items() if sign in str(error)), explain(error))
    return f"cannot be trained as a population: {fix}"


def _check_state(cell: Cell, law: Law) -> None:
    """Refuse a model that its seed does not fix, that carries something from call to call, or that draws numbers.

    Raises:
        UsageError: with the reason.
    """
    one, other = (_build(cell, 0) for _ in range(2))
    check_stackable([one])
    again = frozen_tensors(other)
    for name, frozen in frozen_tensors(one).items():
        if again.get(name) != frozen:
            raise UsageError(f"{name} is another each time the model is made; draw it from torch's global generator")
    inputs = example_inputs(one, law.dimension, cell.training.batch_size)

    def train(model: nn.Module, seed: int = 0) -> dict[str, Any]:
        with seeded(seed, "noise"):
            return in_training(model, inputs)

    def evaluate(model: nn.Module, seed: int = 0) -> dict[str, Any]:
        with seeded(seed, "noise"):
            return in_evaluation(model, inputs)

    check_calls(lambda: _build(cell, 0), {"forward": train, "forward (in evaluation)": evaluate})
    for call in (train, evaluate):
        if not agree(call(one), call(other, seed=1)):
            raise UsageError(f"cannot be trained as a population: {_RANDOM}")


def _check_losses(cell: Cell, dtype: torch.dtype) -> None:
    """Refuse a model whose first losses are not those of an ordinary loop, or that cannot be evaluated.

    Raises:
        UsageError: with both losses.
    """
    training = replace(cell.training, steps=_STEPS, window=1, device="cpu")
    together = population(replace(cell, training=training), range(2), dtype=dtype)
    batches: list[list[tuple[list[Tensor], Tensor]]] = [[], []]
    while not together.finished:
        for number in range(together.advance()):
            for run in range(2):
                inputs, y = together.batch(run, number)
                batches[run].append(([value.clone() for value in inputs], y.clone()))
    curves = torch.from_numpy(together.curves())
    for run in range(2):
        _compare(curves[run], ordinary_losses(together.untrained(run), batches[run], training), _NEAR[dtype])
    together.evaluate()


def _check_first_block(cell: Cell, seeds: range) -> None:
    """Refuse a model whose first steps fail as it is going to be trained, or begin with other losses than its own.

    Raises:
        UsageError: with the reason.
    """
    size = CHUNK_SIZE[cell.training.device]
    first = seeds[0] - seeds[0] % size
    chunk = range(first, first + size)
    try:
        runs = population(cell, chunk, is_compiled(cell))
    except CompileError:  # training goes without, too, and says so
        runs = population(cell, chunk)
    runs.advance()
    losses = runs.first_losses[:, 0].cpu()
    for run in range(size):
        inputs, y = runs.batch(run, 0)
        with torch.no_grad():
            predictions = in_training(runs.untrained(run), inputs)["forward"]
        _compare(losses[run], (predictions - y).square().mean(0).cpu(), _NEAR[torch.float32])


def _compare(together: Tensor, alone: Tensor, near: float) -> None:
    """Refuse losses of a population that are not those of an ordinary loop.

    Raises:
        UsageError: with the first losses that differ.
    """
    if agree({"losses": alone}, {"losses": together.double()}, near):
        return
    pairs = zip(together.flatten().tolist(), alone.flatten().tolist(), strict=True)
    one, other = next(pair for pair in pairs if not abs(pair[0] - pair[1]) <= near * abs(pair[1]))
    raise UsageError(
        f"trained as a population its loss is {one:.6g}, in an ordinary loop {other:.6g}; it does what torch.func does "
        "not follow (hooks, .data, tensors changed in place, a list of weights of its own)"
    )


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
