"""Small models of every common kind, as users write them: those that train as they are, and those that cannot.

`TRAINED` have to give the losses of an ordinary loop; `REFUSED` have to be refused with this reason before training.
"""

import itertools
import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils import parametrizations

FEATURES, TASKS, WIDTH = 6, 2, 4


class Body(nn.Module):
    """Features through a layer of some kind to the tasks."""

    def __init__(self, middle=None, width=WIDTH):
        super().__init__()
        self.first = nn.Linear(FEATURES, WIDTH)
        self.middle = middle
        self.last = nn.Linear(width, TASKS)

    def forward(self, x):
        return self.last(self.layer(self.first(x)))

    def layer(self, h):
        return self.middle(h)


def around(make, width=WIDTH, name=None):
    """A model around a layer."""
    return type(name or "Around", (Body,), {"__init__": lambda self: Body.__init__(self, make(), width)})


def with_layer(layer, **parts):
    """A model whose layer is a function of the model and of `(batch, width)`, with further parts."""

    def init(self):
        Body.__init__(self, nn.Identity())
        for name, make in parts.items():
            setattr(self, name, make())

    return type("WithLayer", (Body,), {"__init__": init, "layer": layer})


# -- sequences: four features as a sequence of four steps, or as an image -----------------------------


def steps(h):
    return h[:, :, None]


class Tied(Body):
    def __init__(self):
        super().__init__(nn.Linear(WIDTH, WIDTH))
        self.again = nn.Linear(WIDTH, WIDTH)
        self.again.weight = self.middle.weight

    def layer(self, h):
        return self.again(self.middle(h).relu())


class Shared(Body):
    def __init__(self):
        super().__init__(nn.Linear(WIDTH, WIDTH))
        self.alias = self.middle

    def layer(self, h):
        return self.alias(self.middle(h).relu())


class CellLoop(Body):
    """A recurrence written out."""

    kind = nn.GRUCell

    def __init__(self):
        super().__init__(self.kind(1, WIDTH))

    def layer(self, h):
        state = None
        for step in h.unbind(1):
            state = self.middle(step[:, None], state)
        return state[0] if isinstance(state, tuple) else state


class LSTMLoop(CellLoop):
    kind = nn.LSTMCell


class RNNLoop(CellLoop):
    kind = nn.RNNCell


class SelfAttention(Body):
    """Written out."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def layer(self, h):
        q, k, v = self.qkv(self.embed(steps(h))).chunk(3, -1)
        return ((q @ k.mT / WIDTH**0.5).softmax(-1) @ v).mean(1)


class ScaledAttention(SelfAttention):
    def layer(self, h):
        q, k, v = self.qkv(self.embed(steps(h))).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v).mean(1)


class RMSNormByHand(Body):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(WIDTH))

    def layer(self, h):
        return self.gain * h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6)


class BatchNormByHand(Body):
    def layer(self, h):
        return (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()


class Einsum(Body):
    def __init__(self):
        super().__init__()
        self.experts = nn.Parameter(torch.randn(3, WIDTH, WIDTH) / 2)
        self.gate = nn.Linear(WIDTH, 3)

    def layer(self, h):
        return torch.einsum("be,bi,eij->bj", self.gate(h).softmax(-1), h, self.experts)


class Buffers(Body):
    """A random mask of each run's own, kept as it should be."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", (torch.rand(WIDTH) > 0.5).float())
        self.register_buffer("shift", torch.randn(WIDTH), persistent=False)

    def layer(self, h):
        return h * self.mask + self.shift


class TopK(Body):
    def layer(self, h):
        kept, where = h.topk(2, -1)
        return torch.zeros_like(h).scatter(-1, where, kept.softmax(-1))


class Frozen(Body):
    def __init__(self):
        super().__init__(nn.Linear(WIDTH, WIDTH))
        self.middle.requires_grad_(False)


