"""A Lua script in Redis, called by its digest, or by its text where that is refused."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError


class Script:
    """A script of this package.

    Some services and ACLs refuse ``EVALSHA`` or ``SCRIPT LOAD``, and allow ``EVAL``.  Then each
    call sends the text, which has a kilobyte.

    Args:
        redis: Client.
        names: Names of files in this folder, whose texts together are the script.
    """

    def __init__(self, redis: Redis, *names: str) -> None:
        self._redis = redis
        folder = files("stream_rnn.store")
        self._text = "".join(folder.joinpath(name).read_text() for name in names)
        self._by_digest = redis.register_script(self._text)
        self._is_digest_refused = False

    async def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run the script, and return its reply, which is the status of one that writes.

        Raises:
            RedisError: Redis refuses or does not answer; a refusal names ``EVALSHA`` or ``SCRIPT``
                if ``EVAL`` is refused, too.
        """
        if self._is_digest_refused:
            return await self._call_by_text(keys, args)
        try:
            reply: Any = await self._by_digest(keys=keys, args=args)
        except ResponseError as refusal:
            if not _is_refusal(refusal):
                raise
            try:
                reply = await self._call_by_text(keys, args)
            except ResponseError as error:
                raise (refusal if _is_refusal(error) else error) from error
            self._is_digest_refused = True
        return reply

    async def _call_by_text(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        call: Any = self._redis.eval(self._text, len(keys), *keys, *args)
        return await call


def _is_refusal(error: ResponseError) -> bool:
    """Return whether Redis refuses the call of a script, rather than a command in the script."""
    text = str(error).lower()
    if isinstance(error, NoScriptError) or "script:" in text or "executing the script" in text:
        return False
    names_call = any(word in text for word in ("eval", "script"))
    return names_call and (
        isinstance(error, NoPermissionError)
        or any(word in text for word in ("unknown command", "not available", "not supported"))
        or any(word in text for word in ("unsupported", "not allowed", "disabled"))
    )
