"""`mmoe-repro sweep` from the user's side."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import assert_same
from helpers import SMALL, one_in
from omegaconf import OmegaConf

from mmoe_repro.commands import outputs
from mmoe_repro.errors import DrawingError
from mmoe_repro.jobs import checks
from mmoe_repro.training import chunk

MMOE = ("model=mmoe", "data.correlation=0.5", *SMALL)


def read(folder, name):
    return pd.read_parquet(folder / name) if name.endswith("parquet") else pd.read_csv(folder / name)


def chunk_files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/runs-*.parquet")}


MAIN_JOB = ("sweep", *SMALL, "training.learning_rate=0.01")


@pytest.mark.slow
def test_the_main_job_leaves_all_figures(process, tmp_path):
    outcome = process(*MAIN_JOB)
    assert outcome.status == 0, outcome.err
    figures = tmp_path / "results/sweep/figures"
    for figure in ("curves", "histograms", "spread", "correlation", "gates"):
        assert (figures / f"{figure}.png").stat().st_size > 10_000
        assert (figures / f"{figure}.svg").read_text().rstrip().endswith("</svg>")


def test_the_main_job_leaves_all_tables(run, tmp_path):
    outcome = run(*MAIN_JOB)
    assert outcome.status == 0, outcome.err
    results = tmp_path / "results" / "sweep"
    runs, curves = read(results, "runs.parquet"), read(results, "curves.parquet")
    keys = ["cell", "model", "data", "correlation", "learning_rate"]
    outcomes = ["initial_loss", "final_loss", "test_loss", "diverged", "stuck", "dead_units"]
    of_gates = ["gate_entropy", "gate_divergence", "experts_used"]
    outcomes += [*of_gates, "seconds"]
    assert list(runs.columns) == [*keys, "seed", "task", *outcomes]
    assert list(curves.columns) == [*keys, "seed", "task", "step", "loss"]
    assert len(runs) == 9 * 10 * 2
    assert len(curves) == 9 * 10 * 2 * 4
    assert sorted(curves["step"].unique()) == [0, 10, 20, 30]
    assert not runs.drop(columns=of_gates).isna().any().any()
    with_gates = runs["model"] != "shared_bottom"
    assert runs.loc[with_gates, of_gates].notna().all().all() and runs.loc[~with_gates, of_gates].isna().all().all()
    assert (runs.loc[runs["model"] == "omoe", "gate_divergence"].abs() < 1e-6).all()
    gates = read(results, "gates.parquet")
    assert list(gates.columns) == [*keys, "seed", "task", "expert", "weight"]
    assert len(gates) == 6 * 10 * 2 * 8
    np.testing.assert_allclose(gates.groupby(["cell", "seed", "task"])["weight"].sum(), 1, rtol=1e-5)
    last = curves[curves["step"] == 30]["loss"].to_numpy()
    np.testing.assert_allclose(runs["final_loss"], last, rtol=1e-6)

    assert outcome.out.startswith("Sweep    9 cells, 90 runs: none stored, 90 to train in 1 process\n")
    *_, settles, figure3 = outcome.out.rstrip().splitlines()
    _, _, sentence = outcome.out.rpartition("\nOf the paper's 9 claims ")
    assert " is untested (F3).\n" in sentence, "what it comes to, in one sentence"
    assert "settle" in settles and "mmoe-repro sweep" in settles
    assert "experiment=recovered_figure3" in figure3

    losses = read(results, "losses.csv")
    assert list(losses.columns) == [
        *(
            "cell",
            "model",
            "correlation",
            "learning_rate",
            "chosen",
            "task",
            "loss",
            "label_pearson",
            "runs",
            "diverged",
        ),
        *("mean", "mean_low", "mean_high", "sd", "sd_low", "sd_high", "median", "iqm", "best", "worst", "stuck"),
    ]
    assert len(losses) == 9 * 2 * 2
    row = losses.query("model == 'omoe' and correlation == 0.9 and task == 2 and loss == 'test'").iloc[0]
    sample = runs.query("model == 'omoe' and correlation == 0.9 and task == 2")["test_loss"]
    assert row["mean"] == pytest.approx(sample.mean())
    assert row["sd"] == pytest.approx(sample.std())
    assert row["mean_low"] < row["mean"] < row["mean_high"]
    assert (row["best"], row["worst"]) == (pytest.approx(sample.min()), pytest.approx(sample.max()))
    assert row["label_pearson"] == pytest.approx(0.3058, abs=1e-4)
    assert row["chosen"]

    config = OmegaConf.load(results / "config.yaml")
    assert [cell.seeds for cell in config.cells] == [["0-9"]] * 9
    assert json.loads((results / "environment.json").read_text())["torch"] == version("torch")
    assert sorted(path.name for path in results.iterdir()) == sorted(
        [
            ".lock",
            "cells",
            "config.yaml",
            "environment.json",
            "manifest.json",
            "report.html",
            "runs.parquet",
            "curves.parquet",
            "gates.parquet",
            "losses.csv",
            "losses.md",
            "verdicts.csv",
            "verdicts.md",
            "joint_outcomes.csv",
        ]
    )
    judged = read(results, "verdicts.csv")
    assert list(judged["id"]) == ["F2", "F3", "C1", "C2a", "C2b", "C3", "T1", "T2", "T3"]
    assert set(judged["verdict"]) <= {"reproduced", "contradicted", "inconclusive", "untested"}
    verdicts = judged.set_index("id")["verdict"]
    assert list(verdicts[verdicts == "untested"].index) == ["F3"], "which is about Figure 3's small network"
    mean = runs[runs["task"] == 1].groupby(["model", "correlation"])["final_loss"].mean()
    effects = [mean[model, 0.5] / mean[model, 1.0] for model in ("shared_bottom", "omoe", "mmoe")]
    assert judged.set_index("id").at["C1", "effect"] in [pytest.approx(effect) for effect in effects]
    assert "is lower where the tasks are more alike" in (results / "verdicts.md").read_text()
    lines = outcome.out.splitlines()
    for name, verdict in zip(judged["id"], judged["verdict"], strict=True):
        assert any(line.split()[:2] == [name, verdict] for line in lines)
    assert sum(line.startswith(("shared_bottom", "omoe", "mmoe")) for line in lines) == 9
    assert any("results/sweep/figures" in line for line in lines)
    assert max(len(line) for line in lines if "mmoe-repro" not in line) <= 80, "a command is one line, to be copied"


def test_the_same_command_trains_nothing_and_gives_the_same(run, tmp_path, monkeypatch):
    assert run("sweep", *MMOE, "name=a").status == 0
    before = chunk_files(tmp_path / "results/a")
    (tmp_path / "results/a").rename(tmp_path / "results/b")
    assert run("sweep", *MMOE, "name=a").status == 0
    assert_same(tmp_path / "results/a", tmp_path / "results/b")
    monkeypatch.setattr(checks, "check_model", None)  # which takes longest of what is left, and was done before
    assert run("sweep", *MMOE, "name=b").status == 0
    assert [time for time in chunk_files(tmp_path / "results/b").values()] == list(before.values())
    assert_same(tmp_path / "results/a", tmp_path / "results/b")


def test_more_runs_train_only_the_missing_ones(run, tmp_path):
    results = tmp_path / "results/sweep"
    run("sweep", *MMOE)
    first, before = read(results, "runs.parquet"), chunk_files(results)
    assert run("sweep", *MMOE, "runs=25").status == 0
    after = chunk_files(results)
    assert {path: after[path] for path in before} == before
    assert len(after) == 3
    more = read(results, "runs.parquet")
    assert sorted(more["seed"].unique()) == list(range(25))
    pd.testing.assert_frame_equal(more[more["seed"] < 10].reset_index(drop=True), first)


def test_seeds_as_a_list_are_jobs_of_one_cell(run, tmp_path):
    assert run("sweep", *MMOE, "seed=0,100").status == 0
    runs = read(tmp_path / "results/sweep", "runs.parquet")
    assert sorted(runs["seed"].unique()) == [*range(10), *range(100, 110)]
    assert runs["cell"].nunique() == 1
    assert read(tmp_path / "results/sweep", "losses.csv")["runs"].tolist() == [20] * 4


@pytest.mark.slow
def test_every_swept_key_has_a_column(run, tmp_path):
    outcome = run("sweep", *MMOE, "model.experts=2,4", "data=figure2_m4,linear", "runs=2", "data.correlation=1")
    assert outcome.status == 0, outcome.err
    results = tmp_path / "results/sweep"
    runs, losses = read(results, "runs.parquet"), read(results, "losses.csv")
    assert list(runs.columns[:6]) == ["cell", "model", "data", "correlation", "learning_rate", "model.experts"]
    assert sorted(runs["model.experts"].unique()) == [2, 4]
    assert runs["cell"].nunique() == 4
    assert list(losses.columns[:6]) == ["cell", "model", "data", "correlation", "learning_rate", "model.experts"]


RATES = ("training.learning_rate=0.000001,0.01",)


@pytest.mark.slow
def test_the_learning_rate_is_chosen_on_runs_of_its_own(run, tmp_path):
    """And only the chosen rates get their runs if asked."""
    outcome = run("sweep", *MMOE, *RATES, "tuning_runs=5", "runs=5", "name=all")
    assert outcome.status == 0, outcome.err
    everything, few = (tmp_path / "results" / name for name in ("all", "few"))
    losses, runs = read(everything, "losses.csv"), read(everything, "runs.parquet")
    assert runs["seed"].max() == 4
    assert losses.groupby("learning_rate")["chosen"].first().to_dict() == {0.000001: False, 0.01: True}
    assert "at the chosen learning rate" in outcome.out and "✓" in (everything / "losses.md").read_text()
    tuning = read(everything, "tuning.parquet")
    assert sorted(tuning["seed"].unique()) == list(range(1_000_000, 1_000_005))
    best = tuning.groupby("learning_rate")["test_loss"].mean().idxmin()
    assert best == 0.01

    outcome = run("sweep", *MMOE, *RATES, "tuning_runs=5", "runs=5", "name=few", "report_rates=chosen")
    assert outcome.status == 0, outcome.err
    of_few = read(few, "runs.parquet")
    assert set(of_few["learning_rate"]) == {0.01} and len(of_few) == 5 * 2
    chosen = runs[runs["learning_rate"] == 0.01].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_few.drop(columns="seconds"), chosen.drop(columns="seconds"), check_exact=True)
    assert set(read(few, "tuning.parquet")["learning_rate"]) == {0.000001, 0.01}
    assert read(few, "losses.csv")["chosen"].all()
    # All rates on request, from what is there.
    assert run("sweep", *MMOE, *RATES, "tuning_runs=5", "runs=5", "name=few").status == 0
    assert len(read(few, "runs.parquet")) == 2 * 5 * 2


@pytest.mark.slow
def test_where_no_runs_choose_none_is_chosen(run, tmp_path):
    untuned = run("sweep", *MMOE, *RATES, "runs=2")
    assert read(tmp_path / "results/sweep", "losses.csv")["chosen"].isna().all()
    assert "tuning_runs=50" in untuned.out
    assert "chosen" not in (tmp_path / "results/sweep/losses.md").read_text()


def test_a_run_that_diverges_is_counted_and_stops_nothing(run, tmp_path):
    outcome = run("sweep", *MMOE, "training.learning_rate=0.01,1e30", "runs=3")
    assert outcome.status == 0, outcome.err
    losses = read(tmp_path / "results/sweep", "losses.csv").set_index(["learning_rate", "task", "loss"])
    assert losses.loc[(1e30, 1, "final"), "diverged"] == 3
    assert np.isnan(losses.loc[(1e30, 1, "final"), "mean"])
    assert losses.loc[(0.01, 1, "final"), "diverged"] == 0
    assert "diverged" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    one_in(
        3,
        [
            (["model=mmoee"], "model=mmoee: did you mean 'mmoe'?"),
            (["model=mmoe,omo"], "model=omo: did you mean 'omoe'?"),
            (["data=glob(*)", "runs=0"], "runs=0: must be at least 1"),
            (["data=figure2"], "data=figure2: did you mean 'figure2_m4'?"),
            (["data.corelation=0.5"], "data.corelation: no such setting in data; did you mean 'correlation'?"),
            (["training.learning_rat=0.1"], "did you mean 'learning_rate'?"),
            (["run=3"], "did you mean 'runs'?"),
            (["model=mmoe", "model.expertts=3"], "did you mean 'experts'?"),
            (["data.correlation=0.5,1.5"], "data.correlation=1.5: must be in [-1, 1]"),
            (["runs=0"], "runs=0: must be at least 1"),
            (["runs=ten"], "runs"),
            (["report_rates=best"], "report_rates=best: must be all or chosen"),
            (["report_rates=chosen"], "tuning_runs=0: must be at least 1 with report_rates=chosen"),
            (["seed=-1"], "seed=-1"),
            (["seed=999999"], "seed=999999"),
            (["training.learning_rate=0.1,-1"], "training.learning_rate=-1"),
            (["training.learning_rate=nan"], "training.learning_rate=nan"),
            (["data.alpha=[1,2]"], "data.alpha has 2 values and data.beta 7"),
            (["training.window=300"], "training.window=300: must be a divisor of training.steps=10000"),
            (["training.device=gpu"], "training.device=gpu: must be auto, cpu or cuda"),
            (["training.optimizer.betas=[0.9]"], "training.optimizer.betas=[0.9]"),
            (["model.initializer=glorot"], "did you mean 'glorot_uniform'?"),
            (["model=mmoe", "model.experts=0"], "0 networks of widths [16]"),
            (["name=../up"], "name=../up: must be a plain folder name"),
            (["name=a,b"], "name: one sweep has one name"),
            (["experiment=paper,figure4"], "experiment: one sweep has one experiment"),
            (["experiment=papr"], "experiment=papr: did you mean 'paper'?"),
            (["models=mmoe"], "models"),
            (["data.tasks=3", "data.correlation=-0.9"], "data.correlation=-0.9: must be in [-0.5, 1] for 3 tasks"),
            (["--config-dir", "nowhere"], "nowhere: there is no such folder"),
            (["runs"], "runs"),
            (["+x=1"], "x: no such setting"),
            (["+training.batchsize=1"], "training.batchsize: no such setting; did you mean 'batch_size'?"),
            (["model=mmoe", "model.bias=maybe"], "model.bias"),
            (["model=shared_bottom", "model.bottom=113"], "model.bottom: must be a list: model.bottom=[...]"),
            (["model=mmoe", "model.tower=[]"], "hidden layers of widths []"),
            (["model=null"], "must be the name of an option"),
            (["model=[mmoe,omoe]"], "must be the name of an option"),
            (["data.examples="], "data.examples"),
        ],
    ),
)
def test_bad_input_is_refused_in_one_line_before_any_training(run, tmp_path, arguments, says):
    outcome = run("sweep", *arguments)
    assert outcome.status == 2, outcome.err
    assert says in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert outcome.err.startswith("mmoe-repro: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_refused_where_there_is_none(run, tmp_path):
    outcome = run("sweep", "training.device=cuda")
    assert outcome.status == 2
    assert "there is no CUDA device here" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_auto_is_the_cpu_where_there_is_no_gpu(run, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run("sweep", *MMOE).status == 0
    before = chunk_files(tmp_path / "results/sweep")
    assert run("sweep", *MMOE, "training.device=auto").status == 0
    assert chunk_files(tmp_path / "results/sweep") == before


def test_a_folder_that_cannot_be_written_to_is_refused(run, tmp_path):
    (tmp_path / "results").write_text("in the way")
    outcome = run("sweep", *SMALL)
    assert outcome.status == 2
    assert outcome.err.startswith("mmoe-repro: results")
    assert len(outcome.err.strip().splitlines()) == 1


def test_a_file_system_without_locks_is_refused(run, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def none(file, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    outcome = run("sweep", *MMOE)
    assert outcome.status == 2
    assert outcome.err.startswith("mmoe-repro: results/sweep: its file system has no file locks (Function not")
    assert len(outcome.err.strip().splitlines()) == 1
    assert chunk_files(tmp_path / "results/sweep") == {}


def test_a_damaged_file_is_named_and_its_runs_trained_again(run, tmp_path):
    run("sweep", *MMOE)
    results = tmp_path / "results/sweep"
    (path,) = chunk_files(results)
    undamaged = shutil.copytree(results, tmp_path / "undamaged")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    outcome = run("sweep", *MMOE, "name=sweep")
    assert outcome.status == 0
    assert str(path.with_suffix(".damaged").relative_to(tmp_path)) in outcome.err
    assert_same(results, undamaged)


def test_a_damaged_record_is_named_and_written_anew(run, tmp_path):
    run("sweep", *MMOE)
    (record,) = tmp_path.glob("results/sweep/cells/*/cell.yaml")
    whole = record.read_text()
    record.write_text("")
    outcome = run("sweep", *MMOE)
    assert outcome.status == 0, outcome.err
    assert str(record.with_suffix(".damaged").relative_to(tmp_path)) in outcome.err
    assert record.read_text() == whole


@pytest.mark.slow
def test_runs_of_other_versions_are_named(run, tmp_path):
    run("sweep", *MMOE)
    (record,) = tmp_path.glob("results/sweep/cells/*/cell.yaml")
    recorded, _, _ = record.read_text().partition("# checksum")
    record.write_text(recorded.replace(f"torch: {version('torch')}", "torch: 1.0"))
    outcome = run("sweep", *MMOE, "runs=20")
    assert outcome.status == 0
    assert "was begun with" in outcome.err and "torch 1.0" in outcome.err


@pytest.mark.slow
def test_runs_of_several_kinds_of_processor_are_told(run, tmp_path, monkeypatch):
    monkeypatch.setattr(chunk, "processor", lambda device: "One")
    assert "processor" not in run("sweep", *MMOE).err
    monkeypatch.setattr(chunk, "processor", lambda device: "Two")
    outcome = run("sweep", *MMOE, "runs=20")
    assert outcome.status == 0
    assert "the runs are of 2 kinds of processor, whose last bits differ: One; Two" in outcome.err
    recorded = json.loads((tmp_path / "results/sweep/environment.json").read_text())
    assert recorded["processors"] == ["One", "Two"]
    assert "processors One; Two" in (tmp_path / "results/sweep/report.html").read_text()


@pytest.mark.slow
def test_an_unknown_release_of_pytorch_trains_uncompiled_and_says_so_once(run, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "9.8.7")
    monkeypatch.setattr(chunk, "COMPILED_FROM_STEPS", 40)
    long = ("sweep", "model=mmoe,omoe", *MMOE[1:], "runs=2")
    outcome = run(*long)
    assert outcome.status == 0, outcome.err
    assert outcome.err.count("9.8.7") == 1 and "training goes without, slower" in outcome.err
    records = [OmegaConf.load(path) for path in tmp_path.glob("results/sweep/cells/*/cell.yaml")]
    assert [record.compiled for record in records] == [False, False]
    assert run(*long).err == "", "there is nothing left to train"
    short = run("sweep", *MMOE, "training.steps=30", "name=short", "runs=2")
    assert "9.8.7" not in short.err, "it would not have been compiled"


def test_null_is_a_value_like_any_other(run, tmp_path):
    outcome = run("sweep", *MMOE, "data.examples=null,64", "runs=2")
    assert outcome.status == 0, outcome.err
    examples = read(tmp_path / "results/sweep", "runs.parquet")["data.examples"]
    assert examples.isna().sum() == 4 and set(examples.dropna()) == {64}


def test_figures_that_fail_cost_neither_tables_nor_verdicts(run, tmp_path, monkeypatch):
    def fails(results, findings):
        raise DrawingError("could not draw curves (no font)")

    monkeypatch.setattr(outputs, "write_figures", fails)
    outcome = run("sweep", *MMOE)
    assert outcome.status == 1
    assert outcome.err.endswith("mmoe-repro: could not draw curves (no font)\n")
    assert "Page     results/sweep/report.html" in outcome.out
    for name in ("verdicts.csv", "losses.csv", "report.html", "manifest.json"):
        assert (tmp_path / "results/sweep" / name).exists()


@pytest.mark.slow
def test_a_full_disk_ends_with_a_clear_line_and_loses_nothing(run, process, tmp_path):
    import resource

    assert run("sweep", *MMOE).status == 0
    before = chunk_files(tmp_path / "results/sweep")

    def limit():  # a file over this size cannot be written, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    outcome = process("sweep", *MMOE, "runs=30", preexec_fn=limit)
    assert outcome.status == 1
    assert "results/sweep/cells/" in outcome.err and "what is stored is safe" in outcome.err
    assert "Traceback" not in outcome.err
    assert chunk_files(tmp_path / "results/sweep") == before
    outcome = run("sweep", *MMOE, "runs=30")
    assert outcome.status == 0, outcome.err


#: The command line with a checkpoint after every block of steps.
CHECKPOINTING = """
import sys
from mmoe_repro.training import chunk as cell
from mmoe_repro import cli
cell.CHECKPOINT_SECONDS = 0.0
sys.argv[0] = "mmoe-repro"
sys.exit(cli.main())
"""


@pytest.mark.slow
def test_killed_at_any_instant_it_goes_on_to_the_same_bits(run, tmp_path):
    arguments = ("sweep", *MMOE, "training.steps=600")
    assert run(*arguments, "name=undisturbed").status == 0
    for delay in (0.0, 0.11, 0.25):
        killed = subprocess.Popen(
            [sys.executable, "-c", CHECKPOINTING, *arguments, "name=killed"], cwd=tmp_path, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("results/killed/cells/*/*.checkpoint")):
            assert killed.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(delay)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert not (tmp_path / "results/killed/runs.parquet").exists()
    assert run(*arguments, "name=killed").status == 0
    assert_same(tmp_path / "results/undisturbed", tmp_path / "results/killed")
    left = [path.name for path in tmp_path.glob("results/killed/cells/*/*")]
    assert sorted(name.split("-")[0] for name in left) == ["cell.yaml", "runs"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find child processes")
def test_workers_end_with_a_killed_main_process(tmp_path):
    main = subprocess.Popen(
        ["mmoe-repro", "sweep", "training.steps=1900", "runs=200", "workers=2"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("results/sweep/cells/*/*.lock"))) < 2:
        assert main.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    of_threads = Path(f"/proc/{main.pid}/task").glob("*/children")
    children = [int(pid) for path in of_threads for pid in path.read_text().split()]
    assert children
    main.send_signal(signal.SIGKILL)
    main.wait()
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_it_with_what_the_workers_did_stored(tmp_path, order):
    main = subprocess.Popen(
        ["mmoe-repro", "sweep", "training.steps=1900", "runs=200", "workers=2"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("results/sweep/cells/*/*.lock"))) < 2:
        assert main.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(main.pid, order)  # as a terminal and a job scheduler do
    _, errors = main.communicate(timeout=120)
    assert main.returncode == 128 + order
    *_, last = errors.splitlines()  # after those of the progress bar, if that took so long
    assert last == "mmoe-repro: stopped; the same command goes on from here"
    assert list(tmp_path.glob("results/sweep/cells/*/*.checkpoint"))


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_two_processes_on_the_same_cell_share_the_work(run, tmp_path):
    command = ["mmoe-repro", "sweep", *MMOE, "runs=20"]
    both = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)
    ]
    errors = [process.communicate(timeout=240)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert run(*command[1:], "name=alone").status == 0
    assert_same(tmp_path / "results/sweep", tmp_path / "results/alone")
    assert len(chunk_files(tmp_path / "results/sweep")) == 2


@pytest.mark.slow
def test_processes_and_threads_do_not_change_the_bits(run, process, tmp_path):
    arguments = ("sweep", *MMOE, "runs=20")
    assert run(*arguments, "workers=1", "name=one").status == 0
    assert process(*arguments, "workers=2", "name=two", env={"OMP_NUM_THREADS": "2"}).status == 0
    assert_same(tmp_path / "results/one", tmp_path / "results/two")


MY_NET = """
from torch import nn

