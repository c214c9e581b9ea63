"""The examples in docstrings, of the package that is installed."""

import doctest
import importlib
import pkgutil

import pytest

import mmoe_repro

MODULES = [module.name for module in pkgutil.walk_packages(mmoe_repro.__path__, "mmoe_repro.") if not module.ispkg]


def examples(name):
    return [test for test in doctest.DocTestFinder().find(importlib.import_module(name)) if test.examples]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "mmoe_repro.__main__" and examples(name)])
def test_examples_give_what_they_say(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0


def test_statistics_and_laws_have_examples():
    for module in ("findings.statistics", "data.synthetic"):
        name = f"mmoe_repro.{module}"
        shown = {test.name.removeprefix(f"{name}.") for test in examples(name)}
        public = {
            key
            for key, value in vars(importlib.import_module(name)).items()
            if getattr(value, "__module__", None) == name and not key.startswith("_") and callable(value)
        }
        assert public - shown <= {"Estimate", "Contrast", "Evidence", "standard_deviation"}
