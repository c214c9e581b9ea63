"""Many runs of one model at once: the same seeds, data and updates as one run at a time, stacked.

The runs are independent, so one pass over parameters stacked along a leading axis trains them all (the idea of
PureJaxRL's vmapped training).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from mmoe_repro.compiler import compile_traced
from mmoe_repro.data.law import Law
from mmoe_repro.data.normals import UNIT, CPUNormals, GPUNormals, normals
from mmoe_repro.data.seeds import derived, seeded
from mmoe_repro.data.streams import Streams
from mmoe_repro.settings.training import Training
from mmoe_repro.training.gate_measures import Gating, gating
from mmoe_repro.training.optimizer import corrections
from mmoe_repro.training.run_state import check_runs, check_stackable
from mmoe_repro.training.step import State, noise_shape, optional_method, trace_step

#: A run whose prediction varies less than this (sd over the test examples) is stuck.
STUCK_SD = 1e-6
#: Examples that a run holds ready at a time.
_PREFETCH = 2048
#: Parts in which a run predicts its test examples, so that what a model makes on its way there stays small.
_EVALUATED_PARTS = 10


class Seed(NamedTuple):
    """What fixes a run: the seed of its data and the seed of its initial weights."""

    data: int
    init: int


@dataclass(frozen=True)
class Evaluation:
    """What the test examples say of each run and task; arrays `(runs, tasks)`.

    `dead_units` is NaN for a model without `hidden`, what follows it for one without `gates`; see `Gating` for these.
    `gate_weights` is `(runs, tasks, experts)`.
    """

    loss: np.ndarray
    prediction_sd: np.ndarray
    dead_units: np.ndarray
    gate_entropy: np.ndarray
    gate_divergence: np.ndarray
    experts_used: np.ndarray
    gate_weights: np.ndarray


def build_model(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a run's model with the initial weights of its init seed; the global generators are left as they were."""
    with seeded(seed, "init"):
        return build()


