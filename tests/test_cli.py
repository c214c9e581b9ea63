"""The console command itself: help, versions, lists, completion, and a real install."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mmoe_repro import config

REPOSITORY = Path(__file__).parents[1]


def test_help_names_every_command_and_needs_no_torch(process):
    code = "import sys; from mmoe_repro import cli; sys.argv = ['mmoe-repro', '--help']; cli.main(); "
    code += "assert 'torch' not in sys.modules and 'hydra' not in sys.modules"
    outcome = process("-c", code, command=(sys.executable,))
    assert outcome.status == 0, outcome.err
    for command in ("sweep", "correlation", "recover", "models", "data", "--version"):
        assert f"mmoe-repro {command}" in outcome.out
    assert process().out == outcome.out


def test_version(process):
    assert process("--version").out == f"mmoe-repro {version('mmoe-repro')}\n"


def test_an_unknown_command_is_refused_with_the_nearest(run):
    outcome = run("swep")
    assert outcome.status == 2
    allowed = "correlation, data, models, recover, report, sweep"
    assert outcome.err == f"mmoe-repro: no command 'swep': did you mean 'sweep'? Allowed: {allowed}\n"


def test_models_tell_equation_weights_and_source(run):
    outcome = run("models")
    assert outcome.status == 0
    rows = {line.split()[0]: line.split() for line in outcome.out.splitlines() if line[:1].isalpha()}
    options = {path.stem for path in (config.folder() / "model").glob("*.yaml")}
    assert len(options) == 12
    assert options <= set(rows)
    assert options == {line.removeprefix("model=") for line in outcome.out.splitlines() if line.startswith("model=")}
    assert outcome.out.count("  Source: ") == 12
    assert "y_k = h_k(Σ_i g_k(x)_i f_i(x)), g_k(x) = softmax(W_k x)" in outcome.out
    assert "section 4.2" in outcome.out
    # A prediction takes two operations a weight, and for a mixture two an expert, unit and gate.
    operations = 2 * (12_800 + 256 + 16 + 1_600) + 2 * 2 * 8 * 16
    parts = ["experts", "12,800,", "towers", "256", "1,600", "16", "0", "14,672"]
    assert rows["mmoe"] == ["mmoe", "13,056", *parts, f"{operations:,}"]
    assert rows["shared_bottom"][-1] == f"{2 * (13_108 + 16):,}"
    assert run("models", "mmoe").status == 2


def test_data_tells_moments_label_correlation_and_source(run):
    outcome = run("data")
    assert outcome.status == 0
    for law in ("figure2_m4", "google_research", "keras_mmoe", "linear"):
        assert f"data={law}" in outcome.out
    text = " ".join(outcome.out.split())
    assert "labels: mean 0.0000, variance 0.4500, of which noise 0.0016" in text
    assert "0.0741 at p = 0.5, 0.3062 at p = 0.9, 0.9964 at p = 1" in text
    assert "drawbridge/keras-mmoe" in text
    assert "_synthetic" not in text


def test_sweep_help_tells_groups_and_settings(run):
    outcome = run("sweep", "--help")
    assert outcome.status == 0
    for told in (
        "model: cgc, cross_stitch, ",
        "learning_rate: ${by:${model._target_},",
        "experiment=paper",
        "--config-dir",
    ):
        assert told in outcome.out


def test_cfg_shows_the_settings_of_the_first_job(run):
    outcome = run("sweep", "--cfg", "job", "model=omoe,mmoe", "data.correlation=0.2,0.8")
    assert outcome.status == 0, outcome.err
    assert "_target_: mmoe_repro.models.OMoE" in outcome.out
    assert "correlation: 0.2" in outcome.out


def complete(process, line):
    environment = {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    return process("-sc", "query=bash", env=environment).out.split()


def test_completion(process):
    assert "complete" in process("-sc", "install=bash").out
    assert "sweep" in complete(process, "mmoe-repro ")
    assert complete(process, "mmoe-repro sweep model=s") == [
        f"model={option}" for option in ("shared_bottom", "single_task", "sparse_moe", "stacked_moe")
    ]
    assert "training.learning_rate=" in complete(process, "mmoe-repro sweep training.l")
    assert complete(process, "mmoe-repro models ") == []


def test_bash_itself_completes(tmp_path):
    script = """
    eval "$(mmoe-repro -sc install=bash)"
    COMP_WORDS=(mmoe-repro sweep data=goo)
    COMP_CWORD=2
    COMP_LINE="mmoe-repro sweep data=goo"
    COMP_POINT=${#COMP_LINE}
    hydra_bash_completion
    echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "data=google_research", done.stderr


def test_a_wheel_works_from_any_folder(tmp_path):
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, REPOSITORY]
    subprocess.run(install, check=True, capture_output=True)
    assert (target / "mmoe_repro/conf/sweep.yaml").exists()
    assert not (target / "conf").exists()
    environment = {**os.environ, "PYTHONPATH": str(target)}
    code = f"import mmoe_repro; assert mmoe_repro.__file__.startswith({str(target)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    command = [target / "bin/mmoe-repro", "sweep", "--cfg", "job", "data=linear"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "alpha: []" in done.stdout


def test_a_closed_pipe_is_no_error():
    command = "set -o pipefail; mmoe-repro data | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("path", sorted((REPOSITORY / "conf/data").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_data_law_opens_with_its_source(path):
    assert path.read_text().startswith("# Source: ")
