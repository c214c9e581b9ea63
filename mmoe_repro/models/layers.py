"""The parts that architectures are made of: networks side by side, and the task towers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmoe_repro.errors import UsageError


class Linears(nn.Module):
    """`count` linear maps side by side: y_i = W_i x_i + b_i.

    The weight is a stack of matrices `(count, outputs, inputs)`, the bias `(count, outputs)`.
    """

    def __init__(self, count: int, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.count, self.outputs = count, outputs
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


class Networks(nn.Module):
    """`count` feed-forward ReLU networks side by side, with hidden layers of the given widths."""

    def __init__(self, count: int, inputs: int, widths: Sequence[int], bias: bool = True) -> None:
        super().__init__()
        if count < 1 or not widths or min(widths) < 1:
            raise UsageError(f"{count} networks of widths {list(widths)}: needs at least one, each with a hidden layer")
        sizes = [inputs, *widths]
        self.layers = nn.ModuleList(
            Linears(count, before, after, bias) for before, after in zip(sizes, widths, strict=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x `(batch, inputs)`, read by all, or `(batch, count, inputs)`, to `(batch, count, widths[-1])`."""
        for layer in self.layers:
            x = layer(x).relu()
        return x


class Towers(nn.Module):
    """One small network per task: hidden ReLU layers, then one linear output."""

    def __init__(self, tasks: int, inputs: int, widths: Sequence[int], bias: bool = True) -> None:
        super().__init__()
        self.hidden = Networks(tasks, inputs, widths, bias)
        self.output = Linears(tasks, widths[-1], 1, bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map the hidden units `(batch, tasks, units)` to predictions `(batch, tasks)`."""
        return self.output(hidden).squeeze(-1)
