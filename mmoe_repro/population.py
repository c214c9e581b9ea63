"""Many runs of one model at once: the same seeds, data and updates as one run at a time, stacked.

The runs are independent, so one pass over parameters stacked along a leading axis trains them all (the idea of
PureJaxRL's vmapped training).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from mmoe_repro.config import Training
from mmoe_repro.gradients import Gradients, compile_traced, optional_method, trace
from mmoe_repro.streams import Law, Stream, derived_seed

#: A run whose prediction varies less than this (sd over the test examples) is stuck.
STUCK_SD = 1e-6
#: Examples that a run holds ready at a time.
_PREFETCH = 1024


class Seed(NamedTuple):
    """What fixes a run: the seed of its data and the seed of its initial weights."""

    data: int
    init: int


@dataclass(frozen=True)
class Evaluation:
    """What the test examples tell of each run and task; arrays `(runs, tasks)`.

    `dead_units` is NaN for a model without `hidden`.
    """

    loss: np.ndarray
    prediction_sd: np.ndarray
    dead_units: np.ndarray


def build_model(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a run's model with the initial weights of its init seed; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "init"))
        return build()


class Population:
    """Runs of one cell, trained together.

    Args:
        build: makes one untrained model, features `(batch, d)` to predictions `(batch, tasks)`.
        law: the data law.
        training: how; on the device `cuda`, examples are still drawn on the CPU.
        seeds: one for each run.
        dtype: of weights and data.
        compiled: whether to compile the gradients, which takes some ten seconds.

    Attributes:
        step: updates done.
        losses: training loss of the windows so far `(runs, windows, tasks)`; a step's loss is that of its
            batch before the update.
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
        self._device = device = "cuda" if training.device == "cuda" else "cpu"
        models = [build_model(build, seed.init).to(device=device, dtype=dtype) for seed in seeds]
        self._template = models[0]
        parameters, buffers = stack_module_state(models)
        frozen = {name for name, value in models[0].named_parameters() if not value.requires_grad}
        stacked = {name: value.detach().contiguous() for name, value in {**parameters, **buffers}.items()}
        self._parameters = {name: stacked[name] for name in parameters if name not in frozen}
        self._fixed = {name: value for name, value in stacked.items() if name not in self._parameters}
        self._moments = [
            [torch.zeros_like(value) for value in self._parameters.values()]
            for _ in range(3 if training.optimizer.amsgrad else 2)
        ]
        self._updates = [torch.zeros((), device=device) for _ in self._parameters]
        self._streams = [Stream(law, seed.data, dtype) for seed in seeds]

        runs, batch = len(seeds), training.batch_size
        self._ahead = max(1, _PREFETCH // batch)
        # A run's examples lie together, so that its stream fills them in one go; a step's batches are a strided view.
        self._x = torch.zeros(runs, self._ahead, batch, law.dimension, dtype=dtype)
        self._y = torch.zeros(runs, self._ahead, batch, law.tasks, dtype=dtype)
        self.step = 0
        windows = training.steps // training.window
        self.losses = torch.zeros(runs, windows, law.tasks, dtype=torch.float64, device=device)

        x, y = self._x.to(device), self._y.to(device)
        arguments = [*self._values(), x[:, 0], y[:, 0]]
        traced = trace(self._template, self._names(), len(self._parameters), arguments)
        self._gradients: Gradients = compile_traced(traced, arguments) if compiled else traced

    @property
    def finished(self) -> bool:
        """All steps are done."""
        return self.step == self.training.steps

    @torch.no_grad()
    def advance(self) -> int:
        """Train on the next examples, about a thousand per run; return the steps done."""
        steps = min(self._ahead, self.training.steps - self.step)
        self._draw(steps)
        x, y = self._x.to(self._device), self._y.to(self._device)
        values = self._values()
        for ahead in range(steps):
            *gradients, losses = self._gradients(*values, x[:, ahead], y[:, ahead])
            self._update(gradients)
            self.losses[:, self.step // self.training.window] += losses
            self.step += 1
        return steps

    def _draw(self, steps: int) -> None:
        """Fill the batches of the next steps from the runs' streams."""
        for run, stream in enumerate(self._streams):
            stream.take_into(self._x[run, :steps].flatten(0, 1), self._y[run, :steps].flatten(0, 1))

    def _update(self, gradients: list[Tensor]) -> None:
        """One step of Adam; it works on each weight alone, so on the stack as on a single run."""
        settings = self.training.optimizer
        fused = torch._fused_adamw_ if settings.decoupled_weight_decay else torch._fused_adam_
        for updates in self._updates:
            updates += 1
        fused(
            list(self._parameters.values()),
            gradients,
            self._moments[0],
            self._moments[1],
            self._moments[2] if settings.amsgrad else [],
            self._updates,
            lr=self.training.learning_rate,
            beta1=settings.betas[0],
            beta2=settings.betas[1],
            weight_decay=settings.weight_decay,
            eps=settings.eps,
            amsgrad=settings.amsgrad,
            maximize=False,
        )

    def _names(self) -> list[str]:
        return [*self._parameters, *self._fixed]

    def _values(self) -> list[Tensor]:
        """The stacked parameters, then what stays as it is."""
        return [*self._parameters.values(), *self._fixed.values()]

    def curves(self) -> np.ndarray:
        """Mean training loss of each finished window `(runs, windows, tasks)`."""
        windows = self.step // self.training.window
        return (self.losses[:, :windows] / self.training.window).cpu().numpy()

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """Measure the models as they stand on each run's test examples."""
        self._template.eval()
        hidden = optional_method(self._template, "hidden")
        rows = []
        for run, stream in enumerate(self._streams):
            state = dict(zip(self._names(), (value[run] for value in self._values()), strict=True))
            x, y = (tensor.to(self._device) for tensor in stream.test_set())
            predictions = functional_call(self._template, state, (x,)).double()
            dead = torch.full_like(predictions[0], torch.nan)
            if hidden is not None:
                dead = (hidden.call(state, x) == 0).all(0).double().mean(-1)
            rows.append(torch.stack([(predictions - y).square().mean(0), predictions.std(0), dead]))
        self._template.train()
        loss, prediction_sd, dead_units = torch.stack(rows, 1).cpu().numpy()
        return Evaluation(loss, prediction_sd, dead_units)

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes in training; tensors are not copied."""
        return {
            "step": self.step,
            "parameters": self._parameters,
            "moments": self._moments,
            "updates": self._updates,
            "losses": self.losses,
            "streams": [stream.state_dict() for stream in self._streams],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on, to the bit, from where `state_dict` was called."""
        self.step = state["step"]
        mine = [self.losses, *self._parameters.values(), *self._updates, *(m for kind in self._moments for m in kind)]
        saved = [state["losses"], *state["parameters"].values(), *state["updates"]]
        saved += [moment for kind in state["moments"] for moment in kind]
        for tensor, value in zip(mine, saved, strict=True):
            tensor.copy_(value)
        for stream, position in zip(self._streams, state["streams"], strict=True):
            stream.load_state_dict(position)
