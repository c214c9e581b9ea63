"""The parts that architectures are made of: networks side by side, and the task towers."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmoe_repro.errors import UsageError, nearest


def pairs(inputs: int, widths: Sequence[int]) -> list[tuple[int, int]]:
    """Inputs and outputs of each hidden layer.

    Raises:
        UsageError: there is none, or one without units.
    """
    if not widths or min(widths) < 1:
        raise UsageError(f"hidden layers of widths {list(widths)}: needs at least one, each with a unit or more")
    return list(zip([inputs, *widths], widths, strict=False))


class Linears(nn.Module):
    """`count` linear maps side by side: y_i = W_i x_i + b_i.

    The weight is a stack of matrices `(count, outputs, inputs)`, the bias `(count, outputs)`.
    """

    def __init__(self, count: int, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.count, self.inputs, self.outputs = count, inputs, outputs
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(count, outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map x `(batch, inputs)`, read by all, or `(batch, count, inputs)`, to `(batch, count, outputs)`."""
        if x.ndim == 2:
            # One matrix product for the whole stack.
            y = (x @ self.weight.flatten(0, 1).T).view(-1, self.count, self.outputs)
        else:
            y = torch.einsum("bci,coi->bco", x, self.weight)
        return y if self.bias is None else y + self.bias


#: What the hidden units do; `leaky_relu` has a slope of 0.01 below zero (Maas et al. 2013).
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "leaky_relu": nn.functional.leaky_relu}


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """What hidden units do.

    Raises:
        UsageError: there is no such activation.
    """
    if name not in ACTIVATIONS:
        raise UsageError(f"model.activation={name}: {nearest(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]


class Networks(nn.Module):
    """`count` feed-forward networks side by side, with hidden layers of the given widths."""

    def __init__(self, count: int, inputs: int, widths: Sequence[int], bias: bool, activation: str) -> None:
        super().__init__()
        self.activate = activation_function(activation)
        if count < 1:
            raise UsageError(f"{count} networks of widths {list(widths)}: needs at least one")
        self.layers = nn.ModuleList(Linears(count, *pair, bias) for pair in pairs(inputs, widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map x `(batch, inputs)`, read by all, or `(batch, count, inputs)`, to `(batch, count, widths[-1])`."""
        for layer in self.layers:
            x = self.activate(layer(x))
        return x


def mixture(gates: Tensor, experts: Tensor) -> Tensor:
    """Σ_i g_i f_i for each gate.

    Args:
        gates: weights `(batch, gates, experts)`.
        experts: outputs `(batch, experts, units)`, or of each gate's own experts `(batch, gates, experts, units)`.

    Returns:
        `(batch, gates, units)`.
    """
    if experts.ndim == 3:
        experts = experts.unsqueeze(-3)
    return (gates.unsqueeze(-1) * experts).sum(-2)


def apart(gates: Tensor) -> Tensor:
    """Weights over the tasks' own experts `(batch, tasks, own)`, as weights over all `(batch, tasks, tasks · own)`."""
    mine = torch.eye(gates.shape[-2], dtype=gates.dtype, device=gates.device)
    return torch.einsum("bki,kl->bkli", gates, mine).flatten(-2)


class Towers(nn.Module):
    """One small network per task: hidden layers, then one linear output."""

    def __init__(self, tasks: int, inputs: int, widths: Sequence[int], bias: bool, activation: str) -> None:
        super().__init__()
        self.hidden = Networks(tasks, inputs, widths, bias, activation)
        self.output = Linears(tasks, widths[-1], 1, bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map the hidden units `(batch, tasks, units)` to predictions `(batch, tasks)`."""
        return self.output(hidden).squeeze(-1)


class Extraction(nn.Module):
    """A level of CGC and PLE (Tang et al. 2020): experts of each task, shared ones, and a gate per task over both.

    The experts of the tasks come first, task by task, then the shared ones.
    """

    def __init__(
        self,
        tasks: int,
        inputs: int,
        own: int,
        shared: int,
        widths: Sequence[int],
        bias: bool,
        activation: str,
    ) -> None:
        super().__init__()
        self.own_count, self.shared_count = own, shared
        self.own = Networks(tasks * own, inputs, widths, bias, activation)
        self.shared = Networks(shared, inputs, widths, bias, activation)
        self.gate = Linears(tasks, inputs, own + shared, bias=False)

    def gates(self, of_tasks: Tensor) -> Tensor:
        """Gate weights over all experts `(batch, tasks, tasks · own + shared)`, 0 for those of other tasks."""
        own, shared = self.gate(of_tasks).softmax(-1).split([self.own_count, self.shared_count], -1)
        return torch.cat([apart(own), shared], -1)

    def forward(self, of_tasks: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Each task's mixture `(batch, tasks, units)`, and the experts `(batch, tasks · own + shared, units)`.

        Args:
            of_tasks: what the tasks' experts and gates read, `(batch, inputs)` for all or `(batch, tasks, inputs)`.
            shared: what the shared experts read, `(batch, inputs)`.
        """
        of_own = of_tasks if of_tasks.ndim == 2 else of_tasks.repeat_interleave(self.own_count, -2)
        experts = torch.cat([self.own(of_own), self.shared(shared)], -2)
        return mixture(self.gates(of_tasks), experts), experts
