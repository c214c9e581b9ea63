"""A user's own code: every file that decides its results, and the line that went wrong."""

import json
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from helpers import HELPER, cell_of, net

from mmoe_repro.jobs.rehearsal import sources_of
from mmoe_repro.settings.own_code import is_own_module, own_targets

LAW = {
    "_target_": "mmoe_repro.data.SyntheticLaw",
    **{"dimension": 20, "c": 0.5, "alpha": [3.0], "beta": [0.5], "noise_variance": 0.01, "label_variance": 0.45},
    **{"correlation": 0.5, "examples": None, "tasks": 2},
}


def files_of(target="net.Net", **settings):
    return set(sources_of({"_target_": target, **settings}, LAW))


@pytest.mark.parametrize("target", ["net.Net", "net.Net.build", "net.build"])
@pytest.mark.parametrize(
    "code",
    {
        "import": net("import helper", forward="factor = helper.FACTOR"),
        "from": net("from helper import FACTOR", forward="factor = FACTOR"),
        "star": net("from helper import *", forward="factor = FACTOR"),
        "in a function": net(forward="from helper import FACTOR as factor"),
        "where it did not come by": net(forward="factor = 1.0\n        if x.shape[0] == 7: import helper"),
        "by name": net("import importlib", init="self.h = importlib.import_module('hel' + 'per')").replace(
            "* factor", "* self.h.FACTOR"
        ),
        "by a name of its own": net(forward="factor = __import__('hel' + 'per').FACTOR"),
        "by name when imported": net("import importlib\nh = importlib.import_module('hel' + 'per')").replace(
            "* factor", "* h.FACTOR"
        ),
        "executed": net(forward="exec(open('hel' + 'per.py').read(), held := {}); factor = held['FACTOR']"),
        "from a file": net(
            "import importlib.util as u\n"
            "spec = u.spec_from_file_location('anything', 'hel' + 'per.py')\n"
            "h = u.module_from_spec(spec)\nspec.loader.exec_module(h)",
            forward="factor = h.FACTOR",
        ),
        "through another": net("from between import FACTOR", forward="factor = FACTOR"),
    }.items(),
    ids=lambda code: code[0],
)
def test_helpers_are_part_of_what_a_model_rests_on(project, target, code):
    project(net=code[1], helper=HELPER, between="from helper import FACTOR\n", bystander="")
    wanted = {"net.py", "helper.py"} | ({"between.py"} if "through" in code[0] else set())
    assert files_of(target) == wanted
    # And again, when everything is loaded already, for settings that were not seen yet.
    assert files_of(target if "build" in target else "net.Net", **({} if "build" in target else {"width": 3})) == wanted


def test_an_edit_of_a_helper_makes_another_cell(project):
    project(net=net(forward="from helper import FACTOR as factor"), helper=HELPER)
    first = sources_of({"_target_": "net.Net"}, LAW)
    assert sources_of({"_target_": "net.Net"}, LAW) == first
    project(helper=HELPER.replace("1.0", "3.0"))
    second = sources_of({"_target_": "net.Net"}, LAW)
    assert second["net.py"] == first["net.py"] and second["helper.py"] != first["helper.py"]


def test_packages_reexports_and_relative_imports(project):
    project(
        pkg__init="from .nets.net import Net\n",
        pkg__helper=HELPER,
        pkg__other="",
    )
    nets = Path("pkg/nets")
    nets.mkdir()
    (nets / "__init__.py").write_text("")
    (nets / "net.py").write_text(net("from ..helper import factor as f", forward="factor = f()"))
    assert files_of("pkg.Net") == {"pkg/__init__.py", "pkg/nets/__init__.py", "pkg/nets/net.py", "pkg/helper.py"}


