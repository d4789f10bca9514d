r"""Export and import of a fold: one file with its positions and hidden states.

    b"stream_rnn states 1\n"
    a line of JSON: app, source, fold, model, fingerprint, partitions, schemas
    `schemas` times: a line of JSON, a schema of framed records (formats/schema_file.py)
    for each partition
        a line of JSON: partition, keys, and the fields of its position
        `keys` times: key length and state length (4 bytes each, little-endian), key, state
    32 bytes: SHA-256 of all preceding bytes

Workers may run during an export.  One transaction reads the position of a partition and copies
its hidden states, and the export reads the copy.  So it contains each partition as of one commit.
"""

import contextlib
import hashlib
import os
import secrets
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stream_rnn.errors import ConfigError, MovedError, reason
from stream_rnn.formats.schema_file import EXPORT_MAGIC, LINE_BYTES_MAX
from stream_rnn.operate.absent_fold import absence_error
from stream_rnn.operate.archived_schemas import read_kept, restore_kept
from stream_rnn.operate.open_fold import Fold, FoldPartition
from stream_rnn.operate.snapshot import COPY_TTL_S, snapshot
from stream_rnn.overwriting import cannot_write, check_replaceable
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.script import Script
from stream_rnn.store.state import HEADER_BYTES, StoredPosition

MAGIC = EXPORT_MAGIC
DIGEST_BYTES, EXPORTS_MAX = 32, 3
KEY_BYTES_MAX = 1_000_000
KEYS_MAX, PARTITIONS_MAX = 1 << 40, 1 << 31
CHUNK_STATES = 1000
COPY_TIMEOUT_S = 120.0
"""Redis answers no other command while it copies a partition."""
LENGTHS = struct.Struct("<II")

Scanned = tuple[int, dict[bytes, bytes]]
OnProgress = Callable[[int], None]
"""Callback that gets the number of hidden states written or read since its last call."""


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """Partitions, keys and bytes of an export or an import."""

    partitions: int
    keys: int
    bytes: int


class PartitionHeader(BaseModel):
    """The line before the hidden states of a partition."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    partition: int = Field(ge=0, le=PARTITIONS_MAX)
    keys: int = Field(ge=0, le=KEYS_MAX)
    position: dict[str, str]


# --- export ------------------------------------------------------------------------------------


async def export(fold: Fold, path: Path, on_progress: OnProgress) -> ArchiveSummary:
    """Write a fold to a file atomically.

    Raises:
        ConfigError: The fold is empty, the file cannot be written, or ``path`` exists and is not
            an export.
        UnavailableError: Redis did not answer.
    """
    _check(path)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as file:
            unfinished.chmod(0o600)  # hidden states reveal something about the keys
            summary = await _export_whole(fold, file, on_progress)
            file.flush()
            os.fsync(file.fileno())
        _check(path)  # again, because an export takes long
        unfinished.replace(path)
    except OSError as error:
        raise cannot_write(path, "the export", error) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
    return summary


def _check(path: Path) -> None:
    check_replaceable(path, "the export", lambda head: head.startswith(MAGIC))


async def _export_whole(fold: Fold, file: BinaryIO, on_progress: OnProgress) -> ArchiveSummary:
    """Export, and again if a worker has met a schema meanwhile, which a position may need."""
    for _ in range(EXPORTS_MAX):
        schemas = await read_kept(fold)
        summary = await _export(fold, file, schemas, on_progress)
        if (await read_kept(fold)).keys() == schemas.keys():
            return summary
        file.seek(0)
        file.truncate()
    raise ConfigError(f"workers met new schemas during {EXPORTS_MAX} exports; try again")


async def _export(
    fold: Fold, file: BinaryIO, schemas: Mapping[str, bytes], on_progress: OnProgress
) -> ArchiveSummary:
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
        **({"schemas": len(schemas)} if schemas else {}),
    }
    write(MAGIC + orjson.dumps(about) + b"\n")
    for schema in schemas.values():
        write(schema + b"\n")
    keys = partitions = 0
    for place in fold.places:
        async with snapshot(place.store) as (position, hidden, count):
            if position is None:
                continue
            partitions, keys = partitions + 1, keys + count
            line = {"partition": place.partition, "keys": count, "position": position}
            write(orjson.dumps(line) + b"\n")
            await _write_states(place.store, hidden, count, write, on_progress)
    if not partitions:
        raise await absence_error(fold, "nothing to export")
    file.write(digest.digest())
    return ArchiveSummary(partitions, keys, written + DIGEST_BYTES)


async def _write_states(
    store: RedisStore,
    hidden: str,
    count: int,
    write: Callable[[bytes], None],
    on_progress: OnProgress,
) -> None:
    # HSCAN may return a field twice if Redis resizes the hash during the scan.
    cursor, seen = 0, set[bytes]()
    while True:
        scan = cast("Awaitable[Scanned]", store.redis.hscan(hidden, cursor, count=CHUNK_STATES))
        cursor, states = await store.await_reply(scan)
        new = [(key, state) for key, state in states.items() if key not in seen]
        seen.update(key for key, _ in new)
        for key, state in new:
            write(LENGTHS.pack(len(key), len(state)) + key + state)
        on_progress(len(new))
        if not cursor:
            break
    if len(seen) != count:
        raise MovedError(f"{hidden} has {count} hidden states, but a scan returned {len(seen)}")


# --- import ------------------------------------------------------------------------------------


def verify(path: Path) -> tuple[dict[str, Any], int]:
    """Check the checksum of an export, and return its first line and its size.

    Raises:
        ConfigError: The file is not an export, or is damaged.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ConfigError(f"{path} is not an export of this version of stream-rnn")
            about = _read_line(file, path)
            file.seek(0)
            digest, left = hashlib.sha256(), size - DIGEST_BYTES
            while left > 0 and (data := file.read(min(left, 1 << 20))):
                digest.update(data)
                left -= len(data)
            if file.read() != digest.digest():
                raise ConfigError(
                    f"{path} is damaged: its checksum is wrong; import another export, or start "
                    "workers without one: they rebuild the hidden states from the log"
                )
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {reason(error)}") from error
    return about, size


