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
from torch import nn
from torch.func import functional_call, stack_module_state

from mmoe_repro.compiler import compile_traced
from mmoe_repro.config import Training
from mmoe_repro.gating import Gating, gating
from mmoe_repro.normals import UNIT, CPUNormals, GPUNormals, normals
from mmoe_repro.step import State, corrections, noise_shape, optional_method, trace_step
from mmoe_repro.streams import Law, Streams, derived, generator

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
    """What the test examples tell of each run and task; arrays `(runs, tasks)`.

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
    """Build a run's model with the initial weights of its init seed; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, "init").initial_seed())
        return build()


class Population:
    """Runs of one cell, trained together.

    Args:
        build: makes one untrained model, features `(batch, d)` to predictions `(batch, tasks)`.
        law: the data law.
        training: how, and on which device.
        seeds: one for each run.
        dtype: of weights and data.
        compiled: whether to compile the step, which takes some ten seconds.

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
        self.training = training
        device = training.device
        models = [build_model(build, seed.init).to(device=device, dtype=dtype) for seed in seeds]
        self._template = models[0]
        self._state = _stack(models, kinds_of_moments=3 if training.optimizer.amsgrad else 2)
        runs, batch = len(seeds), training.batch_size
        # Examples come in units of sixteen, so this many batches fill whole units.
        whole = UNIT // math.gcd(UNIT, batch)
        self._ahead = whole * max(1, _PREFETCH // (whole * batch))
        self._streams = Streams(law, [seed.data for seed in seeds], self._ahead * batch, dtype, device, compiled)
        # The next steps' batches, corrections and losses stay in one place, and each step has its views of them.
        self._x = torch.zeros(runs, self._ahead, batch, law.dimension, dtype=dtype, device=device)
        self._y = torch.zeros(runs, self._ahead, batch, law.tasks, dtype=dtype, device=device)
        self._inputs = [self._x]
        self._noise: list[CPUNormals | GPUNormals] = []
        if (shape := noise_shape(self._template, batch)) is not None:
            of_runs = [derived(seed.init, "noise") for seed in seeds]
            size = math.prod(shape[1:])
            self._noise.append(normals(device, of_runs, self._ahead * batch, size, dtype, compiled))
            self._inputs.append(torch.zeros(runs, self._ahead, *shape, dtype=dtype, device=device))
        self._corrections = torch.zeros(self._ahead, 3, dtype=dtype, device=device)
        self._losses = torch.zeros(self._ahead, runs, law.tasks, dtype=dtype, device=device)
        self._arguments = [
            (
                *self._state.tensors(),
                *(value[:, i] for value in self._inputs),
                self._y[:, i],
                self._corrections[i],
                self._losses[i],
            )
            for i in range(self._ahead)
        ]
        self.step = 0
        windows = training.steps // training.window
        self.losses = torch.zeros(runs, windows, law.tasks, dtype=torch.float64, device=device)
        self.first_losses = torch.zeros_like(self.losses)

        inputs = [value[:, 0] for value in self._inputs]
        traced = trace_step(self._template, self._state, training, inputs, self._y[:, 0])
        self._step: Callable[..., Any] = compile_traced(traced, self._arguments[0]) if compiled else traced
        self._recorded: torch.cuda.CUDAGraph | None = None

    @property
    def finished(self) -> bool:
        """All steps are done."""
        return self.step == self.training.steps

    @torch.no_grad()
    def advance(self) -> int:
        """Train on the next examples, some two thousand per run; return the steps done."""
        steps = min(self._ahead, self.training.steps - self.step)
        self._draw()
        of_steps = [corrections(self.training, self.step + 1 + i) for i in range(self._ahead)]
        self._corrections.copy_(torch.tensor(of_steps, dtype=self._corrections.dtype))
        self._run(steps)
        # One sum for each window, in double precision.
        window = self.training.window
        for first in range(self.step - self.step % window, self.step + steps, window):
            of_window = self._losses[max(0, first - self.step) : min(steps, first + window - self.step)]
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
        for held, values in zip([*self._inputs, self._y], [*drawn, y], strict=True):
            held.copy_(values.view_as(held))

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


def _stack(models: Sequence[nn.Module], kinds_of_moments: int) -> State:
    """The state before the first step."""
    parameters, buffers = stack_module_state(list(models))
    trained = {name for name, value in models[0].named_parameters() if value.requires_grad}
    stacked = {name: value.detach().contiguous() for name, value in {**parameters, **buffers}.items()}
    learnt = {name: value for name, value in stacked.items() if name in trained}
    fixed = {name: value for name, value in stacked.items() if name not in trained}
    moments = [[torch.zeros_like(value) for value in learnt.values()] for _ in range(kinds_of_moments)]
    return State(learnt, moments, fixed)