def test_a_package_that_loads_its_modules_in_a_loop(project):
    project(
        pets__init="""
            import importlib, pkgutil
            for found in pkgutil.iter_modules(__path__):
                importlib.import_module(f"pets.{found.name}")
            def pick(name):
                return importlib.import_module("pets." + name).Net()
        """,
        pets__one=net(),
        pets__two=net(),
    )
    for name in ("one", "two"):
        assert files_of("pets.pick", name=name) == {"pets/__init__.py", "pets/one.py", "pets/two.py"}


def test_what_settings_hold_deeper_down(project):
    project(net=net(), layers=net().replace("Net", "Head"))
    deep = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "layers.Head"}]}
    assert set(sources_of(deep, LAW)) == {"layers.py"}
    assert own_targets(deep) == ["torch.nn.Sequential", "layers.Head"]


def test_a_law_of_ones_own(project):
    project(
        law="""
            from constants import SCALE
            class Law:
                dimension, tasks, examples, normals = 20, 2, None, (20,)
                def weights(self, generator, dtype):
                    import torch
                    return torch.randn(20, 2, generator=generator, dtype=dtype)
                def draw(self, weights, x):
                    return x, SCALE * x @ weights
        """,
        constants="SCALE = 2.0\n",
    )
    assert set(sources_of({"_target_": "mmoe_repro.models.MMoE"}, {"_target_": "law.Law"})) == {
        "law.py",
        "constants.py",
    }


@pytest.mark.parametrize(
    ("imports", "init"),
    [
        ("import numpy as np", "self.mask = np.load('tab' + 'le.npy')"),
        ("import numpy as np\nTABLE = np.load('tab' + 'le.npy')", "pass"),
        (
            "import numpy as np\nfrom functools import cache\n@cache\ndef table(): return np.load('table.npy')",
            "table()",
        ),
        ("import numpy as np", "np.fromfile('tab' + 'le.npy')"),
        ("import os", "os.read(os.open('tab' + 'le.npy', os.O_RDONLY), 9)"),
    ],
    ids=["when made", "when imported", "once in a process", "raw", "by the system"],
)
def test_data_that_is_read_is_hashed(project, imports, init):
    project(net=net(imports, init))
    np.save("table.npy", np.arange(8))
    first = sources_of({"_target_": "net.Net"}, LAW)
    assert set(first) == {"net.py", "table.npy"}
    assert set(sources_of({"_target_": "net.Net", "width": 5}, LAW)) == set(first)
    np.save("table.npy", np.arange(1, 9))
    assert sources_of({"_target_": "net.Net"}, LAW)["table.npy"] != first["table.npy"]


def test_a_data_file_that_a_setting_names(project):
    project(net=net())
    Path("widths.csv").write_text("8")
    assert files_of(width="widths.csv") == {"net.py", "widths.csv"}
    assert files_of("torch.load", f="widths.csv") == {"widths.csv"}


def test_what_a_program_writes_itself_does_not_count(project):
    project(net=net(init="open('log.txt', 'a').write('made'); open('log.txt').read()"))
    first = sources_of({"_target_": "net.Net"}, LAW)
    assert set(first) == {"net.py"}
    Path("log.txt").write_text("another")
    assert sources_of({"_target_": "net.Net", "width": 3}, LAW) == first


def test_installed_packages_and_python_are_nobodys_own(project):
    project(net=net("import yaml, torch, json, numpy, hydra, mmoe_repro.models, pandas"))
    assert files_of() == {"net.py"}
    assert not any(map(is_own_module, (json, np, pytest, sys.modules["mmoe_repro"])))
    assert sysconfig.get_path("stdlib") in json.__file__


def test_the_name_of_a_file_does_not_change_with_the_machine(project, tmp_path, monkeypatch):
    project(net=net())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lib_of_mine.py").write_text(HELPER)
    monkeypatch.syspath_prepend(elsewhere)
    project(net=net("import lib_of_mine"))
    assert files_of() == {"net.py", "lib_of_mine.py"}


def test_built_in_models_and_laws_rest_on_no_own_file():
    assert cell_of("model=mmoe").sources == {}