class Population:
    """Runs of one cell, trained together.

    Args:
        build: makes one untrained model, features `(batch, d)` to predictions `(batch, tasks)`.
        law: the data law.
        training: how, and on which device.
        seeds: one for each run.
        dtype: of weights and data.
        compiled: whether to compile the step, which takes about ten seconds.

    Attributes:
        step: updates done.
        losses: sums of the training losses of each window so far `(runs, windows, tasks)`; a step's loss is that of
            its batch before the update.
        first_losses: the loss of each window's first step alone, of the same shape.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        law: Law,
        training: Training,
        seeds: Sequence[Seed],
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        self.training, self.step = training, 0
        self._build, self._seeds, self._dtype = build, seeds, dtype
        self._template, self._state = _untrained(build, law.dimension, training, seeds, dtype)
        self._ahead = _steps_ahead(training.batch_size)
        examples = self._ahead * training.batch_size
        of_data = [seed.data for seed in seeds]
        self._streams = Streams(law, of_data, examples, dtype, training.device, compiled)
        self._noise = _noise_sources(self._template, training, seeds, examples, dtype, compiled)
        self._block = _Block.empty(self._template, law, training, len(seeds), self._ahead, dtype)
        self._arguments = [[*self._state.tensors(), *self._block.of_step(i)] for i in range(self._ahead)]
        self._step = _make_step(self._template, self._state, training, self._block, compiled)
        self._recorded: torch.cuda.CUDAGraph | None = None
        shape = (len(seeds), training.steps // training.window, law.tasks)
        self.losses = torch.zeros(shape, dtype=torch.float64, device=training.device)
        self.first_losses = torch.zeros_like(self.losses)

    @property
    def finished(self) -> bool:
        """All steps are done."""
        return self.step == self.training.steps

    @torch.no_grad()
    def advance(self) -> int:
        """Train on the next examples, about 2,000 per run; return the steps done."""
        steps = min(self._ahead, self.training.steps - self.step)
        self._draw()
        of_steps = [corrections(self.training, self.step + 1 + i) for i in range(self._ahead)]
        self._block.corrections.copy_(torch.tensor(of_steps, dtype=self._block.corrections.dtype))
        self._run(steps)
        # One sum for each window, in double precision.
        window = self.training.window
        for first in range(self.step - self.step % window, self.step + steps, window):
            of_window = self._block.losses[max(0, first - self.step) : min(steps, first + window - self.step)]
            self.losses[:, first // window] += of_window.double().sum(0)
            if first >= self.step:
                self.first_losses[:, first // window] = of_window[0]
        self.step += steps
        return steps

    def _run(self, steps: int) -> None:
        """Take the next steps. A GPU gets a whole block of them as one recording, which spares it the launches."""
        if self._recorded is not None and steps == self._ahead:
            self._recorded.replay()
            return
        for arguments in self._arguments[:steps]:
            self._step(*arguments)
        to_come = self.training.steps - self.step - steps
        if self.training.device == "cuda" and self._recorded is None and to_come >= self._ahead:
            # After a first pass, since kernels may not be loaded while recording.
            self._recorded = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._recorded):
                for arguments in self._arguments:
                    self._step(*arguments)

    def _draw(self) -> None:
        """Fill the batches of the next steps."""
        x, y = self._streams.take()
        drawn = [x, *(source.take() for source in self._noise)]
        for held, values in zip([*self._block.inputs, self._block.y], [*drawn, y], strict=True):
            held.copy_(values.view_as(held))

    def untrained(self, run: int) -> nn.Module:
        """A run's model as it was before training, newly made."""
        return build_model(self._build, self._seeds[run].init).to(device=self.training.device, dtype=self._dtype)

    def batch(self, run: int, number: int) -> tuple[list[Tensor], Tensor]:
        """A run's inputs and labels at a step of the block that was drawn last."""
        return [value[run, number] for value in self._block.inputs], self._block.y[run, number]

    def curves(self) -> np.ndarray:
        """Mean training loss of each finished window `(runs, windows, tasks)`."""
        windows = self.step // self.training.window
        return (self.losses[:, :windows] / self.training.window).cpu().numpy()

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """Measure the models as they stand on each run's test examples."""
        self._template.eval()
        hidden, gates = (optional_method(self._template, name) for name in ("hidden", "gates"))
        rows, weights = [], []
        for run in range(len(self.losses)):
            values = {name: value[run] for name, value in {**self._state.parameters, **self._state.fixed}.items()}
            x, y = self._streams.test_set(run)
            parts = x.chunk(_EVALUATED_PARTS)
            predictions = torch.cat([functional_call(self._template, values, (part,)) for part in parts]).double()
            dead = torch.full_like(predictions[0], torch.nan)
            if hidden is not None:
                zero = [(hidden.call(values, part) == 0).all(0) for part in parts]
                dead = torch.stack(zero).all(0).double().mean(-1)
            unknown = torch.full_like(dead, torch.nan)
            of_gates = Gating(unknown, unknown, unknown, unknown[:, None])
            if gates is not None:
                of_gates = gating(torch.cat([gates.call(values, part) for part in parts]).double())
            losses = (predictions - y).square().mean(0)
            of_run = [losses, predictions.std(0), dead, of_gates.entropy, of_gates.divergence, of_gates.used]
            rows.append(torch.stack([value.expand_as(losses) for value in of_run]))
            weights.append(of_gates.weights)
        self._template.train()
        loss, sd, dead, entropy, divergence, used = torch.stack(rows, 1).cpu().numpy()
        return Evaluation(loss, sd, dead, entropy, divergence, used, torch.stack(weights).cpu().numpy())

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes in training; tensors are not copied."""
        streams = self._streams.state_dict()
        losses = [self.losses, self.first_losses]
        noise = [source.state_dict() for source in self._noise]
        return {
            "step": self.step,
            "state": self._state.tensors(),
            "losses": losses,
            "streams": streams,
            "noise": noise,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on, to the bit, from where `state_dict` was called."""
        self.step = state["step"]
        mine = [self.losses, self.first_losses, *self._state.tensors()]
        saved = [*state["losses"], *state["state"]]
        for tensor, value in zip(mine, saved, strict=True):
            tensor.copy_(value)
        self._streams.load_state_dict(state["streams"])
        for source, saved in zip(self._noise, state["noise"], strict=True):
            source.load_state_dict(saved)