class MyNet(nn.Module):
    def __init__(self, features, tasks, width):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Linear(width, tasks))

    def forward(self, x):
        return self.net(x)
"""
MY_YAML = "_target_: my_net.MyNet\nfeatures: ${data.dimension}\ntasks: ${data.tasks}\nwidth: 8\n"


def test_a_swept_key_of_ones_own_model(run, tmp_path):
    (tmp_path / "my_net.py").write_text(MY_NET)
    (tmp_path / "my_conf/model").mkdir(parents=True)
    (tmp_path / "my_conf/model/my_net.yaml").write_text(MY_YAML)
    sys.modules.pop("my_net", None)
    # A key that the default model does not have.
    outcome = run("sweep", "model=my_net", "model.width=3,4", "--config-dir=my_conf", *SMALL, "data.correlation=0")
    assert outcome.status == 0, outcome.err
    assert set(read(tmp_path / "results/sweep", "runs.parquet")["model.width"]) == {3, 4}


def test_edited_code_is_trained_anew(run, tmp_path):
    (tmp_path / "my_net.py").write_text(MY_NET)
    (tmp_path / "my_conf/model").mkdir(parents=True)
    (tmp_path / "my_conf/model/my_net.yaml").write_text(MY_YAML)
    own = ("sweep", "model=my_net", "--config-dir", "my_conf", "data.correlation=0.5", *SMALL)
    losses = []
    for net in (MY_NET, MY_NET.replace("Tanh", "ReLU")):
        (tmp_path / "my_net.py").write_text(net)
        sys.modules.pop("my_net", None)
        assert run(*own).status == 0
        losses.append(read(tmp_path / "results/sweep", "losses.csv")["mean"][0])
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("yaml", "net", "says"),
    one_in(
        3,
        [
            (MY_YAML.replace("my_net.", "my_nets."), MY_NET, "model=my_net: my_nets.MyNet: "),
            (MY_YAML, MY_NET.replace("width, tasks)", "width, 1)"), "model=my_net: predicts (3, 1) for 3 examples"),
            (MY_YAML, MY_NET.replace("Linear(width,", "Linear(width + 1,"), "model=my_net: cannot predict"),
            (MY_YAML.replace("width: 8", "wide: 8"), MY_NET, "model=my_net: my_net.MyNet: "),
            (MY_YAML, MY_NET.replace("self.net(x)", "self.nett(x)"), "no attribute 'nett'"),
            (MY_YAML, MY_NET.replace("self.net(x)", "(self.net(x), x)"), "model=my_net: predicts tuple"),
            (MY_YAML, MY_NET.replace("nn.Tanh()", "nn.Dropout()"), "population: it draws random numbers; take them as"),
            (
                MY_YAML,
                MY_NET.replace("nn.Tanh()", "nn.BatchNorm1d(width)"),
                "which a population cannot stack; without running",
            ),
            (
                MY_YAML,
                MY_NET.replace("return", "x = x if x.sum() > 0 else -x; return"),
                "an if, .item()); use torch.where",
            ),
            (MY_YAML, MY_NET.replace("return", "x = x * len(x[x > 0]); return"), "(a boolean mask); use torch.where"),
            (
                MY_YAML,
                MY_NET.replace("net(x)", "net[0](x)[:, :2]"),
                "model=my_net: net.2.weight gets no gradient; use it",
            ),
            (
                MY_YAML,
                MY_NET.replace("net(x)", "net(x).detach()"),
                "model=my_net: has no parameter that can be trained",
            ),
            (MY_YAML.replace("width", "width: ["), MY_NET, "my_net.yaml"),
        ],
    ),
)
def test_a_model_that_does_not_fit_is_refused_by_name(run, tmp_path, yaml, net, says):
    (tmp_path / "my_net.py").write_text(net)
    (tmp_path / "my_conf/model").mkdir(parents=True)
    (tmp_path / "my_conf/model/my_net.yaml").write_text(yaml)
    sys.modules.pop("my_net", None)
    outcome = run("sweep", "model=mmoe,my_net", "data.correlation=0.5", "--config-dir", "my_conf", *SMALL)
    assert outcome.status == 2
    assert says in outcome.err and len(outcome.err.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


MY_LAW = """
import torch