async def restore(
    fold: Fold, path: Path, on_progress: OnProgress, *, replace: bool
) -> ArchiveSummary:
    """Write the positions and hidden states of a file to Redis, partition by partition.

    Raises:
        ConfigError: The file is damaged or of another fold, Redis has a position of the fold
            already, or a worker wrote at the same time.
    """
    about, size = verify(path)
    _check_same_fold(fold, about, path)
    keys = partitions = 0
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        _read_line(file, path)
        await restore_kept(fold, file, about.get("schemas", 0), str(path))
        while file.tell() < size - DIGEST_BYTES:
            part = _read_header(file, path)
            place = fold.select(part.partition)[0]
            await _restore_one(
                fold, place, part, _read_states(file, part.keys, path), on_progress, replace
            )
            partitions, keys = partitions + 1, keys + part.keys
    return ArchiveSummary(partitions, keys, size)


def _check_same_fold(fold: Fold, about: dict[str, Any], path: Path) -> None:
    expected = {
        "app": fold.settings.app,
        "source": fold.settings.source,
        "fold": fold.identity,
        "partitions": len(fold.places),
    }
    for name, value in expected.items():
        if about.get(name) != value:
            raise ConfigError(
                f"{path} is an export with {name} {about.get(name)!r}, not {value!r}; use the app, "
                "source, bundle and limits of the export"
            )


async def _restore_one(
    fold: Fold,
    place: FoldPartition,
    part: PartitionHeader,
    states: Iterator[tuple[bytes, bytes]],
    on_progress: OnProgress,
    replace: bool,
) -> None:
    store = place.store
    current = await store.read()
    if current.position is not None and not replace:
        raise ConfigError(
            f"{fold.settings.source}[{place.partition}] has position {current.position} in Redis; "
            "to replace it by the position in the file, stop the workers and use --replace"
        )
    size = HEADER_BYTES + 4 * fold.model.state_size_floats
    staging = f"{store.hidden_key}:import-{secrets.token_hex(4)}"
    try:
        chunk: dict[bytes, bytes] = {}
        for key, state in states:
            if len(state) != size:
                raise ConfigError(f"a hidden state has {len(state)} bytes, expected {size}")
            chunk[key] = state
            if len(chunk) == CHUNK_STATES:
                await _write_chunk(store, staging, chunk, on_progress)
        await _write_chunk(store, staging, chunk, on_progress)
        await _swap(store, current, staging, part.keys, part.position)
    finally:
        await store.await_reply(store.redis.unlink(staging))


async def _write_chunk(
    store: RedisStore, staging: str, chunk: dict[bytes, bytes], on_progress: OnProgress
) -> None:
    if not chunk:
        return
    async with store.redis.pipeline(transaction=True) as pipe:
        pipe.hset(staging, mapping=cast("Any", chunk))
        pipe.expire(staging, COPY_TTL_S)
        await store.await_reply(pipe.execute())
    on_progress(len(chunk))
    chunk.clear()


async def _swap(
    store: RedisStore, current: StoredPosition, staging: str, keys: int, position: dict[str, str]
) -> None:
    arguments: list[Any] = [
        "" if current.position is None else current.position,
        "" if current.origin is None else current.origin,
        current.fields,
        keys,
    ]
    for name, value in position.items():
        arguments += [name, value]
    script = Script(store.redis, "seen.lua", "import.lua")
    keys_of_script = [store.position_key, store.hidden_key, staging]
    status = await store.await_reply(script(keys_of_script, arguments))
    if status == b"torn":
        raise ConfigError(
            f"{store.position_key} was not restored, because Redis has lost states that the import "
            "wrote: it evicts keys with an expiry, or the import took more than an hour; set "
            "maxmemory-policy noeviction, or give Redis more memory, and try again"
        )
    if status != b"ok":
        raise ConfigError(
            f"{store.position_key} was not restored ({status.decode()}), because a worker wrote to "
            "it at the same time; stop the workers and try again"
        )


def _read_line(file: BinaryIO, path: Path) -> dict[str, Any]:
    text = file.readline(LINE_BYTES_MAX)
    try:
        header = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is damaged: a header line is not JSON") from error
    if not text.endswith(b"\n") or not isinstance(header, dict):
        raise ConfigError(f"{path} is damaged: a header line is incomplete")
    return header


def _read_header(file: BinaryIO, path: Path) -> PartitionHeader:
    try:
        return PartitionHeader.model_validate(_read_line(file, path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path} is damaged: {where}: {first['msg'].lower()}") from error


def _read_states(file: BinaryIO, count: int, path: Path) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(count):
        head = file.read(LENGTHS.size)
        key_size, state_size = LENGTHS.unpack(head) if len(head) == LENGTHS.size else (1 << 31, 0)
        if key_size > KEY_BYTES_MAX or state_size > 1 << 28:
            raise ConfigError(f"{path} is damaged: a hidden state has no valid length")
        key, state = file.read(key_size), file.read(state_size)
        if (len(key), len(state)) != (key_size, state_size):
            raise ConfigError(f"{path} is damaged: it ends within a hidden state")
        yield key, state
