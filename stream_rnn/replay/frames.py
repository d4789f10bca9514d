"""A data frame as a log: its columns become the JSON that a row of a file would be.

Polars' frames are taken as they are.  pandas is recognized by what its frames can do, and need not
be installed; its missing values (``None``, NaN, NaT, NA) become null.  What the types of the columns
cannot say is an error that names the column, where a file would skip every row.
"""

from typing import Any, TypeAlias

import polars as pl

from stream_rnn.errors import ConfigError, reason
from stream_rnn.model.features import FeatureSpec, Field

Frame: TypeAlias = Any  # of polars or pandas

PLAIN = "biuf"  # kinds of numpy's types that polars takes as they are
WORD_REMEDY = "cast it to Int64 or to text"


def is_frame(given: object) -> bool:
    """Return whether an object is a data frame of polars or pandas."""
    return isinstance(given, pl.DataFrame | pl.LazyFrame) or _is_pandas(given)


def read_frame(given: Frame) -> pl.DataFrame:
    """Return a data frame as polars has it.

    Raises:
        ConfigError: a column of pandas has no name, or holds values of several types.
    """
    if isinstance(given, pl.LazyFrame):
        return given.collect()
    if isinstance(given, pl.DataFrame):
        return given
    names = list(given.columns)
    for name in names:
        if not isinstance(name, str) or names.count(name) > 1:
            raise ConfigError(
                f"column {name!r} of the frame: names of columns are texts, each of them once"
            )
    return pl.DataFrame([_series(name, given[name]) for name in names])


def check_frame(given: Frame, frame: pl.DataFrame, spec: FeatureSpec) -> None:
    """Refuse a frame whose columns cannot be the events of a spec.

    Args:
        given: the frame of the caller.
        frame: the same as polars has it.
        spec: what an event is.

    Raises:
        ConfigError: a column of the key or of the event time is not there, or a column has a type
            that no event can have; the message names it.
    """
    time = () if spec.event.time is None else (spec.event.time.path,)
    for path in (*spec.event.key, *time):
        if path.partition(".")[0] not in frame.columns:
            raise ConfigError(_missing(given, path))
    fields = spec.fields(with_targets=True)
    for field in fields:
        dtype = _type_at(frame, field.path)
        if dtype is not None and not _fits(dtype, field):
            wanted = " or ".join(sorted(field.types))
            raise ConfigError(
                f"column {field.path} of the frame is {dtype}, and the spec wants {wanted}; cast the "
                "column, or change the spec"
            )
    words = {field.path for field in fields if field.has_words}
    for path in (*spec.event.key, *words):
        if _is_pandas(given) and path in frame.columns and _were_integers(frame[path]):
            raise ConfigError(
                f"column {path} of the frame holds floats, as pandas makes of integers with missing "
                f"values, so that 7 would be 7.0 in a key or a vocabulary; {WORD_REMEDY}"
            )


def _is_pandas(given: object) -> bool:
    return all(hasattr(given, name) for name in ("iloc", "columns", "dtypes"))


def _series(name: str, column: Any) -> pl.Series:
    """Return a column of pandas as polars has it."""
    dtype = column.dtype
    zone = getattr(dtype, "tz", None)
    try:
        if zone is not None:
            utc = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
            moments = pl.Series(name, utc).dt.replace_time_zone("UTC")
            return moments if str(zone) == "UTC" else _in_zone(moments, str(zone))
        kind = dtype.kind if type(dtype).__module__.startswith("numpy") else "O"
        if kind in PLAIN:
            return pl.Series(name, column.to_numpy(), nan_to_null=kind == "f")
        if kind in "mM":
            return pl.Series(name, column.to_numpy())
        is_there = column.notna().tolist()
        pairs = zip(column.astype(object).tolist(), is_there, strict=True)
        return pl.Series(name, [value if there else None for value, there in pairs])
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ConfigError(
            f"column {name} of the frame cannot be read as one type: {reason(error)}; cast it"
        ) from error


def _in_zone(moments: pl.Series, zone: str) -> pl.Series:
    try:
        return moments.dt.convert_time_zone(zone)
    except pl.exceptions.PolarsError:  # an offset such as UTC+02:00: the moments are the same
        return moments


def _missing(given: Frame, path: str) -> str:
    columns = list(read_frame(given).columns)
    index = list(getattr(getattr(given, "index", None), "names", ()))
    text = f"column {path} is not in the frame, whose columns are {', '.join(columns) or 'none'}"
    return text + ("; it is the index: call reset_index()" if path in index else "")


def _type_at(frame: pl.DataFrame, path: str) -> pl.DataType | None:
    """Return the type at a dotted path; ``None`` where there is none."""
    first, *rest = path.split(".")
    dtype = frame.schema.get(first)
    for part in rest:
        if not isinstance(dtype, pl.Struct):
            return None
        dtype = {field.name: field.dtype for field in dtype.fields}.get(part)  # type: ignore[assignment]  # polars has classes for types too
    return dtype


def _fits(dtype: pl.DataType, field: Field) -> bool:
    """Return whether JSON has values of a type as one that the spec wants."""
    if dtype == pl.Null:
        return True
    if dtype == pl.Boolean:
        return "boolean" in field.types
    if dtype.is_float() or dtype.is_integer():
        return "number" in field.types
    is_nested = dtype.is_nested() or dtype in (pl.Binary, pl.Object)
    return "text" in field.types and not is_nested


def _were_integers(values: pl.Series) -> bool:
    if not values.dtype.is_float() or not values.null_count():
        return False
    there = values.drop_nulls()
    return bool((there == there.round()).all())
