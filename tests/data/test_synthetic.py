"""The data law against Monte Carlo and the paper's Figure 2."""

import math

import numpy as np
import pytest
import torch

from mmoe_repro import paper
from mmoe_repro.data.synthetic import SyntheticLaw, task_directions
from mmoe_repro.errors import UsageError

FIGURE2_M4 = {
    "dimension": 100,
    "c": 0.53647,
    "alpha": (3.7661, 14.6552, 11.1968, -6.9020),
    "beta": (1.5182, 7.8004, 7.7999, 7.9068),
    "noise_variance": 0.01,
    "label_variance": None,
    "correlation": 0.5,
    "examples": None,
    "tasks": 2,
}
GOOGLE_RESEARCH = {
    **FIGURE2_M4,
    "c": 1.0,
    "alpha": tuple(range(1, 11)),
    "beta": tuple(i**2 for i in range(10)),
    "noise_variance": 1e-4,
}
KERAS_MMOE = {
    **FIGURE2_M4,
    "c": 0.3,
    "alpha": (0.1257, -0.1321, 0.6404, 0.1049, -0.5357),
    "beta": (0.3616, 1.304, 0.9471, -0.7037, -1.2654),
}
LINEAR = {**FIGURE2_M4, "c": 1.0, "alpha": (), "beta": ()}


def law(settings=FIGURE2_M4, **changes):
    return SyntheticLaw(**{**settings, **changes})


def draw(one, count, weights, generator):
    return one.draw(
        weights, *(torch.randn(count, size, dtype=weights.dtype, generator=generator) for size in one.normals)
    )


def sample(one, count=1_000_000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weights = one.weights(generator, torch.float64)
    parts = [draw(one, 100_000, weights, generator)[1] for _ in range(count // 100_000)]
    return torch.cat(parts).numpy()


@pytest.mark.parametrize("settings", [FIGURE2_M4, GOOGLE_RESEARCH, KERAS_MMOE, LINEAR])
@pytest.mark.parametrize("correlation", [-1.0, -0.3, 0.0, 0.5, 0.9, 1.0])
def test_closed_forms_against_monte_carlo(settings, correlation):
    one = law(settings, correlation=correlation, dimension=3)
    y = sample(one)
    n, sd = len(y), math.sqrt(one.raw_variance)
    # Four standard errors: of the mean, of the variance (by the sample's own fourth moment), and of the
    # correlation (by the sample's own moments of the product).
    assert y.mean(0) == pytest.approx(one.raw_mean, abs=4 * sd / math.sqrt(n))
    centred = y - one.raw_mean
    for task in range(2):
        error = (centred[:, task] ** 2).std() / math.sqrt(n)
        assert (centred[:, task] ** 2).mean() == pytest.approx(one.raw_variance, abs=4 * error)
    product = centred[:, 0] * centred[:, 1]
    covariance = one.label_pearson * one.raw_variance
    assert product.mean() == pytest.approx(covariance, abs=4 * product.std() / math.sqrt(n))


def test_figure2_m4_fits_the_papers_figure_2():
    for row in paper.table("figure2").itertuples():
        fitted = law(correlation=row.weight_cosine).label_pearson
        assert fitted == pytest.approx(row.label_pearson_mean, abs=0.0015)


def test_labels_are_standardised_exactly():
    one = law(label_variance=0.45, correlation=0.7, dimension=3)
    y = sample(one)
    assert (one.mean, one.variance) == (0.0, 0.45)
    assert np.abs(y.mean(0)).max() < 4 * math.sqrt(0.45 / len(y))
    squares = y**2
    assert np.abs(squares.mean(0) - 0.45).max() < 4 * squares.std() / math.sqrt(len(y))
    assert one.noise_floor == pytest.approx(0.01 * 0.45 / one.raw_variance)


def test_a_linear_law_is_its_weights_and_noise():
    one = law(LINEAR, noise_variance=0.0, correlation=0.2)
    generator = torch.Generator().manual_seed(1)
    weights = one.weights(generator, torch.float64)
    x, y = draw(one, 50, weights, generator)
    assert torch.allclose(y, x @ weights.T)
    assert one.label_pearson == pytest.approx(0.2)


def test_the_law_is_the_papers_formula_written_as_loops():
    one = law()
    generator = torch.Generator().manual_seed(2)
    weights = one.weights(generator, torch.float64)
    x, _ = draw(one, 5, weights, generator)
    expected = np.zeros((5, 2))
    for n in range(5):
        for k in range(2):
            z = sum(float(weights[k, j]) * float(x[n, j]) for j in range(100))
            expected[n, k] = z + sum(math.sin(a * z + b) for a, b in zip(one.alpha, one.beta, strict=True))
    np.testing.assert_allclose(one.signal(x, weights), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("tasks", "correlation"), [(2, -1.0), (2, 0.3), (2, 1.0), (3, -0.5), (3, 0.7), (5, -0.25), (5, 1)]
)
def test_weight_vectors_have_length_c_and_pairwise_cosine_p(tasks, correlation):
    one = law(tasks=tasks, correlation=correlation)
    weights = one.weights(torch.Generator().manual_seed(3), torch.float64).numpy()
    gram = weights @ weights.T / one.c**2
    expected = np.full((tasks, tasks), correlation) + (1 - correlation) * np.eye(tasks)
    np.testing.assert_allclose(gram, expected, atol=1e-7)


def test_two_tasks_have_the_papers_directions():
    np.testing.assert_allclose(task_directions(2, 0.6), [[1, 0], [0.6, 0.8]])


def test_the_same_generator_gives_the_same_x_and_noise_at_every_p():
    drawn = []
    for correlation in (0.0, 1.0):
        one = law(correlation=correlation)
        generator = torch.Generator().manual_seed(4)
        weights = one.weights(generator, torch.float64)
        x, y = draw(one, 10, weights, generator)
        drawn.append((weights[0], x, y - one.signal(x, weights)))
    for first, second in zip(*drawn, strict=True):
        assert torch.allclose(first, second, atol=1e-14)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"correlation": 1.5}, "data.correlation=1.5: must be in [-1, 1]"),
        ({"correlation": math.nan}, "data.correlation=nan"),
        ({"tasks": 3, "correlation": -0.6}, "data.correlation=-0.6: must be in [-0.5, 1] for 3 tasks"),
        ({"beta": (1.0,)}, "data.alpha has 4 values and data.beta 1"),
        ({"noise_variance": -0.1}, "data.noise_variance=-0.1"),
        ({"label_variance": 0.0}, "data.label_variance=0.0"),
        ({"c": 0.0}, "data.c=0.0"),
        ({"dimension": 1}, "data.dimension=1: must be at least the number of tasks, 2"),
        ({"tasks": 1}, "data.tasks=1"),
        ({"examples": 0}, "data.examples=0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes, named):
    with pytest.raises(UsageError) as refused:
        law(**changes)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)
