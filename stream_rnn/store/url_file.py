"""The file with the URL of Redis, and what is wrong with a text that is no URL."""

import base64
import binascii
import re
from pathlib import Path

from stream_rnn.errors import ConfigError, reason

_URL = re.compile(r"(?:unix|rediss?(?:\+\w+)?)://")
_SCHEMES = (
    "must begin with redis://, rediss:// or unix://, or with redis+cluster:// or redis+sentinel:// "
    "(rediss+... for TLS)"
)
_FOREIGN = {  # schemes of other programs, and what to write instead
    "valkey": "write redis://",
    "valkeys": "write rediss://",
    "redis-cluster": "write redis+cluster://",
    "rediss-cluster": "write rediss+cluster://",
    "redis-sentinel": "write redis+sentinel://",
    "rediss-sentinel": "write rediss+sentinel://",
    "redis-socket": "write unix://",
    "tcp": "write redis://",
    "http": "write redis://",
    "https": "write rediss://",
}
_HOST_PORT = re.compile(r"(?:[A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:.]+\]):\d{2,5}(?:/\d*)?")
_NAMED = re.compile(r"(?:export\s+)?[A-Za-z_][\w.-]*\s*[=:]\s*[\"']?")


def read_url_file(path: str) -> str:
    """Return the URL in a file.

    Raises:
        ConfigError: The file cannot be read, or contains anything but one URL; the message names
            the path, and cites nothing of the content, which may be a password.
    """
    try:
        data = Path(path).read_bytes()
        if b"\0" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ConfigError(f"redis_url_file {path} is UTF-16 or binary; write it as UTF-8")
        url = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:  # its text has a byte of the content
        raise ConfigError(f"redis_url_file {path} is not UTF-8; write it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"cannot read redis_url_file {path}: {reason(error)}") from None
    if not url or "\n" in url:
        raise ConfigError(f"redis_url_file {path} must have one line, the URL of Redis")
    if not _URL.match(url):
        raise ConfigError(f"redis_url_file {path} {_describe(url) or _SCHEMES}")
    return url


def refuse_text(text: str) -> ConfigError:
    """Return the error for a ``redis_url`` that is no URL of Redis; it cites nothing of the text."""
    cause = _describe(text) if text else ""
    return ConfigError(f"redis_url {_SCHEMES}{'; it ' if cause else ''}{cause}")


def is_address(text: str) -> bool:
    """Return whether a text that is no URL of Redis is one for another program, or a host and a port.

    Such a text has no password unless there is a sign for one.
    """
    plain = text.strip(" \t\"'")
    scheme, mark, _ = plain.partition("://")
    if mark:
        return scheme.lower() in _FOREIGN or _URL.match(plain.lower()) is not None
    return _HOST_PORT.fullmatch(plain) is not None


def _describe(text: str) -> str:
    """Return what is wrong with a text that is no URL of Redis, and the remedy.

    It is empty for a URL of an unknown scheme, which may be a part of a password.
    """
    if text[0] in "\"'" and _URL.match(text[1:]):
        return "has quotation marks around the URL; write the URL without them"
    if (name := _NAMED.match(text)) and _URL.match(text[name.end() :]):
        return "has a name before the URL; write the URL alone"
    if _is_base64_of_url(text):
        return (
            "contains the URL as base64; decode it: the data of a Kubernetes Secret is encoded "
            "once, and stringData is not"
        )
    if ",password=" in text.lower():
        return "has the form host,password=...; write rediss://:KEY@HOST:PORT/0"
    if "://" in text:
        return _describe_scheme(text)
    what, form = "contains no URL, but perhaps the password alone", ":PASSWORD@HOST:PORT/0"
    if _HOST_PORT.fullmatch(text):
        what, form = "has a host and a port alone", "HOST:PORT/0"
    return f"{what}; write redis://{form}, or rediss:// for TLS"


def _describe_scheme(text: str) -> str:
    """Return what is wrong with the scheme of a URL; empty for one that is unknown."""
    scheme = text.partition("://")[0].lower()
    if scheme in _FOREIGN:
        return f"begins with {scheme}://; {_FOREIGN[scheme]} instead"
    if _URL.match(text.lower()):
        return "has capitals in its scheme; write it in small letters"
    return ""


def _is_base64_of_url(text: str) -> bool:
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return _URL.match(decoded.lstrip("\ufeff \t\"'")) is not None
