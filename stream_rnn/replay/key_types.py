"""The types of the key in the parts of a log, which have types of their own in Parquet and Avro.

A key is the text of the file, so the integer 7 of one part and the float 7.0 of another are two
keys: pandas writes integers as floats where one of them is missing.
"""

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from stream_rnn.errors import ConfigError
from stream_rnn.formats.avro_schema import AvroType
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.paths import split_path

PLAIN = "integer or text"  # the texts of equal values are equal
_PLAIN_AVRO = ("int", "long", "string", "enum")
_FLOATS_AVRO = ("float", "double")


def text_form(dtype: pl.DataType) -> str:
    """Return a name of the texts that values of a type become; equal for types that mix well.

    Example:
        >>> text_form(pl.Int32()) == text_form(pl.String()), text_form(pl.Float64())
        (True, 'float')
    """
    if dtype.is_integer() or isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return PLAIN
    return "float" if dtype.is_float() else str(dtype)


class KeyTypes:
    """Compares the types of the fields of the key in each part with those of the parts before it.

    Args:
        spec: Feature spec.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self._paths = {path: split_path(path) for path in spec.event.key_paths}
        self._seen: dict[str, tuple[str, str, str]] = {}  # form, name of the type, part

    def checked(self, frames: Iterable[pl.DataFrame], part: str) -> Iterator[pl.DataFrame]:
        """Yield the frames of a part of Parquet after a check of their types.

        Raises:
            ConfigError: A field of the key has values of another type than in a part before.
        """
        for frame in frames:
            for path, names in self._paths.items():
                if (values := _values_at(frame, names)) is not None:
                    self._check(path, text_form(values.dtype), str(values.dtype), part)
            yield frame

    def check_avro(self, root: AvroType, part: str) -> None:
        """Check the schema of a part of Avro.

        Raises:
            ConfigError: A field of the key has another type than in a part before.
        """
        for path, names in self._paths.items():
            kind: AvroType | None = root
            for name in names:
                kind = kind and (kind.non_null or kind).fields.get(name)
            kind = kind and (kind.non_null or kind)
            if kind is None or kind.kind in ("null", "union"):
                continue
            form = PLAIN if kind.kind in _PLAIN_AVRO else kind.kind
            form = "float" if kind.kind in _FLOATS_AVRO else form
            self._check(path, f"{form} {kind.logical}".strip(), kind.kind, part)

    def _check(self, path: str, form: str, kind: str, part: str) -> None:
        before, other, first = self._seen.setdefault(path, (form, kind, part))
        if before != form:
            example = ", so 7 and 7.0 would be two keys" * ({before, form} == {PLAIN, "float"})
            raise ConfigError(
                f"cannot read the log: {path} of the key is {other} in {first}, and {kind} in {part}; "
                f"the texts of equal values differ{example}; write it with one type in all parts, "
                "such as Int64 in pandas, or text"
            )


def _values_at(frame: pl.DataFrame, names: Sequence[str]) -> pl.Series | None:
    """Return the values at a path that are not missing; ``None`` if there are none."""
    first, *rest = names
    values = frame[first] if first in frame.columns else None
    for name in rest:
        if values is None or not isinstance(values.dtype, pl.Struct):
            return None
        has_field = name in values.struct.fields
        values = values.struct.field(name) if has_field else None
    if values is None or values.null_count() == len(values):
        return None
    return None if values.dtype.is_float() and not values.is_finite().any() else values
