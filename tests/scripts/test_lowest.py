"""The lowest versions that are tried are those that pyproject.toml allows."""

import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOWEST = runpy.run_path(str(ROOT / "scripts" / "lowest.py"))


def test_every_dependency_is_pinned_to_its_lower_bound():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pinned = LOWEST["pins"](dependencies)
    assert len(pinned) == len(dependencies)
    for requirement, pin in zip(dependencies, pinned, strict=True):
        name, _, version = pin.partition("==")
        assert requirement.split(",")[0] == f"{name}>={version}"


def test_a_dependency_without_a_lower_bound_is_refused():
    with pytest.raises(ValueError, match="rich<15: has no lower bound"):
        LOWEST["pins"](["rich<15"])
