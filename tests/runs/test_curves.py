"""`curves.parquet` is the same file to a reader however its rows are grouped, and their means are those of NumPy."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mmoe_repro.runs.curves import curves_by_cell, mean_curves, writing_curves


@pytest.fixture
def cells():
    """The curves of three cells, whose swept keys have types that differ between them."""
    generator = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(5), [1, 2], [0, 100, 200]], names=["seed", "task", "step"])
    made = []
    for name, examples, gain in (("a", None, 1), ("b", 64, 0.5), ("c", 128, 2)):
        rows = pd.DataFrame({"loss": generator.random(len(index), dtype=np.float32)}, index).reset_index()
        for position, (key, value) in enumerate({"cell": name, "examples": examples, "gain": gain}.items()):
            rows.insert(position, key, value)
        made.append(rows)
    return made


def write(path, cells):
    whole = pd.concat(cells, ignore_index=True)
    with writing_curves(path, whole) as write_cell:
        for rows in cells:
            write_cell(rows)
    return whole


def test_a_file_of_a_row_group_a_cell_reads_like_one_written_whole(cells, tmp_path):
    path, at_once = tmp_path / "curves.parquet", tmp_path / "at_once.parquet"
    write(path, cells).to_parquet(at_once, index=False)
    assert pq.read_metadata(path).num_row_groups == len(cells)
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(at_once), check_exact=True)


@pytest.mark.parametrize("rows_of_a_group", [7, 30, 45, 1000])
def test_cells_are_read_one_after_the_other_from_row_groups_of_any_size(cells, tmp_path, rows_of_a_group):
    path = tmp_path / "curves.parquet"
    pd.concat(cells).to_parquet(path, index=False, row_group_size=rows_of_a_group)
    read = list(curves_by_cell(path))
    assert len(read) == len(cells)
    for found, rows in zip(read, cells, strict=True):
        wanted = rows[list(found.columns)]
        pd.testing.assert_frame_equal(found.reset_index(drop=True), wanted, check_exact=True)


def test_a_file_is_as_it_was_if_a_cell_cannot_be_read(cells, tmp_path):
    path = tmp_path / "curves.parquet"
    write(path, cells)
    before = path.read_bytes()
    with pytest.raises(OSError, match="gone") as error, writing_curves(path, cells[1]) as write_cell:
        write_cell(cells[1])
        raise FileNotFoundError(2, "gone", "cells/a")
    assert error.value.filename == "cells/a", "the file that is to blame"
    assert [one.name for one in tmp_path.iterdir()] == [path.name] and path.read_bytes() == before


def test_mean_curves_leave_out_losses_that_are_missing(cells):
    cells[0].loc[cells[0]["seed"] == 0, "loss"] = np.nan
    means = mean_curves(pd.concat(cells))
    assert len(means) == 3 * 2 * 3
    for (cell, task, step), row in means.set_index(["cell", "task", "step"]).iterrows():
        (rows,) = (rows for rows in cells if rows["cell"].iloc[0] == cell)
        losses = rows.loc[(rows["task"] == task) & (rows["step"] == step), "loss"].dropna().to_numpy(float)
        wanted = [losses.mean(), *np.quantile(losses, [0.1, 0.9])]
        np.testing.assert_allclose(row[["mean", "low", "high"]].to_numpy(float), wanted, rtol=1e-6)
