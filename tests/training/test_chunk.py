"""A chunk goes on from its checkpoint, which is data and nothing else."""

import io

import pandas as pd
import pytest
import torch
from helpers import SMALL, cell_of

from mmoe_repro.processes import Stopped
from mmoe_repro.training import chunk as chunks
from mmoe_repro.training.chunk import open_store, train_chunk

CELL = cell_of("model=mmoe", "training.steps=300", *(setting for setting in SMALL if "steps" not in setting))
CHUNK = range(10)


class Listener:
    """Asks to stop after so many blocks of steps, and keeps what it hears."""

    def __init__(self, blocks=1000):
        self.blocks, self.steps, self.notices, self.doing = blocks, 0, [], []

    def progress(self, run_steps):
        self.steps += run_steps
        self.blocks -= 1

    def at_work(self, what):
        self.doing.append(what)

    def notice(self, message):
        self.notices.append(message)

    def stopping(self):
        return self.blocks <= 0


def finished(store):
    return store.load(CHUNK).drop(columns="seconds")


@pytest.fixture
def undisturbed(tmp_path):
    store = open_store(tmp_path / "undisturbed", CELL)
    train_chunk(store, CELL, CHUNK, Listener())
    return finished(store)


@pytest.fixture
def stopped(tmp_path):
    store = open_store(tmp_path / "stopped", CELL)
    with pytest.raises(Stopped):
        train_chunk(store, CELL, CHUNK, Listener(blocks=2))
    return store


def test_a_stopped_chunk_goes_on_to_the_same_bits(undisturbed, stopped):
    listener = Listener()
    train_chunk(stopped, CELL, CHUNK, listener)
    pd.testing.assert_frame_equal(finished(stopped), undisturbed, check_exact=True)
    assert listener.steps == 300 * len(CHUNK), "those before the stop count, too"
    assert stopped.load_checkpoint(CHUNK) is None
    assert set(listener.doing[:-1]) == {f"mmoe at {CELL.data.correlation:g}"} and listener.doing[-1] == ""


def test_a_checkpoint_is_tensors_numbers_strings_lists_and_dictionaries(stopped):
    def check(value):
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value)
            value = list(value.values())
        if isinstance(value, list):
            for entry in value:
                check(entry)
        else:
            assert type(value) in (torch.Tensor, int, float, str)

    check(torch.load(io.BytesIO(stopped.load_checkpoint(CHUNK)), weights_only=True))


@pytest.mark.slow
def test_a_checkpoint_of_an_earlier_version_is_not_gone_on_from(undisturbed, stopped):
    buffer = io.BytesIO()
    state = torch.load(io.BytesIO(stopped.load_checkpoint(CHUNK)))
    initial = chunks._from_tensors(state["initial"])
    torch.save({**state, "initial": initial, "seconds": -1e9}, buffer)
    stopped.save_checkpoint(CHUNK, buffer.getvalue())
    train_chunk(stopped, CELL, CHUNK, Listener())
    assert (stopped.load(CHUNK)["seconds"] > 0).all()
    pd.testing.assert_frame_equal(finished(stopped), undisturbed, check_exact=True)