class FrozenBatchNorm(Body):
    def __init__(self):
        super().__init__(nn.BatchNorm1d(WIDTH))
        self.middle.eval()


class Noisy(Body):
    """Noise as a population takes it."""

    def __init__(self):
        super().__init__(nn.Identity())

    def noise_shape(self, batch):
        return batch, WIDTH

    def forward(self, x, noise=None):
        h = self.first(x)
        return self.last(h if noise is None else h + 0.1 * noise)


class Penalised(Body):
    """A penalty that `forward` leaves for `penalty` to take, as mixtures of experts do."""

    def layer(self, h):
        self.left = h.square().mean()
        return h

    def penalty(self, x):
        return 0.1 * self.left


class StoresOnly(Body):
    """Counts its calls and keeps what it saw, and looks at neither."""

    def __init__(self):
        super().__init__()
        self.calls, self.seen, self.means = 0, None, []

    def layer(self, h):
        self.calls += 1
        self.seen = h.detach()
        self.means.append(h.detach().mean())
        return h


class Methods(Body):
    """All that a model may offer."""

    def layer(self, h):
        return h.relu()

    def hidden(self, x):
        return self.layer(self.first(x))[:, None].expand(-1, TASKS, -1)

    def gates(self, x):
        return self.first(x).softmax(-1)[:, None].expand(-1, TASKS, -1)


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return 2 * x

    @staticmethod
    def setup_context(context, inputs, output):
        pass

    @staticmethod
    def backward(context, gradient):
        return 2 * gradient

    generate_vmap_rule = True


class Clipped(Body):
    """Changes a tensor of its own making in place."""

    def layer(self, h):
        h = h.clone()
        h.clamp_(min=0)
        h[:, 0] = h[:, 1] * 2
        return h


