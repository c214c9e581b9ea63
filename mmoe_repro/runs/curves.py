"""Curves: every run's in `curves.parquet`, written and read a cell at a time; in memory their mean and spread alone.

They are a sweep's largest table by far: a row for each run, task and window of steps.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mmoe_repro.runs.files import require_columns, writing

#: Columns that every version of `curves.parquet` has.
COLUMNS = ("cell", "seed", "task", "step", "loss")
#: The quantiles that hold the middle 80 % of runs.
_MIDDLE = (0.1, 0.9)


def mean_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean curves, and between which losses the middle 80 % of runs lie.

    Args:
        curves: cell, task, step, loss; a loss that is NaN does not count.

    Returns:
        a row for each cell, task and step: cell, task, step, mean, low, high.
    """
    losses = curves.groupby(["cell", "task", "step"])["loss"]
    low, high = map(losses.quantile, _MIDDLE)
    return pd.DataFrame({"mean": losses.mean(), "low": low, "high": high}).reset_index()


@contextmanager
def writing_curves(path: Path, like: pd.DataFrame) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Write a `curves.parquet` a cell at a time, a row group each; it is whole or as it was.

    Args:
        path: of the file.
        like: a table with the columns and types of all cells' rows together.

    Yields:
        a function that writes a cell's rows.

    Raises:
        OSError: as of `files.writing`.
    """
    schema = pa.Schema.from_pandas(like, preserve_index=False)
    repeated = [name for name in schema.names if name != "loss"]
    with writing(path) as file, pq.ParquetWriter(file, schema, use_dictionary=repeated) as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))


def curves_by_cell(path: Path) -> Iterator[pd.DataFrame]:
    """The rows of a `curves.parquet`, of `COLUMNS`, a cell at a time.

    Raises:
        OSError, ValueError: it is damaged, or lacks columns.
    """
    with pq.ParquetFile(path) as file:
        require_columns(COLUMNS, file.schema_arrow.names)
        groups = (file.read_row_group(number, COLUMNS).to_pandas() for number in range(file.num_row_groups))
        # In a file of an earlier version a row group ends anywhere in a cell.
        pieces = (piece for rows in groups for piece in rows.groupby("cell", sort=False))
        for _, of_cell in groupby(pieces, key=itemgetter(0)):
            yield pd.concat([rows for _, rows in of_cell])