def _untrained(
    build: Callable[[], nn.Module], features: int, training: Training, seeds: Sequence[Seed], dtype: torch.dtype
) -> tuple[nn.Module, State]:
    """A model for what all runs compute, and the state of all before the first step."""
    models = [build_model(build, seed.init) for seed in seeds]
    check_stackable(models)
    built_in = type(models[0]).__module__.startswith("mmoe_repro.")  # of which tests have said so
    if not built_in:
        check_runs(models, features, training.batch_size)
        models = [build_model(build, seed.init) for seed in seeds]  # the check may have left something in them
    models = [model.to(device=training.device, dtype=dtype) for model in models]
    return models[0], _stack(models, kinds_of_moments=3 if training.optimizer.amsgrad else 2)


def _steps_ahead(batch: int) -> int:
    """Steps in a block. Examples come in units of sixteen, so this many batches fill whole units."""
    whole = UNIT // math.gcd(UNIT, batch)
    return whole * max(1, _PREFETCH // (whole * batch))


def _noise_sources(
    model: nn.Module, training: Training, seeds: Sequence[Seed], examples: int, dtype: torch.dtype, compiled: bool
) -> list[CPUNormals | GPUNormals]:
    """The source of the noise that a model takes with its examples; none for most models."""
    shape = noise_shape(model, training.batch_size)
    if shape is None:
        return []
    of_runs = [derived(seed.init, "noise") for seed in seeds]
    return [normals(training.device, of_runs, examples, math.prod(shape[1:]), dtype, compiled)]


def _make_step(
    model: nn.Module, state: State, training: Training, block: "_Block", compiled: bool
) -> Callable[..., Any]:
    """The function that takes a step, called with the tensors of the state and of a step of the block."""
    *inputs, y, _, _ = block.of_step(0)
    traced = trace_step(model, state, training, inputs, y)
    return compile_traced(traced, [*state.tensors(), *block.of_step(0)]) if compiled else traced


@dataclass(frozen=True)
class _Block:
    """Room for what the next steps read and fill; it stays in its place, and each step has its views of it.

    Attributes:
        inputs: features `(runs, steps, batch, features)`, and for a model that takes noise, that
            `(runs, steps, batch, …)`.
        y: labels `(runs, steps, batch, tasks)`.
        corrections: Adam's three numbers `(steps, 3)`.
        losses: of each step's batch before the update `(steps, runs, tasks)`.
    """

    inputs: list[Tensor]
    y: Tensor
    corrections: Tensor
    losses: Tensor

    @classmethod
    def empty(
        cls, model: nn.Module, law: Law, training: Training, runs: int, steps: int, dtype: torch.dtype
    ) -> "_Block":
        """Room for `steps` steps, zeros."""
        batch = training.batch_size
        noise = noise_shape(model, batch)
        inputs = [(batch, law.dimension), *([] if noise is None else [noise])]

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=training.device)

        return cls(
            inputs=[zeros(runs, steps, *shape) for shape in inputs],
            y=zeros(runs, steps, batch, law.tasks),
            corrections=zeros(steps, 3),
            losses=zeros(steps, runs, law.tasks),
        )

    def of_step(self, number: int) -> list[Tensor]:
        """The arguments of a step that follow the state: inputs, y, corrections, losses."""
        batches = [value[:, number] for value in (*self.inputs, self.y)]
        return [*batches, self.corrections[number], self.losses[number]]


def _stack(models: Sequence[nn.Module], kinds_of_moments: int) -> State:
    """The state before the first step."""
    parameters, buffers = stack_module_state(list(models))
    trained = {name for name, value in models[0].named_parameters() if value.requires_grad}
    stacked = {name: value.detach().contiguous() for name, value in {**parameters, **buffers}.items()}
    learnt = {name: value for name, value in stacked.items() if name in trained}
    fixed = {name: value for name, value in stacked.items() if name not in trained}
    moments = [[torch.zeros_like(value) for value in learnt.values()] for _ in range(kinds_of_moments)]
    return State(learnt, moments, fixed)
