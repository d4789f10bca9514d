"""Conversion and check of data frames that are used as logs.

Frames of polars are used as they are.  Frames of pandas are recognized by their attributes, so that
pandas need not be installed; their missing values (``None``, NaN, NaT, NA) become null.  A column
whose type does not match the spec raises an error, whereas a file would have every row skipped.
"""

from typing import Any, TypeAlias

import polars as pl

from stream_rnn.errors import ConfigError, reason
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.field import Field
from stream_rnn.model.paths import split_path

Frame: TypeAlias = Any  # a data frame of polars or pandas

PLAIN_KINDS = "biuf"  # kinds of numpy's types that polars reads as they are
WORD_REMEDY = "cast it to Int64 or to text"


def is_frame(frame: object) -> bool:
    """Return whether an object is a data frame of polars or pandas."""
    return isinstance(frame, pl.DataFrame | pl.LazyFrame) or _is_pandas(frame)


def read_frame(frame: Frame, what: str = "log") -> pl.DataFrame:
    """Convert a data frame to one of polars.

    Args:
        frame: Data frame of polars or pandas.
        what: Kind of its rows, for messages: ``log`` or ``labels``.

    Raises:
        ConfigError: It is no data frame, or a lazy one that cannot be collected.  Or a column of
            pandas has no unique text as its name, or contains values of several types.
    """
    if isinstance(frame, pl.LazyFrame):
        try:
            return frame.collect()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ConfigError(f"cannot read the {what} from the frame: {reason(error)}") from error
    if isinstance(frame, pl.DataFrame):
        return frame
    if not _is_pandas(frame):
        subject = "a log is" if what == "log" else f"{what} are"
        raise ConfigError(
            f"{subject} a path or a data frame of polars or pandas, not {type(frame).__name__}"
        )
    names = list(frame.columns)
    for name in names:
        if not isinstance(name, str) or names.count(name) > 1:
            raise ConfigError(
                f"column {name!r} of the frame: column names must be texts, and unique"
            )
    return pl.DataFrame([_series(name, frame[name]) for name in names])


def check_frame(frame: Frame, converted: pl.DataFrame, spec: FeatureSpec) -> None:
    """Check that the columns of a frame match a spec.

    Args:
        frame: The frame of the caller.
        converted: The frame converted to polars.
        spec: The feature spec.

    Raises:
        ConfigError: A column of the key or of the event time is missing, or a column has a type
            that the spec does not allow.
    """
    _check_key_and_time(frame, converted, spec)
    fields = spec.fields(with_targets=True)
    for field in fields:
        dtype = _type_at(converted, spec.event.path_of(field.path))
        if dtype is not None and not _fits(dtype, field):
            types = " or ".join(sorted(field.types))
            raise ConfigError(
                f"column {field.path} of the frame is {dtype}, but the spec needs {types}; cast the "
                "column, or change the spec"
            )
    words = {field.path for field in fields if field.has_words}
    for path in (*spec.event.key_paths, *words):
        column, *inner = split_path(path)
        is_column = not inner and column in converted.columns
        if _is_pandas(frame) and is_column and _were_integers(converted[column]):
            raise ConfigError(
                f"column {path} of the frame contains floats, which pandas makes of integers with "
                f"missing values, so that 7 would be 7.0 in a key or a vocabulary; {WORD_REMEDY}"
            )


def _check_key_and_time(frame: Frame, converted: pl.DataFrame, spec: FeatureSpec) -> None:
    time = () if spec.event.time is None else (spec.event.time.path,)
    for paths in (*spec.event.key, *time):
        alternatives = (paths,) if isinstance(paths, str) else paths
        if not any(split_path(path)[0] in converted.columns for path in alternatives):
            raise ConfigError(_missing(frame, alternatives[0]))
        for path in alternatives:
            if (dtype := _type_at(converted, path)) == pl.Object:
                raise ConfigError(
                    f"column {path} of the frame is {dtype}; cast it to text or numbers"
                )


def without_objects(frame: pl.DataFrame) -> pl.DataFrame:
    """Drop the columns of Python objects, which JSON cannot carry; no field of a spec allows them."""
    return frame.drop(name for name, dtype in frame.schema.items() if dtype == pl.Object)


def _is_pandas(frame: object) -> bool:
    return all(hasattr(frame, name) for name in ("iloc", "columns", "dtypes"))


def _series(name: str, column: Any) -> pl.Series:
    """Convert a column of pandas to polars."""
    dtype = column.dtype
    zone = getattr(dtype, "tz", None)
    try:
        if zone is not None:
            utc = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
            moments = pl.Series(name, utc).dt.replace_time_zone("UTC")
            return moments if str(zone) == "UTC" else _in_zone(moments, str(zone))
        kind = dtype.kind if type(dtype).__module__.startswith("numpy") else "O"
        if kind in PLAIN_KINDS:
            return pl.Series(name, column.to_numpy(), nan_to_null=kind == "f")
        if kind in "mM":
            return pl.Series(name, column.to_numpy())
        pairs = zip(column.astype(object).tolist(), column.notna().tolist(), strict=True)
        return pl.Series(name, [value if is_present else None for value, is_present in pairs])
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ConfigError(
            f"column {name} of the frame cannot be read as one type: {reason(error)}; cast it"
        ) from error


def _in_zone(moments: pl.Series, zone: str) -> pl.Series:
    try:
        return moments.dt.convert_time_zone(zone)
    except pl.exceptions.PolarsError:  # an offset such as UTC+02:00; the times stay the same
        return moments


def index_names(frame: object) -> list[str]:
    """Return the names of the index of a frame of pandas, whose values are no columns."""
    names = getattr(getattr(frame, "index", None), "names", ())
    return [name for name in names if name is not None]


def _missing(frame: Frame, path: str) -> str:
    columns = list(read_frame(frame).columns)
    text = f"column {path} is not in the frame, whose columns are {', '.join(columns) or 'none'}"
    return text + ("; it is in the index: call reset_index()" if path in index_names(frame) else "")


def _type_at(frame: pl.DataFrame, path: str) -> pl.DataType | None:
    """Return the type at a dotted path; ``None`` if the frame has no such field."""
    first, *rest = split_path(path)
    dtype = frame.schema.get(first)
    for part in rest:
        if not isinstance(dtype, pl.Struct):
            return None
        dtype = {field.name: field.dtype for field in dtype.fields}.get(part)  # type: ignore[assignment]  # polars has classes for types too
    return dtype


def _fits(dtype: pl.DataType, field: Field) -> bool:
    """Return whether values of a type have one of the JSON types of the field."""
    if dtype == pl.Null:
        return True
    if field.length is not None:
        if isinstance(dtype, pl.List | pl.Array):
            inner = dtype.inner
            is_number = inner.is_numeric() and inner != pl.Decimal  # JSON carries those as texts
            is_element = is_number or (
                "words" in field.types and inner in (pl.String, pl.Boolean, pl.Categorical, pl.Enum)
            )
            return bool(inner == pl.Null or is_element)
        return field.separator is not None and dtype in (pl.String, pl.Categorical, pl.Enum)
    if dtype == pl.Boolean:
        return "boolean" in field.types
    if dtype.is_numeric():
        return "number" in field.types or field.parse  # 0 and 1 may be booleans
    is_nested = dtype.is_nested() or dtype in (pl.Binary, pl.Object)
    return ("text" in field.types or field.parse) and not is_nested


def _were_integers(values: pl.Series) -> bool:
    if not values.dtype.is_float() or not values.null_count():
        return False
    present = values.drop_nulls()
    return bool((present == present.round()).all())
