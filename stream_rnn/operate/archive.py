r"""One file with a fold's positions and hidden states: what a Redis backup is for those without one.

    b"stream_rnn states 1\n"
    a line of JSON: app, source, fold, model, fingerprint, partitions
    for each partition
        a line of JSON: partition, keys, and the fields of its position
        `keys` times: key length and state length (4 bytes each, little-endian), key, state
    32 bytes: sha256 of all before

While workers run, each partition is as of one of its commits: its two keys are copied in one
transaction, and the copy is read.  Partitions are of different moments, as they may be: each is a
fold of its own.
"""

import contextlib
import hashlib
import os
import secrets
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_rnn.errors import ConfigError, MovedError, UnavailableError, reason
from stream_rnn.operate.open_fold import Fold, Place
from stream_rnn.overwriting import cannot_write, check_replaceable
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.state import HEADER_BYTES, StoredPosition

MAGIC = b"stream_rnn states 1\n"
DIGEST_BYTES = 32
LINE_BYTES_MAX = 1_000_000
KEY_BYTES_MAX = 1_000_000
KEYS_MAX, PARTITIONS_MAX = 1 << 40, 1 << 31
CHUNK = 1000
COPY_LIVES_S = 3600
COPIED_WITHIN_S = 120.0
"""Redis copies a partition at once, and answers nobody meanwhile."""
LENGTHS = struct.Struct("<II")

Scanned = tuple[int, dict[bytes, bytes]]
OnProgress = Callable[[int], None]
"""Called with the number of states that were written or read since the last call."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What was saved or restored."""

    partitions: int
    keys: int
    bytes: int


class Part(BaseModel):
    """What stands before a partition's states."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    partition: int = Field(ge=0, le=PARTITIONS_MAX)
    keys: int = Field(ge=0, le=KEYS_MAX)
    position: dict[str, str]


# --- export ------------------------------------------------------------------------------------


async def export(fold: Fold, path: Path, on_progress: OnProgress) -> Summary:
    """Write a fold to a file, which appears whole or not at all.

    Raises:
        ConfigError: the fold holds nothing, the file cannot be written, or something else stands
            there.
        UnavailableError: Redis did not answer.
    """
    _check(path)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as file:
            unfinished.chmod(0o600)  # hidden states say something about who is behind a key
            summary = await _export(fold, file, on_progress)
            file.flush()
            os.fsync(file.fileno())
        _check(path)  # again: an export takes long
        unfinished.replace(path)
    except OSError as error:
        raise cannot_write(path, "the export", error) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
    return summary


def _check(path: Path) -> None:
    check_replaceable(path, "the export", lambda head: head.startswith(MAGIC))


async def _export(fold: Fold, file: BinaryIO, on_progress: OnProgress) -> Summary:
    digest, written = hashlib.sha256(), 0

    def write(data: bytes) -> None:
        nonlocal written
        digest.update(data)
        file.write(data)
        written += len(data)

    about = {
        "app": fold.settings.app,
        "source": fold.settings.source,
        "fold": fold.identity,
        "model": fold.model.name,
        "fingerprint": fold.model.fingerprint,
        "partitions": len(fold.places),
    }
    write(MAGIC + orjson.dumps(about) + b"\n")
    keys = partitions = 0
    for place in fold.places:
        async with _copied(place.store) as (position, hidden, count):
            if position is None:
                continue
            partitions, keys = partitions + 1, keys + count
            line = {"partition": place.partition, "keys": count, "position": position}
            write(orjson.dumps(line) + b"\n")
            await _write_states(place.store, hidden, count, write, on_progress)
    if not partitions:
        raise ConfigError(f"app {fold.settings.app} holds no position of fold {fold.identity}")
    file.write(digest.digest())
    return Summary(partitions, keys, written + DIGEST_BYTES)


async def _write_states(
    store: RedisStore,
    hidden: str,
    count: int,
    write: Callable[[bytes], None],
    on_progress: OnProgress,
) -> None:
    # A scan may give a field twice, if the hash is resized meanwhile; never less than once.
    cursor, seen = 0, set[bytes]()
    while True:
        scan = cast("Awaitable[Scanned]", store.redis.hscan(hidden, cursor, count=CHUNK))
        cursor, found = await store.await_reply(scan)
        new = [(key, state) for key, state in found.items() if key not in seen]
        seen.update(key for key, _ in new)
        for key, state in new:
            write(LENGTHS.pack(len(key), len(state)) + key + state)
        on_progress(len(new))
        if not cursor:
            break
    if len(seen) != count:
        raise MovedError(f"{hidden} had {count} states and gave {len(seen)}")


@contextlib.asynccontextmanager
async def _copied(store: RedisStore) -> AsyncIterator[tuple[dict[str, str] | None, str, int]]:
    """Copy both keys of a partition at one moment; the copy ends with the context, or by itself."""
    copy = f"{store.hidden_key}:export-{secrets.token_hex(4)}"
    try:
        async with store.redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(store.position_key)
            pipe.execute_command("COPY", store.hidden_key, copy)
            pipe.expire(copy, COPY_LIVES_S)
            pipe.hlen(copy)
            fields, _, _, count = await store.await_reply(pipe.execute())
        texts = {name.decode(): value.decode() for name, value in fields.items()}
        if texts and int(texts["keys"]) != count:
            raise ConfigError(
                f"{store.hidden_key} holds {count} states and its position says {texts['keys']}: "
                "torn; let a worker rebuild it first"
            )
        yield texts or None, copy, int(count)
    finally:
        with contextlib.suppress(UnavailableError):  # then it ends by itself
            await store.await_reply(store.redis.unlink(copy))


# --- import ------------------------------------------------------------------------------------


def verify(path: Path) -> tuple[dict[str, Any], int]:
    """Read a file once, check its sum, and return its first line and its size.

    Raises:
        ConfigError: it is no such file, it was cut, or a byte of it changed.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ConfigError(f"{path} is no export of states, or one of another version")
            about = _line(file, path)
            file.seek(0)
            digest, left = hashlib.sha256(), size - DIGEST_BYTES
            while left > 0 and (data := file.read(min(left, 1 << 20))):
                digest.update(data)
                left -= len(data)
            if file.read() != digest.digest():
                raise ConfigError(
                    f"{path} is damaged: its checksum does not fit; take another one, or start without: the log builds the states again"
                )
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {reason(error)}") from error
    return about, size


