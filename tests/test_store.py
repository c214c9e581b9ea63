"""Files are whole or absent, damage is noticed, and one process at a time trains a chunk."""

import multiprocessing
import os

import pandas as pd
import pytest

from mmoe_repro.config import Cell
from mmoe_repro.store import CellStore, write_atomically

CELL = Cell("mmoe", "linear", {"data": {"correlation": 0.5}, "training": {"learning_rate": 0.01}})
MADE_WITH = {"chunk_size": 10, "compiled": False, "versions": {}}
RUNS = pd.DataFrame({"seed": [10, 11], "final_loss": [0.1, 0.2], "curve": [[0.3, 0.1], [0.4, 0.2]]})


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path, CELL, MADE_WITH)


def test_chunks_are_aligned_blocks_of_seeds(store):
    assert store.chunks([3, 12, 19]) == [range(0, 10), range(10, 20)]


def test_the_first_recorded_settings_stay(store, tmp_path):
    again = CellStore(tmp_path, CELL, {**MADE_WITH, "chunk_size": 99, "compiled": True})
    assert (again.chunk_size, again.compiled) == (10, False)


def test_a_saved_chunk_is_found_and_its_checkpoint_dropped(store):
    chunk = range(10, 20)
    assert store.find(chunk) is None and store.load(chunk) is None
    store.save_checkpoint(chunk, b"half")
    store.save(chunk, RUNS)
    assert store.find(range(0, 10)) is None
    assert store.load_checkpoint(chunk) is None
    loaded = store.load(chunk)
    assert loaded["final_loss"].tolist() == [0.1, 0.2]
    assert loaded["curve"].tolist()[1].tolist() == [0.4, 0.2]


def test_a_damaged_chunk_is_set_aside_by_name(store):
    chunk = range(10, 20)
    store.save(chunk, RUNS)
    assert store.set_damaged_aside(chunk) is None
    path = store.find(chunk)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    aside = store.set_damaged_aside(chunk)
    assert aside.exists() and aside.name == path.with_suffix(".damaged").name
    assert store.find(chunk) is None


def test_a_damaged_checkpoint_is_not_gone_on_from(store):
    chunk = range(10, 20)
    store.save_checkpoint(chunk, b"state")
    assert store.load_checkpoint(chunk) == b"state"
    path = next(store.folder.glob("*.checkpoint"))
    path.write_bytes(path.read_bytes()[:-1])
    assert store.load_checkpoint(chunk) is None


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def _hold(store, chunk, held, release):
    with store.lock(chunk, lambda: None):
        held.set()
        release.wait(30)


def test_a_second_process_waits_for_the_first(store):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(store, range(0, 10), held, release))
    first.start()
    assert held.wait(60)
    waits = []

    def blocked():
        waits.append(1)
        release.set()

    with store.lock(range(10, 20), blocked):
        assert not waits, "another chunk is free"
    with store.lock(range(0, 10), blocked):
        assert waits
    first.join(30)
    assert first.exitcode == 0
