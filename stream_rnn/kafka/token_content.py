"""Tokens as endpoints and files contain them: JSON around a token, its claims, its lifetime.

No message contains a token.
"""

import base64
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stream_rnn.errors import reason
from stream_rnn.kafka.tokens import BEARER, Token, TokenError, check_token

FILE_BYTES_MAX = 1_000_000
_BOMS = (b"\xff\xfe", b"\xfe\xff")


def read_token_file(path: str) -> Token:
    """Read the token in a file: as a text, after ``Bearer``, or as ``access_token`` of JSON.

    The lifetime is unknown, because who writes the file also renews the token: read it each time.

    Raises:
        TokenError: The file cannot be read, or has no token.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise TokenError(f"cannot read the token in {path}: {reason(error)}") from None
    if len(data) > FILE_BYTES_MAX:
        raise TokenError(f"cannot read the token in {path}: it has over {FILE_BYTES_MAX} bytes")
    if data.startswith(_BOMS) or b"\0" in data:
        raise TokenError(f"cannot read the token in {path}: it is UTF-16; write it as UTF-8")
    try:
        text = data.decode("utf-8-sig").strip()  # editors may write a BOM
    except UnicodeDecodeError as error:
        raise TokenError(f"cannot read the token in {path}: {reason(error)}") from None
    if text[:1] in {"{", "[", '"'}:
        text = _token_in_json(text, path)
    text = BEARER.sub("", text, count=1)
    if not text:
        raise TokenError(f"the token file {path} is empty; write the token into it")
    return check_token(Token(text, None), path)


def _token_in_json(text: str, path: str) -> str:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    token = content.get("access_token") if isinstance(content, dict) else content
    if not isinstance(token, str):
        raise TokenError(
            f"the token file {path} has no token: write the token alone, or a JSON object with it as "
            "access_token"
        )
    return token.strip()


def lifetime_s(token: str, expires_in: object = None) -> float | None:
    """Return the seconds for which a new token is valid; ``None`` if they are unknown.

    Args:
        token: A JSON Web Token, or a text that only the broker understands.
        expires_in: Lifetime in the answer of the endpoint, if any.
    """
    limits = []
    if isinstance(expires_in, int | float | str):
        with suppress(ValueError):
            limits.append(float(expires_in))
    claims = _claims(token)
    if isinstance(end := claims.get("exp"), int | float):
        issued = claims.get("iat")
        # With both, a wrong clock of this machine does no harm.
        begin = issued if isinstance(issued, int | float) else time.time()  # noqa: TID251  # the token states an absolute time
        limits.append(end - begin)
    return max(0.0, min(limits)) if limits else None


def _claims(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        return json_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in some bytes.

    Raises:
        ValueError: There is none.
    """
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  # as for a text that is no JSON
    return answer
