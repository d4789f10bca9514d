"""How a worker's log looks: lines for people, or JSON objects for machines.

A message of this package is some words, then ``name=value`` pairs; in JSON they become fields.
Never in a log: a record's value, a key, a password.
"""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from stream_rnn.fold.publisher import FORGOTTEN

TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_PAIRS = re.compile(r"(?: ([a-z][a-z0-9_]*)=(\S+))+$")
_PAIR = re.compile(r" ([a-z][a-z0-9_]*)=(\S+)")
NOISY = ("aiokafka", "faust", "mode")
_OWN = frozenset({"time", "level", "logger", "message", "exception"})


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Example:
        >>> record = logging.LogRecord("a", 20, "", 0, "folding partitions=4 lag=0.5", (), None)
        >>> record.created = 0.0
        >>> print(JsonFormatter().format(record).split(",", 1)[1])
        "level":"info","logger":"a","message":"folding","partitions":4,"lag":0.5}
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = record.getMessage()
        fields = {}
        if (pairs := _PAIRS.search(text)) is not None:
            fields = {
                name: _value(word) for name, word in _PAIR.findall(pairs[0]) if name not in _OWN
            }
            text = text[: pairs.start()] if fields else text
        about = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": text,
            **fields,
        }
        if record.exc_info:
            about["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(about, default=str).decode()


def _value(word: str) -> int | float | str:
    try:
        return int(word) if word.lstrip("-").isdecimal() and len(word) < 19 else float(word)
    except ValueError:
        return word


def configure(level: str, form: str) -> None:
    """Send this process's log to standard error.

    Args:
        level: of our own messages; those of aiokafka, Faust and mode begin at warnings.
        form: ``text`` or ``json``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))


def hush(has_failed: Callable[[], bool]) -> None:
    """Drop messages of libraries that repeat ours, or that report no failure.

    The worker restarts a producer whose id has expired on the broker, and logs that itself.  The
    coordinator of a cluster's first group is not available for a moment; if it stays away, the
    worker names the broker's setting.

    Args:
        has_failed: whether the worker has logged a failure of its own.
    """

    def is_news(record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in {*NOISY, "asyncio"}:
            return True
        if "GroupCoordinatorNotAvailableError" in record.getMessage():
            return False
        error = record.exc_info[1] if record.exc_info else None
        return not (has_failed() or isinstance(error, FORGOTTEN))

    for handler in logging.getLogger().handlers:
        handler.addFilter(is_news)
