"""What an atlas's folder records of its settings is what counts."""

import json

import numpy as np
import pytest

from mmoe_repro.atlas.survey import recorded
from mmoe_repro.errors import UsageError

SETTINGS = [
    {"data.alpha": [1.0, 2.0], "model.gain": gain, "data.examples": None, "training.steps": 100, "paper_loss": 0.5}
    for gain in (0.3, 1.9383354905530106, 2.7)
]


def changed(settings, key, value):
    return [*settings[:1], {**settings[1], key: value}, *settings[2:]]


@pytest.fixture
def begun(tmp_path):
    path = tmp_path / "settings.jsonl"
    assert recorded(path, SETTINGS) == SETTINGS
    return path


def test_another_processors_rounding_is_the_same_setting(begun):
    """NumPy's exp and log differ in the last digit between processors with AVX-512 and without."""
    written = begun.read_bytes()
    for key, value in (("model.gain", 1.9383354905530108), ("data.alpha", [1.0, np.nextafter(2.0, 3.0)])):
        assert recorded(begun, changed(SETTINGS, key, value)) == SETTINGS
        assert begun.read_bytes() == written


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.gain", 1.938335),
        ("data.alpha", [1.0, 2.0, 3.0]),
        ("data.alpha", [1.0, 2.1]),
        ("data.examples", 3000),
        ("training.steps", 101),
        ("training.batch_size", 32),
    ],
)
def test_another_setting_is_refused(begun, key, value):
    written = begun.read_bytes()
    with pytest.raises(UsageError, match="begun with other choices"):
        recorded(begun, changed(SETTINGS, key, value))
    assert begun.read_bytes() == written


def test_a_changed_default_is_refused(begun):
    lines = [json.loads(line) for line in begun.read_text().splitlines()]
    lines[2]["cells"] = "0"
    begun.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UsageError, match="begun with other choices"):
        recorded(begun, SETTINGS)


def test_a_longer_design_extends_what_is_recorded(tmp_path):
    path = tmp_path / "settings.jsonl"
    recorded(path, SETTINGS[:1])
    first = path.read_bytes()
    assert recorded(path, SETTINGS) == SETTINGS
    assert path.read_bytes().startswith(first)
    assert len(path.read_bytes().splitlines()) == 3
    longer = path.read_bytes()
    assert recorded(path, SETTINGS[:2]) == SETTINGS[:2]
    assert path.read_bytes() == longer
