"""Sweeps on real engines of two nodes on this machine: the same bits as without, whatever happens to jobs."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import assert_same
from helpers import SMALL

pytestmark = pytest.mark.xdist_group("cluster")  # there is one of each engine
HERE = Path(__file__).parent
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
#: Twenty runs of one cell, which take long enough for something to happen to them.
SWEEP = ("sweep", "model=mmoe", "data.correlation=0.5", *SMALL, "runs=20", "training.batch_size=256")
SWEEP += ("training.steps=1000", "training.window=100")
SLURM = ("cluster=slurm", "runs_per_job=10")
RAY = ("cluster=ray", "runs_per_job=10")
RAY_PORT = 6399  # Ray's own processes take those from 10,000 on
RAY_ADDRESS = f"127.0.0.1:{RAY_PORT}"


class Command:
    """`mmoe-repro` in a folder of its own."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, {**environment, "PATH": PATH}

    def start(self, *arguments):
        self.started = time.monotonic()
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(["mmoe-repro", *arguments], cwd=self.folder, env=self.environment, **pipes)

    def __call__(self, *arguments):
        return ended(self.start(*arguments))

    def training(self, variable):
        """Ids of the processes whose environment has this setting and which hold a chunk in the folder."""
        if not list(self.folder.glob("results/*/cells/*/*.lock")):
            return []
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is(pid, variable)]

    def _is(self, pid, variable):
        try:
            maps = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
            return variable.encode() in Path(f"/proc/{pid}/environ").read_bytes() and any(
                path.endswith(".lock") and path.startswith(str(self.folder)) for path in maps
            )
        except OSError:
            return False


def ended(process):
    out, err = process.communicate(timeout=240)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def until(condition, seconds=120.0):
    """Wait for a condition and return what it gives."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def stored(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("cells/*/runs-*.parquet")}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The results without a cluster."""
    command = Command(tmp_path_factory.mktemp("undisturbed"), os.environ)
    assert command(*SWEEP).returncode == 0
    return command.folder / "results/sweep"


