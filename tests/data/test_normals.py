"""Normal numbers have the normal law, and each run's depend on its seed alone."""

import math

import numpy as np
import pytest
import torch
from numpy.random import SFC64, SeedSequence
from scipy import stats

from mmoe_repro.compiler import can_compile
from mmoe_repro.data.normals import UNIT, CPUNormals, GPUNormals, box_muller

SEEDS = [SeedSequence(seed) for seed in (3, 4)]


def normals(count=UNIT, dtype=torch.float64, compiled=False):
    return CPUNormals(SEEDS, count, 5, dtype, compiled)


def gpu(count=UNIT):
    return GPUNormals(SEEDS, count, 5, torch.float64)


SOURCES = [
    normals,
    pytest.param(gpu, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")),
]


def test_box_muller_is_its_formula_written_as_a_loop():
    words = torch.tensor([[[0, 1, -1, 2**31 - 1, -(2**31)], [0, 2**30, -(2**30), -(2**31), 12345]]], dtype=torch.int32)
    out = torch.empty(words.shape, dtype=torch.float64)
    box_muller(words, out)
    for first, second, cosine, sine in zip(*words[0].tolist(), *out[0].tolist(), strict=True):
        u = (first % 2**31 + 0.5) / 2**31
        angle = 2 * math.pi * second / 2**32
        assert cosine == pytest.approx(math.sqrt(-2 * math.log(u)) * math.cos(angle), abs=1e-14)
        assert sine == pytest.approx(math.sqrt(-2 * math.log(u)) * math.sin(angle), abs=1e-14)
    assert out.abs().max() == pytest.approx(math.sqrt(2 * 32 * math.log(2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_normal_and_independent(dtype):
    drawn = normals(40_000, dtype).take().double().numpy()
    count = drawn[0].size
    for run in drawn:
        # The probability of a larger distance from the normal law; 1 in 1,000 by chance.
        assert stats.kstest(run.ravel(), "norm").pvalue > 1e-3
        # Four standard errors, by the normal law's own moments: 1, 2, 15, 96.
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert (run**power).mean() == pytest.approx(moment, abs=4 * math.sqrt(variance / count))
        # A tail that holds 12.7 of them on average.
        assert 2 <= (abs(run) > 4).sum() <= 30
    flat = drawn.reshape(2, -1)
    half = UNIT // 2 * 5  # of one pair of numbers from the other
    for one, other in ((flat[0], flat[1]), (flat[0, 1:], flat[0, :-1]), (flat[0, half:], flat[0, :-half])):
        for power in (1, 2):
            correlation = np.corrcoef(one**power, other**power)[0, 1]
            assert abs(correlation) < 4 / math.sqrt(len(one))


def test_they_are_made_of_the_generators_words_in_order():
    words = SFC64(SEEDS[1]).random_raw(2 * UNIT * 5 // 2).view(np.int32).reshape(2, 2, -1)
    expected = torch.empty(words.shape, dtype=torch.float64)
    box_muller(torch.from_numpy(words.copy()), expected)
    assert torch.equal(normals(2 * UNIT).take()[1], expected.view(2 * UNIT, 5))


def test_they_do_not_depend_on_how_many_are_taken_at_a_time():
    whole, parts = normals(6 * UNIT).take(), normals(2 * UNIT)
    together = [parts.take().clone() for _ in range(3)]
    torch.testing.assert_close(torch.cat(together, 1), whole, rtol=1e-14, atol=0)


@pytest.mark.parametrize("source", SOURCES)
def test_they_go_on_from_their_state(source):
    first, again = source(), source()
    first.take()
    again.load_state_dict(first.state_dict())
    assert torch.equal(again.take(), first.take())


@pytest.mark.parametrize("source", SOURCES)
def test_runs_have_numbers_of_their_own(source):
    one, other = source().take()
    assert one.shape == (UNIT, 5)
    assert not torch.isin(one, other).any()


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="there is no C++ compiler")
def test_compiled_they_are_the_same_within_rounding():
    compiled, plain = (normals(4 * UNIT, torch.float32, compiled).take() for compiled in (True, False))
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-6)
