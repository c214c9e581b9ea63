"""Files are whole or absent, damage is noticed, and one process at a time trains a chunk."""

import io
import multiprocessing
import os
from dataclasses import replace

import pandas as pd
import pytest
from helpers import cell_of, swept_cell

from mmoe_repro.runs.files import checksum, write_atomically, write_once
from mmoe_repro.runs.store import CellStore, stored_cell

CELL = swept_cell("mmoe", "linear")
MADE_WITH = {"chunk_size": 10, "compiled": False, "versions": {}}.copy
RUNS = pd.DataFrame({"seed": [10, 11], "final_loss": [0.1, 0.2], "curve": [[0.3, 0.1], [0.4, 0.2]]})


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path, CELL, MADE_WITH)


def test_chunks_are_aligned_blocks_of_seeds(store):
    assert store.chunks([3, 12, 19]) == [range(0, 10), range(10, 20)]


def test_the_first_recorded_settings_stay(store, tmp_path):
    again = CellStore(tmp_path, CELL, lambda: {**MADE_WITH(), "chunk_size": 99, "compiled": True})
    assert (again.chunk_size, again.compiled) == (10, False)


def test_a_cell_stays_uncompiled_unless_finished_runs_were_compiled(tmp_path):
    store = CellStore(tmp_path, CELL, lambda: {**MADE_WITH(), "compiled": True})
    assert store.keep_uncompiled() and not store.compiled
    again = CellStore(tmp_path, CELL, lambda: {**MADE_WITH(), "compiled": True})
    assert not again.compiled, "it is recorded"
    compiled = CellStore(tmp_path / "other", CELL, lambda: {**MADE_WITH(), "compiled": True})
    compiled.save(range(10, 20), RUNS)
    assert not compiled.keep_uncompiled() and compiled.compiled


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


def test_what_a_process_left_that_died_after_storing_a_chunk_is_dropped(store):
    store.save(range(10, 20), RUNS)
    for ending in (".lock", ".checkpoint"):
        store._path(range(10, 20), ending).touch()
    assert store.missing([12]) == ([], [])
    assert [path.suffix for path in store.folder.iterdir() if path.name != "cell.yaml"] == [".parquet"]


def test_a_damaged_chunk_is_set_aside_by_name(store):
    chunk = range(10, 20)
    store.save(chunk, RUNS)
    store.save(range(20, 30), RUNS)
    assert store.missing([3, 12, 25]) == ([range(0, 10)], [])
    path = store.find(chunk)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    aside = path.with_suffix(".damaged")
    assert store.missing([3, 12, 25]) == ([range(0, 10), chunk], [aside])
    assert aside.exists() and store.find(chunk) is None


