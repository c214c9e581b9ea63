"""Missing chunks as work units: found once each, shared out, named and recalled."""

from collections import Counter

import pytest
from helpers import cell_of, composed, net

from mmoe_repro.errors import UsageError
from mmoe_repro.jobs import units
from mmoe_repro.jobs.from_config import read_job
from mmoe_repro.training.chunk import open_store
from mmoe_repro.training.workers import Assignment

SHORT = ("training.steps=60", "training.window=20", "training.batch_size=4", "data.dimension=5", "model=mmoe")


def job_of(results, *overrides):
    config = composed(*SHORT, *overrides)
    return read_job(config, config.hydra.runtime.choices, results, overrides)


def assigned(cell, chunks):
    return [Assignment(None, cell, range(10 * number, 10 * number + 10)) for number in range(chunks)]


def sizes(jobs):
    return [len(job) for job in jobs]


def test_a_chunk_that_several_jobs_ask_for_is_missing_once(tmp_path):
    jobs = [job_of(tmp_path, "runs=12"), job_of(tmp_path, "seed=15", "runs=10"), job_of(tmp_path, "tuning_runs=1")]
    stores = {job.cell.identity: open_store(tmp_path, job.cell) for job in jobs}
    found, aside = units.missing(jobs, stores)
    assert [unit.chunk[0] for unit in found] == [0, 10, 20, 1_000_000] and aside == []


def test_jobs_have_the_runs_that_were_asked_for_in_whole_chunks():
    five = assigned(cell_of(*SHORT), 5)
    assert sizes(units.share_out(five, 20, cores=1)) == [2, 2, 1]
    assert sizes(units.share_out(five, 1, cores=1)) == [1] * 5
    shared = units.share_out(five, 1000, cores=1)
    assert shared == [five], "in order, each once"
    assert units.share_out([], 10, cores=1) == []


def test_a_job_takes_about_ten_minutes_by_what_was_measured_once_for_each_network(monkeypatch):
    measured = Counter()

    def measure(unit):
        measured[unit.cell.model.name] += 1
        return {"mmoe": 0.01, "shared_bottom": 0.06}[unit.cell.model.name]

    monkeypatch.setattr(units, "_measure", measure)
    minutes = [unit for p in (0.5, 0.9) for unit in assigned(cell_of("model=mmoe", f"data.correlation={p}"), 9)]
    long = assigned(cell_of("model=shared_bottom"), 3)
    # 10,000 steps: 100 s and 600 s a chunk.
    assert sizes(units.share_out([*minutes, *long], None, cores=1)) == [6, 6, 6, 1, 1, 1]
    assert measured == {"mmoe": 1, "shared_bottom": 1}
    assert sizes(units.share_out(minutes, None, cores=2)) == [12, 6]
    many = units.share_out(assigned(cell_of("model=shared_bottom"), 5000), None, cores=1)
    assert sizes(many) == [5] * 1000


def test_short_cells_share_a_job_by_a_real_measurement():
    short = [*assigned(cell_of(*SHORT), 2), *assigned(cell_of(*SHORT, "model=omoe"), 2)]
    assert units.share_out(short, None, cores=1) == [short]


def test_a_job_finds_its_units_by_their_names(tmp_path):
    job = job_of(tmp_path, "runs=25")
    found, _ = units.missing([job], {job.cell.identity: open_store(tmp_path, job.cell)})
    recalled = units.recall([units.name(unit) for unit in found], tmp_path)
    assert [unit.chunk for unit in recalled] == [unit.chunk for unit in found]
    assert {unit.cell.identity for unit in recalled} == {job.cell.identity}
    assert all(unit.cell.training == job.cell.training for unit in recalled)


def test_a_job_does_not_train_own_code_that_was_edited_after_it_was_launched(tmp_path, project):
    project(own=net())
    option = ("model=mmoe", "~model", "+model._target_=own.Net")
    config = composed("data.dimension=20", *option)
    cell = read_job(config, {**config.hydra.runtime.choices, "model": "own"}, tmp_path, option).cell
    named = units.name(Assignment(open_store(tmp_path, cell), cell, range(0, 10)))
    (unit,) = units.recall([named], tmp_path)
    assert unit.cell.sources == cell.sources != {}
    project(own=net(forward="factor = 2.0"))
    with pytest.raises(UsageError, match=r"own\.py: not what the sweep was begun with"):
        units.recall([named], tmp_path)
