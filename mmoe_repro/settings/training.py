"""How a run is trained: the `training` group."""

from dataclasses import dataclass


@dataclass
class Adam:
    """Settings of the optimiser (Kingma and Ba 2015), named as in `torch.optim.Adam`."""

    betas: list[float]
    eps: float
    weight_decay: float
    decoupled_weight_decay: bool
    amsgrad: bool


@dataclass
class Training:
    """How a run is trained; the `training` group.

    Attributes:
        steps: optimiser updates.
        batch_size: examples per step.
        learning_rate: of Adam.
        window: the training loss is kept as its mean over this many steps; divides `steps`.
        warmup: the learning rate rises evenly over this many steps at first; 0 for none.
        device: `cpu`, `cuda`, or `auto` for cuda where there is one. Each has its own generator of examples.
        optimizer: the rest of Adam's settings.
    """

    steps: int
    batch_size: int
    learning_rate: float
    window: int
    warmup: int
    device: str
    optimizer: Adam
