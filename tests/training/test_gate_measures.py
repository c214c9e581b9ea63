"""What gate weights amount to, against loops over examples, tasks and experts."""

import math

import numpy as np
import pytest
import torch

from mmoe_repro.training.gate_measures import gating


def entropy(distribution):
    return -sum(p * math.log2(p) for p in distribution if p > 0)


def test_against_loops():
    gates = torch.randn(7, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).mul(3).softmax(-1)
    found, by_hand = gating(gates), gates.tolist()
    for task in range(3):
        mean = [sum(example[task][i] for example in by_hand) / 7 for i in range(4)]
        assert found.entropy[task].item() == pytest.approx(sum(entropy(example[task]) for example in by_hand) / 7)
        assert found.used[task].item() == pytest.approx(2 ** entropy(mean))
        np.testing.assert_allclose(found.weights[task], mean)
    divergence = 0.0
    for example in by_hand:
        middle = [sum(of_task[i] for of_task in example) / 3 for i in range(4)]
        for of_task in example:
            divergence += sum(p * math.log2(p / q) for p, q in zip(of_task, middle, strict=True)) / 3 / 7
    assert found.divergence.item() == pytest.approx(divergence)


def test_the_ends_of_the_scale():
    alike = gating(torch.full((5, 2, 8), 1 / 8))
    assert alike.divergence.item() == pytest.approx(0, abs=1e-6)
    assert alike.entropy.tolist() == pytest.approx([3, 3]) and alike.used.tolist() == pytest.approx([8, 8])
    apart = torch.zeros(5, 2, 8)
    apart[:, 0, 2] = apart[:, 1, 5] = 1
    of_apart = gating(apart)
    assert of_apart.divergence.item() == pytest.approx(1)
    assert of_apart.entropy.tolist() == [0, 0] and of_apart.used.tolist() == pytest.approx([1, 1])
