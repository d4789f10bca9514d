"""Time zones by the rules of the package ``tzdata``.

``zoneinfo`` alone prefers the rules of the machine, and also reads ``localtime``, whose rules are
those of the place of the machine.  With the package, all workers of one installation agree.
"""

from datetime import UTC, tzinfo
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

PLACEHOLDER = "Factory"  # the zone of a machine whose zone nobody has set


@cache
def load_zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name.

    Raises:
        ValueError: There is no such zone, or the package ``tzdata`` is not installed.
    """
    if name == "UTC":
        return UTC
    if name not in zone_names():
        raise ValueError(
            f"{name!r} is no time zone; write an IANA name such as Europe/Berlin "
            '(python3 -c \'import importlib.resources as r; print(r.files("tzdata")'
            '.joinpath("zones").read_text())\')'
        )
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@cache
def zone_names() -> frozenset[str]:
    """Return the IANA names of all time zones.

    Raises:
        ValueError: The package ``tzdata`` is not installed.
    """
    try:
        names = files("tzdata").joinpath("zones").read_text("utf-8")
    except ModuleNotFoundError:
        raise ValueError(
            "the rules of time zones are missing; install stream-rnn[worker] or stream-rnn[train]"
        ) from None
    return frozenset(names.split()) - {PLACEHOLDER}
