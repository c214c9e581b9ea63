"""PyTorch's private parts are in one module, and a release that they were not tested with trains without them."""

import re
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

import mmoe_repro
from mmoe_repro import compiler
from mmoe_repro.compiler import TESTED_RELEASES, CompileError, can_compile, compile_traced, trace, untested_release


@pytest.fixture
def unknown(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "9.8.7+cpu")


@pytest.mark.parametrize("release", TESTED_RELEASES)
def test_every_patch_of_a_tested_release_is_tested(monkeypatch, release):
    for version in (f"{release}.0", f"{release}.3+cu130"):
        monkeypatch.setattr(torch, "__version__", version)
        assert untested_release() is None


def test_nothing_is_compiled_with_an_unknown_release(unknown):
    assert untested_release().endswith("and this is 9.8.7+cpu")
    assert not can_compile("cpu") and not can_compile("cuda")
    arguments = [torch.zeros(2)]
    traced = trace(torch.sin, arguments)
    assert torch.equal(traced(*arguments), torch.zeros(2))
    with pytest.raises(CompileError, match=r"9\.8\.7"):
        compile_traced(traced, arguments)


@pytest.mark.slow
@pytest.mark.skipif(not can_compile("cpu"), reason="there is no C++ compiler")
def test_what_was_compiled_is_kept_for_other_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    arguments = [torch.tensor([1.0, 2.0, 3.0])]

    def hits(constant):
        """Compile anew, as another process would, and say whether what was compiled before is found."""
        monkeypatch.setattr(compiler, "_compiled", {})
        counters.clear()
        compiled = compile_traced(trace(lambda x: x.sin() + constant, arguments), arguments)
        assert torch.allclose(compiled(*arguments), arguments[0].sin() + constant)
        return counters["inductor"]["fxgraph_cache_hit"]

    one = torch.tensor([4.0, 5.0, 6.0])
    assert [hits(one), hits(one)] == [0, 1]
    hits(one + 1)  # whose values are its own


def test_no_other_module_uses_what_pytorch_may_change():
    folder = Path(mmoe_repro.__file__).parent
    unstable = re.compile(r"\btorch\.(\w+\.)*_(?!_)|torch\.fx\.experimental|make_fx")
    found = {path.relative_to(folder) for path in folder.rglob("*.py") if unstable.search(path.read_text("utf-8"))}
    assert found == {Path("compiler.py")}
