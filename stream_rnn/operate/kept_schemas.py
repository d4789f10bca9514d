"""The schemas that workers have stored in Redis, for verbs that fold the source again."""

import logging

from redis.exceptions import RedisClusterException, RedisError

from stream_rnn.errors import StreamRNNError, reason
from stream_rnn.formats.open_schemas import open_schemas
from stream_rnn.formats.schema_file import decode_line
from stream_rnn.operate.open_fold import open_redis
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_schemas import RedisSchemas

logger = logging.getLogger(__name__)


async def take_kept_schemas(settings: FoldSettings) -> None:
    """Let this process know what schema ids stand for to the workers of the app.

    Without Redis it asks the registry, which may know more schemas than it did, or fewer.

    Raises:
        ConfigError: The registry's address, or a stored schema, is not valid.
    """
    schemas = open_schemas(settings)
    if schemas is None:
        return
    try:
        async with open_redis(settings) as redis:
            kept = RedisSchemas(redis, settings)
            lines = await kept.read_all()
    except (StreamRNNError, RedisError, RedisClusterException, OSError) as error:
        logger.warning(
            "cannot read the schemas of %s from Redis: %s; the registry is asked for them",
            *(settings.app, reason(error, settings.redis_timeout_s)),
        )
        return
    for schema_id, line in lines.items():
        schemas.add(*decode_line(line, f"{kept.key} {schema_id}"))