def test_a_damaged_checkpoint_is_not_gone_on_from(store):
    chunk = range(10, 20)
    store.save_checkpoint(chunk, b"state")
    assert store.load_checkpoint(chunk) == b"state"
    path = next(store.folder.glob("*.checkpoint"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="is damaged"):
        store.load_checkpoint(chunk)
    other = path.with_name(path.name.replace("0000010-0000019", "0000020-0000029"))
    other.write_bytes(whole)
    with pytest.raises(ValueError, match="is damaged"):
        store.load_checkpoint(range(20, 30))


def test_another_cells_runs_or_other_seeds_are_not_taken_for_its_own(store, tmp_path):
    store.save(range(10, 20), RUNS)
    path = store.find(range(10, 20))
    other = CellStore(tmp_path, swept_cell("omoe", "linear"), MADE_WITH)
    (other.folder / path.name).write_bytes(path.read_bytes())
    assert other.load(range(10, 20)) is None
    (aside,) = other.missing([12])[1]
    assert aside.suffix == ".damaged" and other.find(range(10, 20)) is None
    moved = path.with_name(path.name.replace("0000010-0000019", "0000000-0000009"))
    moved.write_bytes(path.read_bytes())
    assert store.load(range(0, 10)) is None and store.load(range(10, 20)) is not None


def test_runs_of_an_earlier_version_are_read_though_they_do_not_say_whose_they_are(store):
    buffer = io.BytesIO()
    RUNS.to_parquet(buffer)
    content = buffer.getvalue()
    (store.folder / f"runs-0000010-0000019-{checksum(content)}.parquet").write_bytes(content)
    assert store.missing([10]) == ([], []) and len(store.load(range(10, 20))) == 2


@pytest.mark.parametrize("old, new", [("chunk_size: 10", "chunk_size: 11"), ("versions", "version")])
def test_an_altered_record_is_set_aside(store, tmp_path, old, new):
    record = store.folder / "cell.yaml"
    whole = record.read_text()
    record.write_text(whole.replace(old, new))
    again = CellStore(tmp_path, CELL, MADE_WITH)
    assert again.damaged_record is not None and again.damaged_record.exists()
    assert (again.chunk_size, record.read_text()) == (10, whole)


def test_the_record_of_an_earlier_version_has_no_checksum_and_sensible_values(store, tmp_path):
    record = store.folder / "cell.yaml"
    bare = record.read_text().partition("# checksum")[0]
    record.write_text(bare.replace("chunk_size: 10", "chunk_size: 5"))
    again = CellStore(tmp_path, CELL, MADE_WITH)
    assert again.damaged_record is None and again.chunk_size == 5
    record.write_text(bare.replace("chunk_size: 10", "chunk_size: 0"))
    assert CellStore(tmp_path, CELL, MADE_WITH).damaged_record is not None


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


def test_the_folder_is_written_to_disk_after_the_file_has_its_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "table.csv", []
    sync = os.fsync

    def note(descriptor):
        synced.append((os.path.isdir(f"/dev/fd/{descriptor}"), path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_atomically(path, b"new")
    assert synced == [(False, False), (True, True)]


def test_a_file_system_that_cannot_write_a_folder_to_disk_does_without(tmp_path, monkeypatch):
    sync = os.fsync

    def no_folders(descriptor):
        if os.path.isdir(f"/dev/fd/{descriptor}"):
            raise OSError(22, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", no_folders)
    write_atomically(tmp_path / "table.csv", b"new")
    assert (tmp_path / "table.csv").read_bytes() == b"new"


def _hold(store, chunk, held, release):
    with store.lock(chunk):
        held.set()
        release.wait(30)


def test_a_chunk_that_another_process_holds_is_not_held(store):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(store, range(0, 10), held, release))
    first.start()
    assert held.wait(60)
    with store.lock(range(10, 20)) as free:
        assert free
    with store.lock(range(0, 10)) as free:
        assert not free
    release.set()
    first.join(30)
    assert first.exitcode == 0
    with store.lock(range(0, 10)) as free:
        assert free


def _make(folder, number, ready, go):
    ready.release()
    go.wait(60)
    store = CellStore(folder, CELL, lambda: {**MADE_WITH(), "chunk_size": number})
    assert store.chunk_size in range(1, 9)


@pytest.mark.slow
def test_of_several_processes_one_makes_the_record_and_all_read_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    makers = [context.Process(target=_make, args=(tmp_path, number, ready, go)) for number in range(1, 5)]
    for maker in makers:
        maker.start()
    for _ in makers:
        assert ready.acquire(timeout=60)
    go.set()
    for maker in makers:
        maker.join(60)
        assert maker.exitcode == 0
    assert [path.name for path in CellStore(tmp_path, CELL, MADE_WITH).folder.iterdir()] == ["cell.yaml"]


def test_what_is_written_once_stays(tmp_path):
    path = tmp_path / "record"
    for content in (b"first", b"second"):
        write_once(path, content)
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record"]


def test_drafts_of_machines_that_share_a_folder_have_names_of_their_own(tmp_path, monkeypatch):
    drafts = []
    monkeypatch.setattr(os, "replace", lambda draft, path: drafts.append(draft.name))
    for _ in range(2):  # of one process number
        write_atomically(tmp_path / "table.csv", b"new")
    assert len(set(drafts)) == 2


def test_everyone_takes_the_same_of_two_files_of_a_chunk(store):
    chunk = range(10, 20)
    for seconds in (1.0, 2.0):  # stored twice, where no lock kept two processes apart
        store.save(chunk, RUNS.assign(seconds=seconds))
    stored = sorted(store.folder.glob("runs-*.parquet"))
    assert len(stored) == 2
    assert store.finished() == {chunk: stored[0]}


@pytest.mark.parametrize("model", ["mmoe", "shared_bottom", "ple"])
def test_a_cell_is_known_by_the_name_of_its_folder(tmp_path, model):
    cell = cell_of(f"model={model}", "training.learning_rate=1e-5", "data.alpha=[0.1,1e-7,3]", "data.beta=[1,2,3]")
    CellStore(tmp_path, cell, MADE_WITH)
    assert stored_cell(tmp_path, cell.identity) == replace(cell, recorded=cell.identity)