async def restore(fold: Fold, path: Path, on_progress: OnProgress, *, replace: bool) -> Summary:
    """Put a file's positions and states into Redis, partition by partition.

    Raises:
        ConfigError: the file is damaged or of another fold, or Redis holds the fold already.
        MovedError: a worker wrote meanwhile.
    """
    about, size = verify(path)
    _refuse_another(fold, about, path)
    keys = partitions = 0
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        _line(file, path)
        while file.tell() < size - DIGEST_BYTES:
            part = _part(file, path)
            place = fold.chosen(part.partition)[0]
            await _restore_one(
                fold, place, part, _states(file, part.keys, path), on_progress, replace
            )
            partitions, keys = partitions + 1, keys + part.keys
    return Summary(partitions, keys, size)


def _refuse_another(fold: Fold, about: dict[str, Any], path: Path) -> None:
    ours = {
        "app": fold.settings.app,
        "source": fold.settings.source,
        "fold": fold.identity,
        "partitions": len(fold.places),
    }
    for name, value in ours.items():
        if about.get(name) != value:
            raise ConfigError(
                f"{path} is of {name} {about.get(name)!r}, not {value!r}; give the app, source, "
                "bundle and limits it was exported with"
            )


async def _restore_one(
    fold: Fold,
    place: Place,
    part: Part,
    states: Iterator[tuple[bytes, bytes]],
    on_progress: OnProgress,
    replace: bool,
) -> None:
    store = place.store
    seen = await store.read()
    if seen.position is not None and not replace:
        raise ConfigError(
            f"{fold.settings.source}[{place.partition}] has a position in Redis, {seen.position}; "
            "to put the file's in its place, stop the workers and give --replace"
        )
    size = HEADER_BYTES + 4 * fold.model.hidden_size_floats
    saved = f"{store.hidden_key}:import-{secrets.token_hex(4)}"
    try:
        chunk: dict[bytes, bytes] = {}
        for key, state in states:
            if len(state) != size:
                raise ConfigError(f"a state has {len(state)} bytes, this bundle's have {size}")
            chunk[key] = state
            if len(chunk) == CHUNK:
                await _put(store, saved, chunk, on_progress)
        await _put(store, saved, chunk, on_progress)
        await _swap(store, seen, saved, part.keys, part.position)
    finally:
        await store.await_reply(store.redis.unlink(saved))


async def _put(
    store: RedisStore, saved: str, chunk: dict[bytes, bytes], on_progress: OnProgress
) -> None:
    if not chunk:
        return
    async with store.redis.pipeline(transaction=True) as pipe:
        pipe.hset(saved, mapping=cast("Any", chunk))
        pipe.expire(saved, COPY_LIVES_S)
        await store.await_reply(pipe.execute())
    on_progress(len(chunk))
    chunk.clear()


async def _swap(
    store: RedisStore, seen: StoredPosition, saved: str, keys: int, position: dict[str, str]
) -> None:
    lua = files("stream_rnn.store").joinpath("import.lua").read_text()
    script = store.redis.register_script(lua)
    arguments: list[Any] = [
        "" if seen.position is None else seen.position,
        "" if seen.origin is None else seen.origin,
        seen.fields,
        keys,
    ]
    for name, value in position.items():
        arguments += [name, value]
    call: Awaitable[bytes] = script(
        keys=[store.position_key, store.hidden_key, saved], args=arguments
    )
    status = await store.await_reply(call)
    if status != b"ok":
        raise ConfigError(
            f"{store.position_key}: not restored ({status.decode()}): a worker was here meanwhile; "
            "stop the workers and try again"
        )


def _line(file: BinaryIO, path: Path) -> dict[str, Any]:
    text = file.readline(LINE_BYTES_MAX)
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is damaged: a line of it is not JSON") from error
    if not text.endswith(b"\n") or not isinstance(found, dict):
        raise ConfigError(f"{path} is damaged: a line of it is cut")
    return found


def _part(file: BinaryIO, path: Path) -> Part:
    try:
        return Part.model_validate(_line(file, path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path} is damaged: {where}: {first['msg'].lower()}") from error


def _states(file: BinaryIO, count: int, path: Path) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(count):
        head = file.read(LENGTHS.size)
        key_size, state_size = LENGTHS.unpack(head) if len(head) == LENGTHS.size else (1 << 31, 0)
        if key_size > KEY_BYTES_MAX or state_size > 1 << 28:
            raise ConfigError(f"{path} is damaged: a state of it has no length")
        key, state = file.read(key_size), file.read(state_size)
        if (len(key), len(state)) != (key_size, state_size):
            raise ConfigError(f"{path} is damaged: it ends within a state")
        yield key, state
