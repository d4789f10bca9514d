"""The format of the worker's log: lines of text for people, or JSON objects for machines.

A message of this package consists of words and then of ``name=value`` pairs, which become fields in
JSON.  A log never contains the value of a record, a key or a password.
"""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from stream_rnn.fold.publish_errors import FORGOTTEN

TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_PAIRS = re.compile(r"(?: ([a-z][a-z0-9_]*)=(\S+))+$")
_PAIR = re.compile(r" ([a-z][a-z0-9_]*)=(\S+)")
NOISY = ("aiokafka", "faust", "mode", "boto3", "botocore", "urllib3")
_RESERVED = frozenset({"time", "level", "logger", "message", "exception"})


class JsonFormatter(logging.Formatter):
    """Formats each message as one line with a JSON object.

    Example:
        >>> record = logging.LogRecord("a", 20, "", 0, "folding partitions=4 lag=0.5", (), None)
        >>> record.created = 0.0
        >>> print(JsonFormatter().format(record).split(",", 1)[1])
        "level":"info","logger":"a","message":"folding","partitions":4,"lag":0.5}
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a message."""
        text = record.getMessage()
        fields = {}
        if (pairs := _PAIRS.search(text)) is not None:
            fields = {
                name: _value(word)
                for name, word in _PAIR.findall(pairs[0])
                if name not in _RESERVED
            }
            text = text[: pairs.start()] if fields else text
        content = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": text,
            **fields,
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(content, default=str).decode()


def _value(word: str) -> int | float | str:
    try:
        return int(word) if word.lstrip("-").isdecimal() and len(word) < 19 else float(word)
    except ValueError:
        return word


def configure_log(level: str, log_format: str) -> None:
    """Write the log of this process to standard error.

    Args:
        level: Lowest level of the messages of this package; for aiokafka, Faust and mode the lowest
            level is ``warning`` or a higher one.
        log_format: Format of the log, ``text`` or ``json``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))


def drop_repetitions(has_failed: Callable[[], bool]) -> None:
    """Drop messages of libraries that repeat messages of the worker, or that report no failure.

    The worker restarts a producer whose id has expired on the broker, and logs the restart.  The
    coordinator of the first group of a cluster is unavailable for a moment; if it remains
    unavailable, the worker logs the setting of the broker that is wrong.

    Args:
        has_failed: Function that returns whether the worker has logged a failure.
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
