"""The feature spec: the features and heads of a model, and how event fields become numbers.

People write a spec as TOML; a bundle contains it as JSON.  It is declarative: it contains no code
and no import path.  Training stores the fitted scaling in each feature.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field as Limits
from pydantic import ValidationError, model_validator

from stream_rnn.errors import SpecError, reason
from stream_rnn.model.byte_order_marks import bom_encoding
from stream_rnn.model.event import Event
from stream_rnn.model.field import Field, intersect
from stream_rnn.model.file_format import FileFormat
from stream_rnn.model.heads import Head
from stream_rnn.model.paths import PATH, is_prefix
from stream_rnn.model.scaled import Name, Scaled, Scaling
from stream_rnn.model.spec_part import SpecPart, describe_type
from stream_rnn.model.vector import Vector
from stream_rnn.model.word_lists import MultiCategorical
from stream_rnn.model.words import Categorical, Embedded, Hashed

SPEC_BYTES_MAX = 4_000_000


class Numeric(Scaled):
    """A numeric field of the event; with ``parse``, a text such as "12.50" is a number, too."""

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"parse", "lag"})

    kind: Literal["numeric"]
    name: Name
    path: PATH
    missing: Literal["indicator", "mean", "error"] = "indicator"
    parse: bool = False
    lag: bool = False

    @property
    def filler(self) -> float:
        """Scaled value that replaces a missing one: 0, or the fitted mean for ``mean``."""
        fitted = self.fitted
        if fitted is None or self.missing != "mean" or self.scaling in ("standard", "log"):
            return 0.0  # also the mean of standardized values
        if self.scaling == "none":
            return fitted.mean
        return (fitted.mean - fitted.min) / max(fitted.max - fitted.min, 1e-12)


class SincePrevious(Scaled):
    """Seconds since the previous event of the key; 0 with an indicator at a cold event."""

    kind: Literal["since_previous"]
    name: Name
    scaling: Scaling = "log"


class Boolean(SpecPart):
    """A boolean field of the event; with ``parse``, 0, 1 and the texts of both are booleans, too."""

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"parse", "lag"})

    kind: Literal["boolean"]
    name: Name
    path: PATH
    missing: Literal["indicator", "error"] = "indicator"
    parse: bool = False
    lag: bool = False


class Calendar(SpecPart):
    """The hour of the day or the day of the week of the event time, in UTC, as sine and cosine."""

    kind: Literal["calendar"]
    name: Name
    unit: Literal["hour", "weekday"]


Feature = Annotated[
    Numeric | Categorical | Boolean | SincePrevious | Calendar | Vector | Hashed | MultiCategorical,
    Limits(discriminator="kind"),
]


class FeatureSpec(SpecPart):
    """The features that the network reads from an event, and the heads that it predicts."""

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"file"})

    format: int = Limits(1, ge=1, le=1)  # a Literal would accept true
    name: Name
    file: FileFormat = FileFormat()
    event: Event = Event()
    features: tuple[Feature, ...] = Limits(min_length=1, max_length=512, strict=False)
    heads: tuple[Head, ...] = Limits(min_length=1, max_length=64, strict=False)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            raise ValueError("two features have the same name")
        columns = [name for feature in self.features for name in column_names(feature)]
        if len(set(columns)) < len(columns):
            raise ValueError(
                "a feature has the name of a column of another feature, such as NAME_missing or NAME_0"
            )
        if len({head.name for head in self.heads}) < len(self.heads):
            raise ValueError("two heads have the same name")
        paths = {
            path
            for feature in self.features
            if (path := getattr(feature, "path", None)) and not is_lag(feature)
        }
        for head in self.heads:
            if head.of == "now" and head.path in paths:
                message = (
                    f'head {head.name}: {head.path} is a target with of = "now", so it must not be '
                    "a feature; with lag = true, a feature reads its value in the previous event "
                    "of the key instead"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _readable(self) -> Self:
        read = self.fields()
        for parent in {field.path for field in read}:
            for child in read:
                if is_prefix(parent, child.path):
                    message = f"path {child.path}: {parent} is also a path, so it is no object"
                    raise ValueError(message)
        self._check_parsers()
        self._check_surprise()
        for field in read:
            if not field.types:
                message = (
                    f"path {field.path} is read as several types, and no value has them all: a "
                    "number is not a boolean, an ISO 8601 time is neither, and an array has one "
                    "length"
                )
                raise ValueError(message)
        return self

    def _check_parsers(self) -> None:
        """Check that all that read a field agree on whether texts are numbers."""
        time = self.event.time
        readers = [
            (f.path, f.name, getattr(f, "parse", False))
            for f in self.features
            if hasattr(f, "path")
        ]
        if time is not None and self.event.unwrap is None:
            readers.append((time.path, "event.time", time.parse))
        for path in {path for path, _, does_parse in readers if does_parse}:
            without = [name for at, name, does_parse in readers if at == path and not does_parse]
            if without:
                message = (
                    f"path {path} is read with parse = true, but by {', '.join(without)} without "
                    "it; set it for every reader, or for none (a categorical feature reads the "
                    "text as a word)"
                )
                raise ValueError(message)

    def _check_surprise(self) -> None:
        """Check that a target that the fold decodes is the same in training, which reads it alone."""
        readers = [(feature.name, _field_of(feature)) for feature in self.features]
        if self.event.time is not None and self.event.unwrap is None:
            readers.append(("event.time", self.time_field()))
        for head in self.heads:
            for name, field in readers if head.surprise else ():
                if field is None or field.path != head.path:
                    continue
                is_alike = field.parse == head.parses and field.separator is None
                if not is_alike or (field.parse and field.types != head.types):
                    message = (
                        f"head {head.name}: with surprise = true it must read texts at {head.path} "
                        f"as {name} does; set parse for both or for none, or leave out surprise"
                    )
                    raise ValueError(message)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a spec from a TOML file.

        Raises:
            SpecError: The file is missing, too large, not TOML, or not a valid spec.
        """
        try:
            size = Path(path).stat().st_size
            if size > SPEC_BYTES_MAX:
                message = f"feature spec {path} has {size} bytes, more than {SPEC_BYTES_MAX}"
                raise SpecError(message)
            encoding = bom_encoding(Path(path).read_bytes()) or "utf-8"  # editors may write a BOM
            text = Path(path).read_text(encoding=encoding)
            return cls.parse(tomllib.loads(text), str(path))
        except RecursionError:
            raise SpecError(f"feature spec {path}: its values are nested too deeply") from None
        except OSError as error:
            raise SpecError(f"feature spec {path}: {error.strerror or reason(error)}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            cause = reason(error).partition(": ")[2]  # without the name of the exception
            raise SpecError(
                f"feature spec {path}: it is no TOML: {cause}; the spec stands before the log"
            ) from error

    @classmethod
    def parse(cls, content: Mapping[str, Any], place: str) -> Self:
        """Validate the content of a spec.

        Args:
            content: Content of the TOML file.
            place: Name of the file, for messages.

        Raises:
            SpecError: The content is not a valid spec.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            message = describe_type(first["type"], first["loc"]) or first["msg"]
            raise SpecError(f"feature spec {place}: {where or 'spec'}: {message}") from error

    def time_field(self) -> Field:
        """Return the field of the event time, which the spec must have."""
        assert self.event.time is not None
        time = self.event.time
        types = frozenset({"text" if time.is_text else "number"})
        is_exact = time.unit in ("us", "ns")
        return Field(time.path, types, required=True, is_exact=is_exact, parse=time.parse)

    def fields(self, *, with_targets: bool = False) -> tuple[Field, ...]:
        """Return the fields to decode from the event, one for each path.

        Heads with ``surprise = true`` read the fields of their targets.

        The field of the event time is one of them, unless the spec has ``unwrap``: then its path
        begins at the record, and :meth:`time_field` returns it.  If several features read one field, its value must fit the types of all.  A field that only
        heads read never decides whether a record is valid.

        Args:
            with_targets: Whether to include the fields of all heads.
        """
        fields: dict[str, Field] = {}
        for feature in self.features:
            if (reader := _field_of(feature)) is not None:
                fields[reader.path] = intersect(fields.get(reader.path, reader), reader)
        if self.event.time is not None and self.event.unwrap is None:
            reader = self.time_field()
            fields[reader.path] = intersect(fields.get(reader.path, reader), reader)
        for head in self.heads:
            is_read = with_targets or head.surprise
            if not is_read or head.path is None or head.of == "label":
                continue
            known = fields.get(head.path, Field(head.path, frozenset(), is_label=True))
            types = known.types | head.types if known.is_label else known.types
            has_words = known.has_words or head.kind == "multiclass"
            fields[head.path] = replace(known, types=types, has_words=has_words)
        return tuple(fields.values())


def _field_of(feature: Feature) -> Field | None:
    """Return the field that a feature reads, ``None`` for none."""
    match feature:
        case Numeric() | Boolean():
            types = frozenset({"number" if isinstance(feature, Numeric) else "boolean"})
            required = feature.missing == "error"
            return Field(feature.path, types, required=required, parse=feature.parse)
        case Categorical() | Hashed() | MultiCategorical() | Vector():
            return feature.field
    return None


def embedded_of(feature: Feature) -> Embedded | None:
    """Return how the network reads a feature of words; ``None`` for one of numbers."""
    if isinstance(feature, Categorical | Hashed | MultiCategorical):
        return feature.embedded
    return None


def is_lag(feature: Feature) -> bool:
    """Return whether a feature reads the previous event of the key instead of the event itself."""
    return bool(getattr(feature, "lag", False))


def column_names(feature: Feature) -> tuple[str, ...]:
    """Return the names of the columns that a feature has in x."""
    name = feature.name
    match feature:
        case Numeric() | Boolean():
            return (name, f"{name}_missing") if feature.missing == "indicator" else (name,)
        case Vector():
            return (*feature.places, *([f"{name}_missing"] * (feature.missing == "indicator")))
        case MultiCategorical():
            return feature.slots
        case SincePrevious():
            return (name, f"{name}_cold")
        case Calendar():
            return (f"{name}_sin", f"{name}_cos")
        case _:
            return (name,)
