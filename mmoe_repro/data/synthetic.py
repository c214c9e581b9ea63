"""The paper's data law (section 3.2), for any number of tasks, with its closed-form moments.

    z_k = w_kᵀx,   y_k = z_k + Σ_i sin(α_i z_k + β_i) + ε_k,   x ~ N(0, I),   ε_k ~ N(0, noise variance)

The weight vectors w_k have length c and pairwise cosine p, the *task correlation*. So the z_k are
jointly Gaussian with variance c² and correlation p, which makes every moment below a closed form.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mmoe_repro.errors import UsageError


def task_directions(tasks: int, correlation: float) -> np.ndarray:
    """Coordinates `(tasks, tasks)` of unit vectors with pairwise cosine `correlation`.

    It is the Cholesky factor of their Gram matrix, so two tasks get the paper's (1, 0) and
    (p, sqrt(1 − p²)). It is exact at both ends, where the Gram matrix is singular.

    >>> task_directions(tasks=2, correlation=0.6).tolist()
    [[1.0, 0.0], [0.6, 0.8]]
    """
    directions = np.zeros((tasks, tasks))
    for k in range(tasks):
        for j in range(k):
            along = directions[j, j]
            shared = directions[k, :j] @ directions[j, :j]
            directions[k, j] = (correlation - shared) / along if along > 0 else 0.0
        directions[k, k] = math.sqrt(max(0.0, 1 - directions[k] @ directions[k]))
    return directions


def mean(c: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """E[y], from E[sin(αz + β)] = exp(−α²c²/2) sin β; differentiable.

    Args:
        c: length of the weight vectors, a scalar.
        alpha: frequencies of the sines `(m,)`.
        beta: their phases `(m,)`.

    >>> half_turn = torch.tensor([math.pi / 2], dtype=torch.float64)
    >>> round(mean(torch.tensor(2.0), torch.tensor([1.0]), half_turn).item(), 6)  # e⁻²
    0.135335
    """
    return ((-0.5 * (alpha * c).square()).exp() * beta.sin()).sum()


def covariance(c: Tensor, alpha: Tensor, beta: Tensor, correlation: Tensor) -> Tensor:
    """Covariance of two noiseless labels whose z have these correlations; at 1, their variance; differentiable.

    Stein's lemma gives E[z sin(αz' + β)] = p α c² exp(−α²c²/2) cos β. The product of two sines is half the
    difference of two cosines of Gaussians, whose means are closed forms too.

    Args:
        c: length of the weight vectors, a scalar.
        alpha: frequencies of the sines `(m,)`.
        beta: their phases `(m,)`.
        correlation: of z, of any shape, which is the result's too.

    >>> c, none = torch.tensor(2.0), torch.tensor([])
    >>> covariance(c, none, none, torch.tensor([0.5, 1.0])).tolist()  # without sines p c²
    [2.0, 4.0]
    """
    squared = c.square()
    linear_by_sine = squared * (alpha * (-0.5 * alpha.square() * squared).exp() * beta.cos()).sum()
    p = correlation[..., None, None]
    a, a_ = alpha[:, None], alpha[None, :]
    b, b_ = beta[:, None], beta[None, :]
    difference = (-0.5 * squared * (a.square() + a_.square() - 2 * p * a * a_)).exp() * (b - b_).cos()
    total = (-0.5 * squared * (a.square() + a_.square() + 2 * p * a * a_)).exp() * (b + b_).cos()
    sine_by_sine = 0.5 * (difference - total).sum((-2, -1))
    return correlation * (squared + 2 * linear_by_sine) + sine_by_sine - mean(c, alpha, beta).square()


@dataclass(frozen=True)
class SyntheticLaw:
    """The joint law of features x and the labels of all tasks.

    Attributes:
        dimension: number of features d.
        c: length of every weight vector, the standard deviation of w_kᵀx.
        alpha: frequencies of the sines; none makes the tasks linear.
        beta: phases of the sines, as many as `alpha`.
        noise_variance: variance of ε, in raw label units.
        label_variance: labels are standardised to mean 0 and this variance, noise included; None leaves them raw.
        correlation: task correlation p, the cosine of any two tasks' weight vectors.
        examples: size of a finite training set; None draws fresh examples at every step.
        tasks: number of tasks K.

    Raises:
        UsageError: a value is out of range; the message says which and what is allowed.

    >>> linear = SyntheticLaw(
    ...     dimension=100, c=1.0, alpha=[], beta=[], noise_variance=0.25, label_variance=None, correlation=0.5,
    ...     examples=None, tasks=2,
    ... )
    >>> linear.variance, linear.noise_floor, linear.label_pearson  # Var[wᵀx] + Var[ε]; Var[ε]; 0.5 / 1.25
    (1.25, 0.25, 0.4)
    >>> linear.weights(torch.Generator().manual_seed(0)).shape
    torch.Size([2, 100])
    """

    dimension: int
    c: float
    alpha: Sequence[float]
    beta: Sequence[float]
    noise_variance: float
    label_variance: float | None
    correlation: float
    examples: int | None
    tasks: int

    def __post_init__(self) -> None:
        lowest = -1 / (self.tasks - 1) if self.tasks >= 2 else math.nan
        checks = [
            ("tasks", self.tasks >= 2, "at least 2"),
            ("dimension", self.dimension >= self.tasks, f"at least the number of tasks, {self.tasks}"),
            ("c", 0 < self.c < math.inf, "a positive number"),
            ("alpha", all(map(math.isfinite, self.alpha)), "finite numbers"),
            ("beta", all(map(math.isfinite, self.beta)), "finite numbers"),
            ("noise_variance", 0 <= self.noise_variance < math.inf, "zero or a positive number"),
            (
                "label_variance",
                self.label_variance is None or 0 < self.label_variance < math.inf,
                "a positive number, or null for raw labels",
            ),
            ("correlation", lowest <= self.correlation <= 1, f"in [{lowest:g}, 1] for {self.tasks} tasks"),
            (
                "examples",
                self.examples is None or self.examples >= 1,
                "at least 1, or null for fresh examples",
            ),
        ]
        for name, holds, allowed in checks:
            if not holds:
                raise UsageError(f"data.{name}={getattr(self, name)}: must be {allowed}")
        if len(self.alpha) != len(self.beta):
            raise UsageError(
                f"data.alpha has {len(self.alpha)} values and data.beta {len(self.beta)}: must be of the same length"
            )

    # -- closed forms, of the raw labels unless said otherwise -----------------------------------

    @property
    def _shape(self) -> tuple[Tensor, Tensor, Tensor]:
        values = (self.c, list(self.alpha), list(self.beta))
        c, alpha, beta = (torch.tensor(value, dtype=torch.float64) for value in values)
        return c, alpha, beta

    @cached_property
    def raw_mean(self) -> float:
        """E[y]."""
        return float(mean(*self._shape))

    def raw_covariance(self, correlation: float) -> float:
        """Covariance of two noiseless labels whose z have this correlation; at 1, their variance."""
        return float(covariance(*self._shape, torch.tensor(correlation, dtype=torch.float64)))

    @cached_property
    def raw_variance(self) -> float:
        """Var[y], noise included."""
        return self.raw_covariance(1.0) + self.noise_variance

    @property
    def label_pearson(self) -> float:
        """Pearson correlation of two tasks' labels; their scale does not matter."""
        return self.raw_covariance(self.correlation) / self.raw_variance

    def label_pearson_spread(self, examples: int) -> float:
        """Standard deviation of the labels' Pearson correlation over samples of `examples` each.

        To first order in 1/n it is that of the influence function y₁y₂ − r(y₁² + y₂²)/2 of standardised labels, over
        √n. Its moments are integrals over two Gaussians, by the trapezoidal rule; those of the noise are closed forms.
        """
        grid = torch.arange(-7, 7, 0.035, dtype=torch.float64) * self.c
        along, across = torch.meshgrid(grid, grid, indexing="ij")
        density = (-(along.square() + across.square()) / (2 * self.c**2)).exp()
        density /= density.sum()
        sd, p = math.sqrt(self.raw_variance), self.correlation
        noise = self.noise_variance / self.raw_variance
        a = (self.noiseless(along) - self.raw_mean) / sd
        b = (self.noiseless(p * along + math.sqrt(1 - p**2) * across) - self.raw_mean) / sd
        r = (density * a * b).sum()
        squares = (density * (a.square() + noise) * (b.square() + noise)).sum()
        fourth = (density * (a**4 + 6 * noise * a.square())).sum() + 3 * noise**2
        cubes = (density * a * b * (a.square() + b.square() + 6 * noise)).sum()
        return math.sqrt(float(squares - r * cubes + r.square() / 2 * (fourth + squares)) / examples)

    @property
    def _scale(self) -> float:
        return 1.0 if self.label_variance is None else math.sqrt(self.label_variance / self.raw_variance)

    @property
    def mean(self) -> float:
        """Mean of a label as the models see it."""
        return self.raw_mean if self.label_variance is None else 0.0

    @property
    def variance(self) -> float:
        """Variance of a label as the models see it, noise included."""
        return self.raw_variance if self.label_variance is None else self.label_variance

    @property
    def noise_floor(self) -> float:
        """Variance of ε in a label as the models see it: the lowest loss there can be."""
        return self.noise_variance * self._scale**2

    # -- sampling --------------------------------------------------------------------------------

    def weights(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw the tasks' weight vectors `(tasks, dimension)`.

        The orthonormal u_k come from the generator alone, so that the same generator gives the same u_k at every p.
        """
        gaussian = torch.empty(self.dimension, self.tasks, dtype=torch.float64).normal_(generator=generator)
        u, r = torch.linalg.qr(gaussian)
        u = u * r.diagonal().sign()  # so that u is uniform over orthonormal frames
        directions = torch.from_numpy(task_directions(self.tasks, self.correlation))
        weights: Tensor = self.c * directions @ u.T
        return weights.to(dtype)

    @property
    def normals(self) -> tuple[int, int]:
        """Standard normal numbers of an example: its features, and ε of each task before scaling."""
        return self.dimension, self.tasks

    def draw(self, weights: Tensor, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Turn normals, features `(count, dimension)` and noise `(count, tasks)`, into examples (x, y).

        y is `(count, tasks)`.
        """
        y = self.signal(x, weights) + math.sqrt(self.noise_variance) * noise
        if self.label_variance is not None:
            y = (y - self.raw_mean) * self._scale
        return x, y

    def signal(self, x: Tensor, weights: Tensor) -> Tensor:
        """Raw labels `(count, tasks)` of features `(count, dimension)` without their noise."""
        return self.noiseless(x @ weights.T)

    def noiseless(self, z: Tensor) -> Tensor:
        """Raw labels of z = w_kᵀx, of any shape, without their noise."""
        shape = (-1, *[1] * z.ndim)
        alpha, beta = (z.new_tensor(list(values)).view(shape) for values in (self.alpha, self.beta))
        sines: Tensor = torch.sin(alpha * z + beta).sum(0)
        return z + sines
