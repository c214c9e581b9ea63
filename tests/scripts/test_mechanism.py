"""The intervention on gates changes nothing else."""

import os
import runpy
from pathlib import Path

import pytest
import torch
from helpers import SMALL

from mmoe_repro.models import MMoE

FOLDER = Path(__file__).parents[2] / "scripts" / "mechanism"
FixedGates = runpy.run_path(str(FOLDER / "fixed_gates.py"))["FixedGates"]
SETTINGS = {"features": 10, "tasks": 2, "experts": 4, "expert": [6], "tower": [5], "bias": False, "activation": "relu"}
SETTINGS |= {"initializer": "he_normal", "gain": 1.0, "output_gain": 2.0, "gate_gain": 0.5}


def built(model):
    torch.manual_seed(3)
    return model(**SETTINGS)


def test_experts_and_towers_begin_as_mmoes_and_the_gates_are_gone():
    fixed, mmoe = built(FixedGates).state_dict(), built(MMoE).state_dict()
    assert set(mmoe) - set(fixed) == {"gate.weight"}
    for name, weights in fixed.items():
        assert torch.equal(weights, mmoe[name])


def test_it_is_positively_homogeneous_and_mmoe_is_not():
    x = torch.randn(7, 10, generator=torch.Generator().manual_seed(0))
    fixed, mmoe = built(FixedGates), built(MMoE)
    torch.testing.assert_close(fixed(3 * x), 3 * fixed(x))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(mmoe(3 * x), 3 * mmoe(x), rtol=0.05, atol=0.05)
    mean = torch.stack([mmoe.experts(x)[:, i] for i in range(4)]).mean(0)
    torch.testing.assert_close(fixed(x), mmoe.towers(mmoe.towers.hidden(mean[:, None].expand(-1, 2, -1))))


@pytest.mark.slow
def test_it_is_swept_as_its_page_says(process):
    options = ("--config-dir", str(FOLDER / "conf"), "model=fixed_gates", "data.correlation=0.5")
    outcome = process("sweep", *options, *SMALL, env={**os.environ, "PYTHONPATH": str(FOLDER)})
    assert outcome.status == 0, outcome.err
