"""The schemas of framed records in an export: lines of JSON after its second line."""

from collections.abc import Mapping
from typing import BinaryIO

from stream_rnn.errors import ConfigError
from stream_rnn.formats.schema_file import LINE_BYTES_MAX, decode_line
from stream_rnn.formats.schemas import SCHEMAS_MAX, is_same
from stream_rnn.operate.open_fold import Fold
from stream_rnn.store.redis_schemas import RedisSchemas


async def read_kept(fold: Fold) -> dict[str, bytes]:
    """Return the line of each schema id that the app's workers have met, in the order of the ids.

    Raises:
        UnavailableError: Redis does not answer.
    """
    if not fold.settings.reads_frames:
        return {}
    return dict(sorted((await RedisSchemas(fold.redis, fold.settings).read_all()).items()))


async def restore_kept(fold: Fold, file: BinaryIO, count: object, where: str) -> None:
    """Write the schemas of an export to Redis.

    Args:
        fold: Fold that receives them.
        file: Export, at the first line of a schema.
        count: Number of these lines, as the export has it.
        where: Path of the export, for messages.

    Raises:
        ConfigError: A line is no schema, or Redis has another schema for an id.
        UnavailableError: Redis does not answer.
    """
    if not isinstance(count, int) or not 0 <= count <= SCHEMAS_MAX:
        raise ConfigError(f"{where} is damaged: its number of schemas is none")
    if not count:
        return
    kept = RedisSchemas(fold.redis, fold.settings)
    saved: dict[str, bytes] = {}
    for _ in range(count):
        line = file.readline(LINE_BYTES_MAX).rstrip(b"\n")
        schema_id, _verdict = decode_line(line, where)
        saved[schema_id] = line
    _check(saved, await kept.keep(saved), kept.key, where)


def _check(saved: Mapping[str, bytes], stored: Mapping[str, bytes], key: str, where: str) -> None:
    for schema_id, line in saved.items():
        verdict = decode_line(line, where)[1]
        if not is_same(verdict, decode_line(stored[schema_id], f"{key} {schema_id}")[1]):
            raise ConfigError(
                f"schema id {schema_id} stands for another schema in Redis than in {where}: ids of "
                f"a topic belong to one registry; if those of Redis are wrong, delete {key} and "
                "import again"
            )