@pytest.mark.parametrize(("cluster", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_the_settings_that_the_guide_names_are_there(run, cluster, package):
    pytest.importorskip(package)
    guide = (HERE.parents[1] / "docs/cluster.md").read_text()
    (section,) = re.findall(rf"## {cluster}\n(.*?)\n## ", guide, re.DOTALL | re.IGNORECASE)
    named = re.findall(r"[\w.]+launcher[\w.]+=\w+|runs_per_job=\d+", section)
    assert named
    outcome = run("sweep", f"cluster={cluster}", *named, "--cfg", "hydra")
    assert outcome.status == 0, outcome.err
    for setting in named:
        key, _, value = setting.rpartition(".")[2].partition("=")
        assert key == "runs_per_job" or f"{key}: {value}" in outcome.out


# -- Slurm ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """The environment of a Slurm cluster."""
    for program in ("slurmctld", "slurmd", "slurmdbd", "mariadbd", "munged"):
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"no {program}: apt-get install the packages that tests/cluster/slurm_up.sh names")
    if find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        pytest.skip("no submitit: pip install -e '.[slurm]'")
    if os.geteuid() != 0:
        pytest.skip("starting Slurm takes root")
    home = tmp_path_factory.mktemp("slurm")
    environment = {**os.environ, "SLURM_CONF": str(home / "slurm.conf"), "PATH": PATH}
    subprocess.run(["bash", HERE / "slurm_up.sh", home], env=environment, check=True, timeout=120)
    yield environment
    subprocess.run(["bash", HERE / "slurm_down.sh", home], env=environment, check=False)


@pytest.fixture
def on_slurm(slurm, tmp_path):
    return Command(tmp_path, slurm)


def asked(command, *words):
    return subprocess.run(words, env=command.environment, capture_output=True, text=True, check=True).stdout


def parts(outcome):
    """How many parts the Slurm job had that a command submitted."""
    lines = [line.split(" in ")[1] for line in outcome.stderr.splitlines() if "Slurm job" in line and "parts" in line]
    return int(lines[0].split()[0]) if lines else 0


def test_slurm_gives_the_same_bits_through_a_killed_job(on_slurm, undisturbed):
    # Without accounting, which some clusters lack: whoever asks for it gets an error.
    without = on_slurm.folder / "bin"
    without.mkdir()
    (without / "sacct").write_text("#!/bin/sh\nexit 1\n")
    (without / "sacct").chmod(0o755)
    on_slurm.environment["PATH"] = f"{without}:{PATH}"
    results = on_slurm.folder / "results/sweep"

    first = on_slurm.start(*SWEEP, *SLURM)
    (job,) = until(lambda: on_slurm.training("SLURM_ARRAY_TASK_ID=0"))
    os.kill(job, signal.SIGKILL)
    outcome = ended(first)
    assert outcome.returncode == 1, outcome.stderr
    assert parts(outcome) == 2
    (line,) = [line for line in outcome.stderr.splitlines() if "_0 ended as FAILED" in line]
    assert Path(line.split("its log: ")[1]).exists()
    assert "10 runs are missing; the same command goes on from here" in outcome.stderr
    assert (results / "runs.parquet").exists() and (results / "report.html").exists()

    before = stored(results)
    second = on_slurm(*SWEEP, *SLURM)
    assert (second.returncode, parts(second)) == (0, 1), second.stderr
    assert before.items() < stored(results).items()
    assert_same(results, undisturbed)
    third = on_slurm(*SWEEP, *SLURM)
    assert (third.returncode, parts(third)) == (0, 0), third.stderr
    assert_same(results, undisturbed)


def test_a_preempted_job_goes_back_into_the_queue_and_ends_with_the_same_bits(on_slurm, undisturbed):
    sweep = on_slurm.start(*SWEEP, *SLURM)
    (job,) = until(lambda: on_slurm.training("SLURM_ARRAY_TASK_ID=1"))
    words = Path(f"/proc/{job}/environ").read_text().split("\0")
    environment = dict(word.split("=", 1) for word in words if "=" in word)
    part, step = f"{environment['SLURM_ARRAY_JOB_ID']}_1", f"slurmstepd: [{environment['SLURM_JOB_ID']}."
    asked(on_slurm, "scancel", "--signal=USR2", part)
    # A part that starts again before Slurm was told how it ended takes over that exit status.
    until(lambda: "Restarts=1" in asked(on_slurm, "scontrol", "show", "job", part) and not _runs(step))
    until(lambda: "PENDING" in asked(on_slurm, "squeue", "-h", "-r", "-j", part, "-o", "%T"))
    # Else in two minutes; at once would be too soon: a node refuses what was granted in the second of its last killing.
    asked(on_slurm, "scontrol", "update", f"jobid={part}", "StartTime=now+3")
    outcome = ended(sweep)
    assert outcome.returncode == 0, outcome.stderr
    assert_same(on_slurm.folder / "results/sweep", undisturbed)


def _runs(command):
    """Whether there is a process whose command line begins so."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_text(errors="replace").startswith(command):
                return True
    return False


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_empty_the_queue(on_slurm, order):
    sweep = on_slurm.start(*SWEEP, *SLURM)
    until(lambda: on_slurm.training("SLURM_ARRAY_TASK_ID=0"))
    sweep.send_signal(order)
    outcome = ended(sweep)
    assert outcome.returncode == 128 + order
    assert re.search(r"^mmoe-repro: Slurm job \d+ is cancelled; the same command goes on", outcome.stderr, re.MULTILINE)
    assert "Traceback" not in outcome.stderr
    until(lambda: not asked(on_slurm, "squeue", "--noheader"))


FAILING = """
import os

from torch import nn

class Failing(nn.Module):
    def __init__(self, features, tasks):
        super().__init__()
        self.net = nn.Linear(features, tasks)

    def forward(self, x):
        if "SLURM_JOB_ID" in os.environ:
            raise RuntimeError("the well is dry")
        return self.net(x)
"""


def test_a_module_that_raises_is_named_with_its_reason_and_the_others_are_in_the_tables(on_slurm):
    folder = on_slurm.folder
    (folder / "failing.py").write_text(FAILING)
    (folder / "own/model").mkdir(parents=True)
    (folder / "own/model/failing.yaml").write_text(
        "_target_: failing.Failing\nfeatures: ${data.dimension}\ntasks: ${data.tasks}\n"
    )
    sweep = ("sweep", "model=failing,mmoe", "data.correlation=0.5", *SMALL, "cluster=slurm")
    outcome = on_slurm(*sweep, "--config-dir", "own")
    assert outcome.returncode == 1, outcome.stderr
    (line,) = [line for line in outcome.stderr.splitlines() if "the well is dry" in line]
    assert line.startswith("mmoe-repro: failing-") and Path(line.split("its log: ")[1]).exists()
    assert parts(outcome) == 1, "both cells are short"
    assert "mmoe" in (folder / "results/sweep/losses.csv").read_text()


# -- Ray -----------------------------------------------------------------------------------------


@pytest.fixture
def on_ray(tmp_path):
    """The command in a folder of its own, on a Ray cluster."""
    if find_spec("hydra_plugins.hydra_ray_launcher") is None:
        pytest.skip("no Ray: pip install -e '.[ray]'")
    outside = {**os.environ, "PATH": PATH, "RAY_AUTH_MODE": "disabled"}
    environment = {**outside, "RAY_ADDRESS": RAY_ADDRESS}
    common = ["--block", "--num-cpus=1", "--object-store-memory=80000000"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    nodes = []
    try:
        for role in (["--head", f"--port={RAY_PORT}", "--include-dashboard=false"], [f"--address={RAY_ADDRESS}"]):
            nodes.append(subprocess.Popen(["ray", "start", *role, *common], env=outside, **quiet))
            until(lambda: _living_nodes(environment, nodes) == len(nodes))
        yield Command(tmp_path, environment)
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(60)


def _living_nodes(environment, nodes):
    assert all(node.poll() is None for node in nodes), "Ray did not start"
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", RAY_PORT)):
            return 0
    code = "import ray; ray.init(log_to_driver=False); print(sum(node['Alive'] for node in ray.nodes()))"
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    return int(answer.stdout.split()[-1]) if answer.returncode == 0 else 0


def test_a_ray_cluster_gives_the_same_bits_through_a_killed_worker(on_ray, undisturbed):
    sweep = on_ray.start(*SWEEP, *RAY)
    workers = until(lambda: on_ray.training("RAY_"))
    os.kill(workers[0], signal.SIGKILL)
    outcome = ended(sweep)
    assert outcome.returncode == 0, outcome.stderr
    assert_same(on_ray.folder / "results/sweep", undisturbed)


def test_ctrl_c_ends_rays_tasks_and_the_same_command_goes_on(on_ray, undisturbed):
    results = on_ray.folder / "results/sweep"
    sweep = on_ray.start(*SWEEP, *RAY)
    until(lambda: on_ray.training("RAY_"))
    sweep.send_signal(signal.SIGINT)
    outcome = ended(sweep)
    assert outcome.returncode == 130, outcome.stderr
    said = [line for line in outcome.stderr.splitlines() if line.startswith("mmoe-repro:")]
    assert said == ["mmoe-repro: Ray's tasks are cancelled; the same command goes on from here"], outcome.stderr
    assert "Traceback" not in outcome.stderr
    until(lambda: not on_ray.training("RAY_"))
    assert len(stored(results)) < 2, "no task trained on to its end"
    again = on_ray(*SWEEP, *RAY)
    assert again.returncode == 0, again.stderr
    assert_same(results, undisturbed)
