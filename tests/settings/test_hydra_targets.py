"""Classes that a `_target_` names: what is wrong with one is said in one line."""

import pytest
from helpers import HELPER, net

from mmoe_repro.errors import UsageError
from mmoe_repro.settings.hydra_targets import make


@pytest.mark.parametrize(
    ("files", "target", "says"),
    [
        ({"net": "import einopz\n"}, "net.Net", "net.py, line 1: ModuleNotFoundError: No module named 'einopz'"),
        ({"net": "\n\nclass Net\n    pass\n"}, "net.Net", "net.py, line 3: SyntaxError: expected ':'"),
        ({"net": "def f():\nreturn\n"}, "net.Net", "net.py, line 2: IndentationError: expected an indented block"),
        ({"net": "x = 1\nnope\n"}, "net.Net", "net.py, line 2: NameError: name 'nope' is not defined"),
        ({"net": "raise RuntimeError('no\\nway')\n"}, "net.Net", "net.py, line 1: RuntimeError: no"),
        ({"net": "import sys\nsys.exit(3)\n"}, "net.Net", "net.py, line 2: SystemExit: 3"),
        ({"net": "import helper\n", "helper": "\nx = 1 / 0\n"}, "net.Net", "helper.py, line 2: ZeroDivisionError"),
        ({"net": "from helper import FACTORS\n", "helper": HELPER}, "net.Net", "net.py, line 1: ImportError: cannot"),
        ({"pkg__init": "from .net import Net\n", "pkg__net": "a = [\n"}, "pkg.Net", "pkg/net.py, line 1: SyntaxError"),
        ({"pkg__init": "", "pkg__net": "\nimport einopz\n"}, "pkg.net.Net", "pkg/net.py, line 2: ModuleNotFoundError"),
        ({"pkg__init": "import einopz\n", "pkg__net": net()}, "pkg.net.Net", "pkg/__init__.py, line 1: ModuleNotFound"),
        ({"net": net()}, "net.Nett", "net.py has no 'Nett'; did you mean 'Net'?"),
        ({"net": net()}, "net.Net.built", "net.Net has no 'built'; did you mean 'build'?"),
        ({"net": net()}, "nett.Net", "there is no module 'nett' here; did you mean 'net'?"),
        ({"net": net()}, "Net", "there is no module 'Net' here; "),
        ({"pkg__init": "", "pkg__net": net()}, "pkg.nett.Net", "pkg/__init__.py has no 'nett'; did you mean 'net'?"),
        ({"string": net()}, "string.Net", "has no 'Net'; it hides your own string.py, which needs another name"),
        ({"net": net(init="raise ValueError('width')")}, "net.Net", "net.py, line 9: ValueError: width"),
        ({"net": net(init="None.width")}, "net.Net.build", "net.py, line 9: AttributeError: 'NoneType' object has no"),
        ({"net": net()}, "torch.nn.Linearr", "has no 'Linearr'"),
    ],
)
def test_an_error_in_ones_own_file_names_file_line_and_reason(project, files, target, says):
    project(**files)
    with pytest.raises(UsageError) as refused:
        make("model", "net", {"_target_": target})
    message = str(refused.value)
    assert message.startswith(f"model=net: {target}: ") and says in message
    assert "Error loading" not in message and len(message.splitlines()) == 1 and len(message) < 300
