"""Converts published data sets to logs: CSV files with the columns of the specs in ``specs/``.

``STREAM_RNN_DATA`` names the directory of the data, which is not part of the project.  The column
``part`` separates the rows that train, that choose the epoch, and that are only scored.
"""

import os
from pathlib import Path

import polars as pl
import pytest

SPECS = Path(__file__).with_name("specs")
ENGINES, HELPDESK = "cmapss-fd001", "helpdesk"
VALIDATION_EVERY = 7  # one in this many training cases chooses the epoch


def folder(name: str) -> Path:
    """Return the directory of a data set; skip the test if it does not exist."""
    root = os.environ.get("STREAM_RNN_DATA")
    if not root:
        pytest.skip(f"STREAM_RNN_DATA is not set: no directory has {name}")
    if not (Path(root) / name).is_dir():
        pytest.skip(f"STREAM_RNN_DATA={root} has no directory {name}")
    return Path(root) / name


def engines(directory: Path) -> pl.DataFrame:
    """Return NASA's turbofan engines FD001, with one event per cycle, ordered by cycle.

    ``rul`` is the number of cycles that the engine has left after the row, from the failure for
    training engines, and from the published remaining life for test engines.  All training engines
    train, for a number of epochs that cross-validation has chosen.
    """
    names = [
        "unit",
        "cycle",
        *(f"setting_{i}" for i in (1, 2, 3)),
        *(f"s{i}" for i in range(1, 22)),
    ]
    last = pl.col("cycle").max().over("unit")
    train = _table(directory / "train_FD001.txt", names).with_columns(
        rul=last - pl.col("cycle"),
        part=pl.lit("train"),
    )
    left = _table(directory / "RUL_FD001.txt", ["left"]).with_row_index("unit", offset=1)
    test = (
        _table(directory / "test_FD001.txt", names)
        .join(left.with_columns(pl.col("unit").cast(pl.Int64)), on="unit")
        .with_columns(rul=last - pl.col("cycle") + pl.col("left"), part=pl.lit("test"))
        .drop("left")
        .with_columns(unit=pl.col("unit") + 1000)
    )
    return pl.concat([train, test.select(train.columns)]).sort("cycle", "unit")


def helpdesk(directory: Path) -> pl.DataFrame:
    """Return a help desk's tickets, with one event per activity, ordered by time.

    The first two thirds of the cases in the file train (Tax et al. 2017, arXiv 1612.02130).
    ``day`` is the number of days since 2010: the process has changed over the three years.
    """
    rows = pl.read_csv(directory / "helpdesk.csv", schema_overrides={"ActivityID": pl.String})
    cases = rows["CaseID"].unique(maintain_order=True).to_list()
    trained = 2 * round(len(cases) / 3)
    part = {
        case: "test" if i >= trained else "validation" if i % VALIDATION_EVERY == 0 else "train"
        for i, case in enumerate(cases)
    }
    parts = pl.Series("part", [part[case] for case in rows["CaseID"]])
    days = pl.col("CompleteTimestamp").str.to_datetime() - pl.datetime(2010, 1, 1)
    return rows.with_columns(parts, day=days.dt.total_seconds() / 86_400).sort(
        "CompleteTimestamp", maintain_order=True
    )


def _table(path: Path, names: list[str]) -> pl.DataFrame:
    """Read columns that are separated by blanks."""
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return pl.DataFrame(columns).with_columns(
        pl.col(name).cast(pl.Int64 if name in ("unit", "cycle", "left") else pl.Float64)
        for name in names
    )