class Drawn(Body):
    """Weights from NumPy and Python."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.from_numpy(np.random.rand(WIDTH)).float())
        self.shift = nn.Parameter(torch.tensor([random.random() for _ in range(WIDTH)]))

    def layer(self, h):
        return h * self.scale + self.shift


def attention(model, h):
    sequence = model.embed(steps(h))
    return model.attend(sequence, sequence, sequence, need_weights=False)[0].mean(1)


def bilinear(model, h):
    return model.pair(h, h)


TRAINED = {
    "Linear": around(lambda: nn.Linear(WIDTH, WIDTH)),
    "Bilinear": with_layer(bilinear, pair=lambda: nn.Bilinear(WIDTH, WIDTH, WIDTH)),
    "ReLU": around(nn.ReLU),
    "GELU, SiLU, ELU, Softplus": around(lambda: nn.Sequential(nn.GELU(), nn.SiLU(), nn.ELU(), nn.Softplus())),
    "PReLU": around(lambda: nn.PReLU(WIDTH)),
    "LeakyReLU, Hardswish, Mish": around(lambda: nn.Sequential(nn.LeakyReLU(), nn.Hardswish(), nn.Mish())),
    "Tanh, Sigmoid, LogSoftmax": around(lambda: nn.Sequential(nn.Tanh(), nn.Sigmoid(), nn.LogSoftmax(-1))),
    "GLU": around(lambda: nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GLU())),
    "LayerNorm": around(lambda: nn.LayerNorm(WIDTH)),
    "RMSNorm": around(lambda: nn.RMSNorm(WIDTH)),
    "GroupNorm": around(lambda: nn.GroupNorm(2, WIDTH)),
    "GroupNorm of the features": type(
        "Normed",
        (Body,),
        {
            "__init__": lambda self: Body.__init__(self, nn.GroupNorm(1, FEATURES)),
            "forward": lambda self, x: self.last(self.first(self.middle(x))),
        },
    ),
    "InstanceNorm1d": with_layer(lambda m, h: m.norm(h[:, None])[:, 0], norm=lambda: nn.InstanceNorm1d(1, affine=True)),
    "BatchNorm1d without running statistics": around(lambda: nn.BatchNorm1d(WIDTH, track_running_stats=False)),
    "BatchNorm1d, frozen": FrozenBatchNorm,
    "RMSNorm by hand": RMSNormByHand,
    "batch norm by hand": BatchNormByHand,
    "LocalResponseNorm": with_layer(lambda m, h: m.norm(h[:, :, None])[:, :, 0], norm=lambda: nn.LocalResponseNorm(2)),
    "Conv1d": with_layer(lambda m, h: m.c(h[:, None])[:, 0], c=lambda: nn.Conv1d(1, 1, 3, padding=1)),
    "Conv2d": with_layer(lambda m, h: m.c(h.view(-1, 1, 2, 2)).flatten(1), c=lambda: nn.Conv2d(1, 1, 3, padding=1)),
    "ConvTranspose1d": with_layer(lambda m, h: m.c(h[:, None])[:, 0], c=lambda: nn.ConvTranspose1d(1, 1, 3, padding=1)),
    "pooling": with_layer(
        lambda m, h: F.interpolate(F.max_pool1d(h[:, None], 2) + F.avg_pool1d(h[:, None], 2), size=WIDTH)[:, 0]
    ),
    "Embedding": with_layer(
        lambda m, h: h + m.table(torch.arange(WIDTH, device=h.device)).sum(-1), table=lambda: nn.Embedding(WIDTH, 3)
    ),
    "Embedding of the features": with_layer(
        lambda m, h: h + m.table((h.detach() > 0).long()).sum(1), table=lambda: nn.Embedding(2, WIDTH)
    ),
    "Dropout of none": around(lambda: nn.Dropout(0.0)),
    "GRUCell": CellLoop,
    "LSTMCell": LSTMLoop,
    "RNNCell": RNNLoop,
    "GRU": with_layer(lambda m, h: m.r(steps(h))[0][:, -1], r=lambda: nn.GRU(1, 4, batch_first=True)),
    "RNN": with_layer(lambda m, h: m.r(steps(h))[0][:, -1], r=lambda: nn.RNN(1, 4, batch_first=True)),
    "MultiheadAttention": with_layer(
        attention,
        embed=lambda: nn.Linear(1, WIDTH),
        attend=lambda: nn.MultiheadAttention(WIDTH, 2, batch_first=True),
    ),
    "self-attention by hand": SelfAttention,
    "scaled_dot_product_attention": ScaledAttention,
    "TransformerEncoderLayer without dropout": with_layer(
        lambda m, h: m.encode(m.embed(steps(h))).mean(1),
        embed=lambda: nn.Linear(1, WIDTH),
        encode=lambda: nn.TransformerEncoderLayer(WIDTH, 2, 8, dropout=0.0, batch_first=True),
    ),
    "ModuleList": with_layer(
        lambda m, h: sum(one(h) for one in m.several), several=lambda: nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    ),
    "ModuleDict": with_layer(
        lambda m, h: sum(m.named[key](h) for key in sorted(m.named)),
        named=lambda: nn.ModuleDict({key: nn.Linear(4, 4) for key in "ab"}),
    ),
    "ParameterList": with_layer(
        lambda m, h: h @ m.several[0] @ m.several[1],
        several=lambda: nn.ParameterList(nn.Parameter(torch.randn(4, 4)) for _ in range(2)),
    ),
    "ParameterDict": with_layer(
        lambda m, h: h @ m.named["a"], named=lambda: nn.ParameterDict({"a": nn.Parameter(torch.randn(4, 4))})
    ),
    "einsum over experts": Einsum,
    "tied weights": Tied,
    "a layer used twice": Shared,
    "weight_norm": around(lambda: parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))),
    "orthogonal": around(lambda: parametrizations.orthogonal(nn.Linear(WIDTH, WIDTH), orthogonal_map="cayley")),
    "buffers of each run's own": Buffers,
    "the largest two": TopK,
    "a frozen layer": Frozen,
    "noise as an argument": Noisy,
    "a penalty that forward leaves": Penalised,
    "stored and never looked at": StoresOnly,
    "hidden and gates": Methods,
    "a gradient of one's own": with_layer(lambda m, h: Doubling.apply(h)),
    "in place on a tensor of its own": Clipped,
    "weights from NumPy and Python": Drawn,
    "cumsum, sort, where": with_layer(lambda m, h: torch.where(h > 0, h.cumsum(-1), h.sort(-1).values)),
    "matrix functions": with_layer(lambda m, h: h @ torch.linalg.matrix_exp(m.w), w=lambda: nn.Parameter(torch.eye(4))),
    "Unflatten and Flatten": around(lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Flatten())),
    "ChannelShuffle": with_layer(lambda m, h: m.c(h[:, :, None])[:, :, 0], c=lambda: nn.ChannelShuffle(2)),
    "CosineSimilarity": with_layer(
        lambda m, h: h * F.cosine_similarity(h, m.w[None], dim=-1)[:, None], w=lambda: nn.Parameter(torch.ones(4))
    ),
}


# -- those that cannot ---------------------------------------------------------------------------------


class OwnScale(Body):
    def __init__(self):
        super().__init__()
        self.scale = float(torch.rand(())) + 0.5

    def layer(self, h):
        return h * self.scale


class SeldomScaled(OwnScale):
    """Of another scale in one run in ten or so."""

    def __init__(self):
        super().__init__()
        self.scale = 2.0 if self.scale > 1.4 else 1.0


class OwnMask(Body):
    def __init__(self):
        super().__init__()
        self.kept = [random.random() > 0.5 for _ in range(WIDTH)]

    def layer(self, h):
        return torch.stack([one if keep else -one for one, keep in zip(h.unbind(-1), self.kept, strict=True)], -1)


class OwnPermutation(Body):
    def __init__(self):
        super().__init__()
        self.order = np.random.permutation(WIDTH)

    def layer(self, h):
        return h[:, torch.from_numpy(self.order)]


class PlainList(Body):
    def __init__(self):
        super().__init__()
        self.several = [nn.Linear(WIDTH, WIDTH)]

    def layer(self, h):
        return self.several[0](h)


class Closure(Body):
    def __init__(self):
        super().__init__()
        factor = float(torch.rand(()))
        self.scaled = lambda h: h * factor

    def layer(self, h):
        return self.scaled(h)


class OwnDepth(Body):
    def __init__(self):
        super().__init__()
        for number in range(1 + int(torch.rand(()) * 100) % 3):
            self.add_module(f"layer{number}", nn.Linear(WIDTH, WIDTH))

    def layer(self, h):
        for name, part in self.named_children():
            h = part(h) if name.startswith("layer") else h
        return h


class OwnWidth(Body):
    def __init__(self):
        super().__init__()
        width = 2 + int(torch.rand(()) * 1000) % 7
        self.middle = nn.Sequential(nn.Linear(WIDTH, width), nn.Linear(width, WIDTH))


class PlainTensor(Body):
    def __init__(self):
        super().__init__()
        self.mask = torch.rand(WIDTH)

    def layer(self, h):
        return h * self.mask


class Annealed(Body):
    scale = 100.0

    def layer(self, h):
        if self.training:
            self.scale *= 0.5
        return h + self.scale


class FromACertainStep(Body):
    def __init__(self):
        super().__init__()
        self.step = 0

    def layer(self, h):
        self.step += 1
        return h if self.step < 1000 else h.detach()


@dataclass
class Schedule:
    temperature: float = 1.0


class AnnealedDeeply(Body):
    def __init__(self):
        super().__init__()
        self.schedule = {"softmax": [Schedule()]}

    def layer(self, h):
        schedule = self.schedule["softmax"][0]
        schedule.temperature *= 0.9
        return (h / schedule.temperature).softmax(-1)


class Carried(Body):
    def __init__(self):
        super().__init__(nn.GRUCell(WIDTH, WIDTH))
        self.state = None

    def layer(self, h):
        self.state = self.middle(h, None if self.state is None else self.state.detach())
        return self.state


class History(Body):
    def __init__(self):
        super().__init__()
        self.history = deque(maxlen=4)

    def layer(self, h):
        self.history.append(h.detach().mean())
        return h - sum(self.history) / len(self.history)


class Iterated(Body):
    def __init__(self):
        super().__init__()
        self.steps = itertools.count()

    def layer(self, h):
        return h / (1 + next(self.steps))


class OfTheClass(Body):
    calls = 0

    def layer(self, h):
        type(self).calls += 1
        return h if type(self).calls < 10_000 else -h


_CALLS = {"forward": 0}


class OfThePythonModule(Body):
    def layer(self, h):
        _CALLS["forward"] += 1
        return h if _CALLS["forward"] < 10_000 else -h


class InADefault(Body):
    def layer(self, h, kept=[]):  # noqa: B006
        kept.append(1)
        return h if len(kept) < 10_000 else -h


class CountingBuffer(Body):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def layer(self, h):
        self.count += 1
        return h / self.count


class ClampedWeights(Body):
    def layer(self, h):
        with torch.no_grad():
            self.first.weight.clamp_(-0.1, 0.1)
        return h


class SeenInEvaluation(Body):
    """`hidden` gives what the last call of `forward` left."""

    def layer(self, h):
        self.seen = h
        return h

    def hidden(self, x):
        return self.seen[: len(x), None].expand(-1, TASKS, -1)


class FrozenNumber(Body):
    """A number that would be drawn once, when the step is traced."""

    def layer(self, h):
        return h + random.random()


class FrozenArray(Body):
    def layer(self, h):
        return h + torch.from_numpy(np.random.randn(WIDTH)).to(h)


class UnseededGenerator(Body):
    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.from_numpy(np.random.default_rng().normal(size=WIDTH)).float())

    def layer(self, h):
        return h + self.shift


class ByValue(Body):
    def layer(self, h):
        return h if h.mean() > 0 else -h


class ByMask(Body):
    def layer(self, h):
        return h * h[h > 0].mean()


class Loop(Body):
    def layer(self, h):
        while h.abs().max() > 1:
            h = h / 2
        return h


class Item(Body):
    def layer(self, h):
        return h * h.mean().item()


class Numpy(Body):
    def layer(self, h):
        return h + torch.from_numpy(h.detach().numpy().mean(0))


class Straight(torch.autograd.Function):
    """Without a rule for stacking."""

    @staticmethod
    def forward(context, x):
        return x.sign()

    @staticmethod
    def backward(context, gradient):
        return gradient


class Unused(Body):
    def __init__(self):
        super().__init__(nn.Identity())
        self.unused = nn.Linear(WIDTH, WIDTH)


class GradientHook(Body):
    """A hook that an ordinary loop obeys."""

    def __init__(self):
        super().__init__(nn.Identity())
        self.first.weight.register_hook(lambda gradient: -gradient)


class Normalised(Body):
    """Right for any batch but one of a single example."""

    def __init__(self):
        super().__init__(nn.BatchNorm1d(WIDTH, track_running_stats=False))


_RANDOM = r"it draws random numbers; take them as forward\(x, noise\)"
_CARRIED = "changes in forward, and decides what the next call gives"
_EACH_RUN = "is not the same in every run"

REFUSED = {
    "BatchNorm1d": (around(lambda: nn.BatchNorm1d(WIDTH)), r"middle\.\w+ changes in forward.*track_running_stats"),
    "spectral_norm": (
        around(lambda: parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH))),
        r"changes in forward, which a population cannot stack",
    ),
    "weight_norm, old": (
        around(lambda: nn.utils.weight_norm(nn.Linear(WIDTH, WIDTH))),
        r"Linear\.weight is a plain tensor",
    ),
    "Dropout": (around(nn.Dropout), _RANDOM),
    "AlphaDropout": (around(nn.AlphaDropout), _RANDOM),
    "RReLU": (around(nn.RReLU), _RANDOM),
    "randn_like": (with_layer(lambda m, h: h + torch.randn_like(h)), _RANDOM),
    "gumbel_softmax": (with_layer(lambda m, h: F.gumbel_softmax(h)), _RANDOM),
    "Dropout in a transformer": (
        with_layer(
            lambda m, h: m.encode(m.embed(steps(h))).mean(1),
            embed=lambda: nn.Linear(1, WIDTH),
            encode=lambda: nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True),
        ),
        _RANDOM,
    ),
    "Python's random numbers in forward": (FrozenNumber, _RANDOM),
    "NumPy's random numbers in forward": (FrozenArray, _RANDOM),
    "a generator without a seed": (UnseededGenerator, "shift is another each time the model is made"),
    "LSTM": (
        with_layer(lambda m, h: m.r(steps(h))[0][:, -1], r=lambda: nn.LSTM(1, 4, batch_first=True)),
        r"write its steps with nn\.LSTMCell",
    ),
    "LazyLinear": (around(lambda: nn.LazyLinear(WIDTH)), r"middle\.weight has no shape before the first example"),
    "a number of each run's own": (OwnScale, rf"OwnScale\.scale {_EACH_RUN}"),
    "a list of each run's own": (OwnMask, rf"OwnMask\.kept {_EACH_RUN}"),
    "an array of each run's own": (OwnPermutation, rf"OwnPermutation\.order {_EACH_RUN}"),
    "layers in a plain list": (PlainList, rf"PlainList\.several {_EACH_RUN}.*nn\.ModuleList"),
    "a closure of each run's own": (Closure, rf"Closure\.scaled {_EACH_RUN}"),
    "a depth of each run's own": (OwnDepth, r"layer\d\.\w+ is .* in one run and .* in another"),
    "a width of each run's own": (OwnWidth, r"middle\.\d\.\w+ is .* in one run and .* in another"),
    "a plain tensor": (PlainTensor, r"PlainTensor\.mask is a plain tensor; make it a buffer or a parameter"),
    "annealing": (Annealed, rf"Annealed\.scale {_CARRIED}"),
    "a count of steps": (FromACertainStep, rf"FromACertainStep\.step {_CARRIED}"),
    "annealing deep down": (AnnealedDeeply, rf"AnnealedDeeply\.schedule {_CARRIED}"),
    "a carried state": (Carried, rf"Carried\.state {_CARRIED}"),
    "a history": (History, rf"History\.history {_CARRIED}"),
    "an iterator": (Iterated, rf"Iterated\.steps {_CARRIED}"),
    "a count of the class": (OfTheClass, rf"OfTheClass\.calls {_CARRIED}"),
    "a count of the Python module": (OfThePythonModule, rf"zoo\._CALLS {_CARRIED}"),
    "a count in a default": (InADefault, rf"InADefault\.layer {_CARRIED}"),
    "a buffer that counts": (CountingBuffer, "count changes in forward"),
    "weights clamped in forward": (ClampedWeights, r"first\.weight changes in forward"),
    "hidden of the last call": (SeenInEvaluation, "no attribute 'seen'"),
    "an if on a tensor": (ByValue, r"use torch\.where"),
    "a boolean mask": (ByMask, r"use torch\.where"),
    "while": (Loop, r"use torch\.where"),
    "item": (Item, r"use torch\.where"),
    "NumPy in forward": (Numpy, "cannot be trained as a population"),
    "a gradient without a rule": (with_layer(lambda m, h: Straight.apply(h)), "cannot be trained as a population"),
    "an unused layer": (Unused, r"unused\.weight gets no gradient"),
    "a hook on a gradient": (GradientHook, "trained as a population its loss is"),
}
