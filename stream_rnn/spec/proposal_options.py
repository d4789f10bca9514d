"""The options of a proposal, and the columns that they name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stream_rnn.errors import ConfigError
from stream_rnn.spec.columns import Column
from stream_rnn.spec.envelopes import Envelope
from stream_rnn.spec.questions import CANDIDATES_MAX

Of = Literal["now", "next", "label"]


@dataclass(frozen=True, slots=True)
class ProposalOptions:
    """Options of ``stream-rnn spec init``.

    Attributes:
        key: Paths of the fields that make the key; empty to guess.
        time: Path of the event time; ``None`` to guess.
        targets: Paths of the fields to predict; empty to guess.
        of: Source of the labels, as in the option ``of`` of a head.
        classes_max: Largest number of classes of a field.
        time_format: Format of ``strptime`` of the event time; empty to guess.
        zone: IANA name of the zone of times without a zone; empty for UTC.
    """

    key: tuple[str, ...] = ()
    time: str | None = None
    targets: tuple[str, ...] = ()
    of: Of = "next"
    classes_max: int = 1000
    time_format: str = ""
    zone: str = ""


def find_column(columns: Sequence[Column], path: str, option: str, envelope: Envelope) -> Column:
    """Return the column that an option names by its path, from the record or from the event on.

    Raises:
        ConfigError: The log has no such column, or a spec cannot use it.
    """
    named = [c for c in columns if c.path == path or c.parts == (path,)]
    named += [c for c in columns if envelope.contains(c) and envelope.event_path(c) == path]
    named.sort(key=lambda column: bool(column.refusal))
    if named and named[0].refusal:
        raise ConfigError(f"{option} {path}: {named[0].refusal}")
    if named:
        return named[0]
    known = ", ".join(column.path for column in columns[:CANDIDATES_MAX])
    more = f" and {len(columns) - CANDIDATES_MAX} more" if len(columns) > CANDIDATES_MAX else ""
    raise ConfigError(
        f"{option} {path}: the log has no such field; its fields are {known or 'none'}{more}"
    )
