"""The table ``[event]`` of a feature spec: key, time, and which records are events."""

import re
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from stream_rnn.errors import reason
from stream_rnn.model.paths import PATH, join_path, split_path
from stream_rnn.model.spec_part import ARRAY, SpecPart
from stream_rnn.model.text_times import format_time, parse_text_time
from stream_rnn.model.zones import load_zone

Scalar = Annotated[str, Field(max_length=256)] | bool | int | float
"""A JSON value with which a condition compares; 1 equals 1.0, but neither "1" nor true."""

UTC_ZONE = "UTC"
TEXT_UNITS = ("iso8601", "text")
_DATES = (datetime(2004, 11, 30, 13, 24, 56, 789000, UTC), datetime(2011, 2, 3, tzinfo=UTC))


def _check_zone(zone: str) -> str:
    load_zone(zone)
    return zone


def _check_format(layout: str) -> str:
    """Check that a format of strptime is valid, and that it determines a day."""
    directives = set(re.findall("%.", layout, re.DOTALL))
    if local := directives & {"%c", "%x", "%X"}:
        raise ValueError(
            f"{min(local)} depends on the language of the machine; write its parts, such as "
            "%Y-%m-%d %H:%M:%S"
        )
    if "%Z" in directives:
        raise ValueError(
            "%Z reads only the zone names of the machine; read an offset by %z, or set zone"
        )
    no_day = f"{layout!r} does not determine year, month and day"
    if "%d" in directives and not directives & {"%Y", "%y", "%G"}:
        raise ValueError(no_day)  # strptime of Python 3.13 warns, later ones refuse
    for date in _DATES:
        try:
            read = parse_text_time(format_time(date, layout), layout)
        except (ValueError, re.error) as error:
            raise ValueError(f"{layout!r} is no format of strptime: {reason(error)}") from None
        if (read.year, read.month, read.day) != (date.year, date.month, date.day):
            raise ValueError(no_day)
    return layout


class EventTime(SpecPart):
    """The field with the time of an event, and its unit.

    Attributes:
        path: Path of the field; it begins at the record, also with ``unwrap``.
        unit: Unit of a number since 1970, or the kind of a text.
        format: Format of strptime for the unit ``text``.
        zone: IANA name of the zone of texts that name none.
        parse: Whether the number may be a text, such as ``"1767225600000000000"``.
    """

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset({"format", "zone", "parse"})

    path: PATH
    unit: Literal["ms", "s", "us", "ns", "iso8601", "text"] = "ms"
    format: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_check_format)] | (
        None
    ) = None
    zone: Annotated[str, Field(max_length=64), AfterValidator(_check_zone)] = UTC_ZONE
    parse: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the unit is one of texts, rather than of numbers."""
        return self.unit in TEXT_UNITS

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.format is not None) != (self.unit == "text"):
            raise ValueError('format and unit = "text" belong together: set both or neither')
        if self.zone != UTC_ZONE and not self.is_text:
            raise ValueError(
                f"zone is for texts without a zone of their own; {self.unit} since 1970 is in UTC"
            )
        if self.parse and self.is_text:
            raise ValueError(f"parse reads numbers; the unit {self.unit} reads texts already")
        return self


class ForgetWhen(SpecPart):
    """The condition under which a record forgets its key, as a record with a null value does."""

    path: PATH
    equals: Scalar


class Only(SpecPart):
    """A condition that a record must meet to be folded."""

    model_config = ConfigDict(serialize_by_alias=True)

    path: PATH
    values: Annotated[tuple[Scalar, ...], ARRAY, Field(min_length=1, max_length=10_000)] = Field(
        alias="in"
    )


def _element_kind(element: object) -> str:
    return "path" if isinstance(element, str) else "alternatives"


_Alternatives = Annotated[tuple[PATH, ...], ARRAY, Field(min_length=1, max_length=16)]
KeyElement = Annotated[
    Annotated[PATH, Tag("path")] | Annotated[_Alternatives, Tag("alternatives")],
    Discriminator(_element_kind),
]
"""An element of a key: a path, or alternative paths of which the first that is not null counts."""


ValueFormat = Literal["auto", "json", "avro", "protobuf", "json_schema"]
"""Format of the values of a topic; ``auto`` lets the frame of each record decide."""


class Event(SpecPart):
    """The fields with the key and the time of an event, and which records are events.

    Only files need ``key``, because a Kafka record has a key of its own.  All these paths begin at
    the record; the paths of features and heads begin at the object at ``unwrap``.
    """

    OMITTED_DEFAULTS: ClassVar[frozenset[str]] = frozenset(
        {"unwrap", "forget_when", "only", "value_format"}
    )

    key: Annotated[tuple[KeyElement, ...], ARRAY] = ()
    time: EventTime | None = None
    unwrap: PATH | None = None
    forget_when: ForgetWhen | None = None
    only: Annotated[tuple[Only, ...], ARRAY, Field(max_length=64)] = ()
    value_format: ValueFormat = "auto"

    @property
    def is_enveloped(self) -> bool:
        """Whether the record itself decides which part of it is an event, or whether one is."""
        return self.unwrap is not None or self.forget_when is not None or bool(self.only)

    def path_of(self, path: str) -> str:
        """Return the path from the record to a field of the event; see ``unwrap``.

        Raises:
            PathError: The path is not valid.
        """
        parents = () if self.unwrap is None else split_path(self.unwrap)
        return join_path((*parents, *split_path(path)))

    @property
    def key_paths(self) -> tuple[str, ...]:
        """All paths of the key, alternatives included."""
        elements = ((item,) if isinstance(item, str) else item for item in self.key)
        return tuple(path for paths in elements for path in paths)