class MyLaw:
    dimension, tasks, examples, correlation = 20, 2, None, 0.5
    normals = 20, 2

    def __init__(self, correlation, dimension, tasks):
        pass

    def weights(self, generator, dtype):
        return torch.randn(20, 2, dtype=dtype, generator=generator)

    def draw(self, weights, x, noise):
        return x.abs(), x @ weights + noise
"""
MY_LAW_YAML = "_target_: my_law.MyLaw\ndimension: 20\ntasks: 2\ncorrelation: 0.5\n"


def own_law(folder, code):
    (folder / "my_law.py").write_text(code)
    (folder / "my_conf/data").mkdir(parents=True)
    (folder / "my_conf/data/my_law.yaml").write_text(MY_LAW_YAML)
    sys.modules.pop("my_law", None)


def test_ones_own_law(run, tmp_path):
    own_law(tmp_path, MY_LAW)
    small = SMALL[1:]  # a law of one's own says its dimension itself
    outcome = run("sweep", "data=my_law", "model=mmoe", "--config-dir", "my_conf", *small)
    assert outcome.status == 0, outcome.err
    assert "Code     runs my_law.MyLaw, which is not of this program\n" in outcome.out
    assert set(read(tmp_path / "results/sweep", "runs.parquet")["data"]) == {"my_law"}


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("normals = 20, 2", "pass", "data=my_law: cannot draw examples: AttributeError"),
        ("draw(self, weights, x, noise)", "draw(self, count, weights)", "data=my_law: cannot draw examples: TypeError"),
        ("weights + noise", "weights[:, :1] + noise[:, :1]", "labels (16, 1); must be (16, 20) and (16, 2)"),
        ("x.abs()", "x[:, :3]", "data=my_law: draws features (16, 3)"),
    ],
)
def test_a_law_that_does_not_fit_is_refused_by_name(run, tmp_path, before, after, says):
    own_law(tmp_path, MY_LAW.replace(before, after))
    outcome = run("sweep", "data=my_law", "model=mmoe", "--config-dir", "my_conf", *SMALL[1:])
    assert outcome.status == 2
    assert says in outcome.err and len(outcome.err.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_a_file_that_a_built_in_one_would_hide_is_refused(run, tmp_path):
    (tmp_path / "my_conf/model").mkdir(parents=True)
    (tmp_path / "my_conf/model/mmoe.yaml").write_text(MY_YAML)
    outcome = run("sweep", "model=mmoe", "--config-dir", "my_conf", *SMALL)
    assert outcome.status == 2
    assert "my_conf/model/mmoe.yaml: a built-in option has this name" in outcome.err


@pytest.mark.slow
def test_more_tasks_and_features(run, tmp_path):
    outcome = run("sweep", *MMOE, "data.tasks=3", "data.dimension=12", "model=shared_bottom,omoe,mmoe", "runs=2")
    assert outcome.status == 0, outcome.err
    assert sorted(read(tmp_path / "results/sweep", "runs.parquet")["task"].unique()) == [1, 2, 3]
