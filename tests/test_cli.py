"""The console command itself: help, versions, lists, completion, and a real install."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from helpers import SMALL

from mmoe_repro import cli
from mmoe_repro.settings.schema import folder

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
    allowed = "atlas, compare, correlation, data, list, models, recover, report, sweep"
    assert outcome.err == f"mmoe-repro: no command 'swep': did you mean 'sweep'? Allowed: {allowed}\n"


@pytest.mark.parametrize("command", ["sweep", "report", "list", "compare", "models"])
def test_an_unknown_flag_is_refused_in_one_line(run, command):
    assert "there is no flag" in run(command, "--open" if command == "sweep" else "--dry-run").err, "of another command"
    outcome = run(command, "--dry")
    assert outcome.status == 2
    assert outcome.err == (
        f"mmoe-repro: {command}: there is no flag --dry; mmoe-repro {command} --help shows what there is\n"
    )
    assert run(command, "--help").status == 0, "as it says"


def test_a_command_that_reads_less_than_a_sweep_says_so(run):
    assert "model: this command has no such setting" in run("correlation", "model=mmoe").err
    says = "data.c=1,2: this command takes one value; comma lists are for mmoe-repro sweep"
    assert says in run("correlation", "data.c=1,2").err
    assert "did you mean mmoe-repro sweep data=linear?" in run("data=linear").err
    assert "results/none: there is no such folder; mmoe-repro list shows" in run("report", "results/none").err


@pytest.mark.parametrize("width", [80, pytest.param(120, marks=pytest.mark.slow)])
@pytest.mark.parametrize("arguments", [[], ["list", "--help"], ["models", "--help"], ["models"], ["data"]])
def test_what_is_shown_fits_the_terminal(run, monkeypatch, arguments, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = run(*arguments).out.splitlines()
    assert 0 < max(map(len, lines)) <= width
    assert [line for line in lines if line != line.rstrip()] == []


def test_models_tell_equation_weights_and_source(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    outcome = run("models")
    assert outcome.status == 0
    rows = {line.split()[0]: line.split() for line in outcome.out.splitlines() if line[:1].isalpha()}
    options = {path.stem for path in (folder() / "model").glob("*.yaml")}
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
    assert "Labels: mean 0.0000, variance 0.4500, of which noise 0.0016" in text
    assert "0.0741 at p = 0.5, 0.3062 at p = 0.9, 0.9964 at p = 1" in text
    assert "drawbridge/keras-mmoe" in text
    assert "_synthetic" not in text


@pytest.mark.parametrize("command", ["sweep", "correlation", "recover", "atlas", "report"])
@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_the_terminal_and_has_a_line_for_each_setting(run, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", str(width))
    outcome = run(command, "--help")
    assert outcome.status == 0
    assert max(map(len, outcome.out.splitlines())) <= width
    config = yaml.safe_load((folder() / f"{command}.yaml").read_text())
    plain = {key for key in config if key not in ("defaults", "hydra", "choices")}
    shown = {line.split("=")[0].strip() for line in outcome.out.splitlines() if line.startswith("  ")}
    assert plain <= shown
    groups = {name for entry in config["defaults"] if isinstance(entry, dict) for name in entry}
    for group in ("model", "data", "training", "experiment"):
        assert (f"{group}=…" in outcome.out) == (group in groups), "only the groups that the command reads"


def test_sweep_help_says_what_each_option_and_setting_is(run):
    lines = run("sweep", "--help").out.splitlines()
    for option in (folder() / "experiment").glob("*.yaml"):
        (line,) = [line for line in lines if line.split()[:1] == [option.stem]][:1]
        assert len(line.split()) > 2
    assert "  runs=20                       seeds seed, seed + 1, …" in lines
    assert {"  data.alpha=[…]", "  data.beta=[…]"} <= set(lines), "lists of a line an entry"
    assert sum(line.startswith("  data.examples=") for line in lines) == 1, "stated by two files"
    assert any(line.startswith("  training.optimizer.betas=[0.9, 0.999]") for line in lines)


def test_a_setting_that_some_swept_models_lack_names_those_that_have_it(run):
    outcome = run("sweep", "model.experts=4")
    assert outcome.status == 2 and outcome.err.count("\n") == 1
    assert "model.experts: shared_bottom has no such setting; try model=omoe,mmoe" in outcome.err
    outcome = run("sweep", "model=omoe,mmoe", "model.widths=3")
    assert "model.widths: no such setting in model" in outcome.err, "which no model has"


@pytest.mark.parametrize("given", ["data.examples=null", "model.weights=null", "model=mmoe.yaml", "name=größe"])
def test_what_can_only_mean_one_thing_is_taken_so(run, given):
    outcome = run("sweep", "model=mmoe", given, "data.correlation=1", *SMALL, "--dry-run")
    assert outcome.status == 0, outcome.err
    assert [line.split()[0] for line in outcome.out.splitlines() if line.endswith(" 10       0")] == ["mmoe"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["runs", "=3"], "'runs': must be setting=value, without spaces"),
        (["runs =3"], "'runs =3': must be setting=value, without spaces"),
        (["model=null"], "model: must be the name of an option"),
        (["data=[a,b]"], "data: must be the name of an option"),
        (["experiment=null"], "experiment: must be the name of an option"),
        (["~model"], "model: must be the name of an option"),
        (["training.learning_rate=fast"], "training.learning_rate=fast: must be a number"),
        (["runs=2.5"], "runs=2.5: must be a whole number"),
        (["model=mmoe", "model.bias=maybe"], "model.bias=maybe: must be true or false"),
        (["experiment=nope"], "experiment=nope: must be one of "),
        (["name=#1"], "name=#1: must be a plain folder name"),
        (["--cfg", "nope"], "argument --cfg/-c: invalid choice: 'nope'"),
        (["hydra/sweeper=basic"], "hydra/sweeper=basic: cannot be changed"),
        (["hydra.launcher=3"], "hydra.launcher=3: TypeError"),
        (["seed=range(0,1000000000000)"], "seed: the sweep would have more than 10,000 jobs; runs=… trains as many"),
        (["model.bias=2"], "model.bias=2: must be true or false"),
        (["claims.T1=3"], "claims.T1=3: must be settings: says, excess, reason"),
        (["claims.C1.says=3"], "claims.C1.says=3: must be text"),
        (["~claims.C1"], "claims.C1: is missing"),
        (["+claims.T9.ratio=1"], "claims.T9: no such setting"),
        (["model.experts=0", "model=mmoe"], "model=mmoe: 0 networks"),
    ],
)
def test_what_the_end_of_a_sweep_would_fail_by_is_refused_before_its_start(run, arguments, says):
    outcome = run("sweep", *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"mmoe-repro: {says}") and outcome.err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"[1, 2]\n", b"word\n", b"\xff\xfe", b"a: [\n"])
def test_an_option_of_ones_own_that_is_none_is_named(run, tmp_path, content):
    (tmp_path / "a=b c/model").mkdir(parents=True)
    (tmp_path / "a=b c/model/mine.yaml").write_bytes(content)
    outcome = run("sweep", "model=mine", "--config-dir", "a=b c", "data.correlation=1")
    assert outcome.status == 2 and outcome.err.count("\n") == 1
    assert "model=mine: needs a _target_" in outcome.err or "mine.yaml" in outcome.err


def test_a_report_takes_one_folder_whatever_its_name(run, tmp_path):
    (tmp_path / "a=b ${x} 'c'").mkdir()
    outcome = run("report", "a=b ${x} 'c'")
    assert outcome.err == "mmoe-repro: a=b ${x} 'c': no results of a sweep, config.yaml is missing\n"
    assert run("report", "one", "other").err.startswith("mmoe-repro: report: one folder at a time; others beside it: ")


def test_the_case_of_an_option_does_not_hide_it(run):
    assert "model=MMoE: did you mean 'mmoe'?" in run("sweep", "model=MMoE").err


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


@pytest.mark.slow
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
    for command in ("data", "--help", "sweep --cfg job"):
        piped = f"mmoe-repro {command} | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_output_that_takes_no_more_is_named(process):
    outcome = process("-c", "mmoe-repro --help > /dev/full", command=("bash",))
    assert outcome.status == 1
    assert outcome.err == "mmoe-repro: standard output: No space left on device; make room\n"


def test_characters_that_a_terminal_does_not_have_become_plainer(process):
    meant, shown = process("sweep", "-h").out, process("sweep", "-h", env={"PYTHONIOENCODING": "ascii"}).out
    assert not meant.isascii() and shown.isascii() and "?" not in shown
    assert meant.splitlines()[0] == shown.splitlines()[0]


def test_a_deleted_folder_is_named(process):
    outcome = process("-c", "mkdir gone; cd gone; rmdir ../gone; mmoe-repro list", command=("bash",))
    assert (outcome.status, outcome.err) == (2, "mmoe-repro: the current folder was deleted; cd to one that exists\n")


def test_it_works_without_assertions(process):
    """Which Hydra's parser of `choice(…)` does not, nor descriptions that are read from docstrings."""
    outcome = process("sweep", "--cfg", "job", "data.correlation=choice(0.2,1)", env={"PYTHONOPTIMIZE": "2"})
    assert (outcome.status, outcome.err) == (0, "") and "correlation: 0.2" in outcome.out


@pytest.mark.parametrize("path", sorted((REPOSITORY / "conf/data").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_data_law_opens_with_its_source(path):
    assert path.read_text().startswith("# Source: ")


def test_sigterm_inside_of_what_python_ignores_errors_of_ends_it_after_all(run, monkeypatch):
    class Deleted:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def work(arguments):
        Deleted()
        time.sleep(20)
        return 0

    monkeypatch.setattr(cli, "_dispatch", work)
    outcome = run("sweep")
    assert outcome.status == 128 + signal.SIGTERM
    assert outcome.err == "\nmmoe-repro: stopped; the same command goes on from here\n"


def test_of_a_reference_to_no_setting_the_override_is_named(run):
    outcome = run("sweep", "name=${nope}")  # of which Hydra names the folder that the name is in
    assert (outcome.status, outcome.err) == (2, "mmoe-repro: name=${nope}: there is no setting nope\n")
