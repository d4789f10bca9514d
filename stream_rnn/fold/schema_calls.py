"""Decoding that fetches new schemas on the way, and waits while the registry does not answer.

What a schema id stands for is stored in Redis before the first record of the id is decoded.  So
every later worker, rebuild and audit takes the same, whatever the registry knows by then.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from stream_rnn.errors import ConfigError, reason
from stream_rnn.fold import micro_batch
from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.fold.framed import SchemasNeededError
from stream_rnn.fold.micro_batch import DecodedBatch
from stream_rnn.fold.store_calls import StoreCalls
from stream_rnn.formats.open_schemas import open_schemas
from stream_rnn.formats.schema_file import decode_line, encode_line
from stream_rnn.formats.schemas import Schemas, UnknownSchemaError, Verdict
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.store.retry import RETRY_FIRST_S, RETRY_LAST_S, retry

UNKNOWN_AFTER_S = 5.0
"""Seconds after which an id is unknown for good: a registry may know a new schema a moment later."""


class KeptSchemas(Protocol):
    """Keeps what the ids of an app's source stand for, as lines of JSON.

    Attributes:
        key: Name of the place.
    """

    key: str

    async def get(self, schema_id: str) -> bytes | None:
        """Return the line of an id; ``None`` if there is none."""

    async def keep(self, lines: Mapping[str, bytes]) -> dict[str, bytes]:
        """Write the lines of ids that have none, and return the lines that the ids have now."""


class SchemaCalls:
    """Decodes the micro-batches of one partition.

    Args:
        spec: Feature spec.
        settings: Limits and deadlines.
        place: Topic and partition, for messages.
        clock: Function that returns monotonic seconds.
        sleep: Function that waits for some seconds.
        kept: Where schemas are kept; ``None`` to keep none.
        calls: Calls of the store, which repeat those of ``kept``.

    Attributes:
        error: Why a call is being repeated; empty if the registry answers.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        settings: Settings,
        place: str,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        kept: KeptSchemas | None = None,
        calls: StoreCalls | None = None,
    ) -> None:
        schemas = open_schemas(settings, "" if kept is None else kept.key)
        self._decoder = Decoder(spec, settings, schemas=schemas, fetches=False)
        self._kept, self._calls = kept, calls
        self._clock, self._sleep = clock, sleep
        self._waits = settings.schema_registry_retry_s, clock, place, self._note_error, sleep
        self.error = ""

    async def decode(
        self, model: Model, records: Sequence[Record], stream_time_ms: int | None
    ) -> DecodedBatch:
        """Decode records; if they need new schemas, fetch and compile these first.

        Raises:
            UnavailableError: The registry did not answer for ``schema_registry_retry_s``, or does
                not know an id and ``on_unknown_schema`` is ``stop``; or the compiler of Protobuf
                cannot run.
            ConfigError: The same in a replay, or a limit is exceeded.
        """
        while True:
            try:
                return micro_batch.decode(self._decoder, model, records, stream_time_ms)
            except SchemasNeededError as needed:
                await self._learn_all(needed.schema_ids)
                for schema_id in needed.schema_ids:
                    await asyncio.to_thread(self._decoder.prepare, schema_id)

    async def keep_known(self) -> None:
        """Store what this process knows, in case Redis has lost it.

        Raises:
            UnavailableError: Redis did not answer for ``redis_retry_s``.
            ConfigError: Redis has another schema for an id.
        """
        if self._kept is None or self._decoder.schemas is None:
            return
        known = self._decoder.schemas.known()
        await self._keep({one: encode_line(one, verdict) for one, verdict in known.items()})

    async def _learn_all(self, schema_ids: Sequence[str]) -> None:
        """Find out what ids stand for; one that seems to be unknown is asked for again a while."""
        began_s, wait_s = self._clock(), RETRY_FIRST_S
        decides = self._kept is None
        left = [one for one in schema_ids if not await self._learn(one, decides=decides)]
        while left:
            await self._sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_LAST_S)
            decides = self._clock() - began_s >= UNKNOWN_AFTER_S
            left = [one for one in left if not await self._learn(one, decides=decides)]

    async def _learn(self, schema_id: str, *, decides: bool) -> bool:
        """Find out what an id stands for: from where it is kept, or else from the registry.

        Args:
            schema_id: Id.
            decides: Whether an id that the registry does not know is unknown for good.

        Returns:
            Whether it is found out.
        """
        schemas, kept = self._decoder.schemas, self._kept
        assert schemas is not None, "only they need to be fetched"
        if not schemas.missing([schema_id]):
            return True
        if kept is not None:
            line = await self._retry(lambda: kept.get(schema_id), "read a schema")
            if line is not None:
                schemas.add(*decode_line(line, f"{kept.key} {schema_id}"))
                return True
        look_up = functools.partial(self._look_up, schemas, schema_id)
        verdict = await retry(look_up, *self._waits, server="the schema registry")
        if getattr(verdict, "code", None) == "unknown_schema" and not decides:
            return False
        if kept is None:
            schemas.add(schema_id, verdict)
        else:
            await self._keep({schema_id: encode_line(schema_id, verdict)})
        return True

    async def _look_up(self, schemas: Schemas, schema_id: str) -> Verdict:
        try:
            return await asyncio.to_thread(schemas.look_up, schema_id)
        except UnknownSchemaError as error:
            if self._kept is None:  # a worker waits for it, and a replay has nobody to wait for
                raise ConfigError(reason(error)) from None
            raise

    async def _keep(self, lines: Mapping[str, bytes]) -> None:
        """Store lines, and take those that were there first."""
        schemas, kept = self._decoder.schemas, self._kept
        assert schemas is not None
        assert kept is not None
        stored = await self._retry(lambda: kept.keep(lines), "store schemas") if lines else {}
        for schema_id, line in stored.items():
            schemas.add(*decode_line(line, f"{kept.key} {schema_id}"))

    async def _retry(self, call: Callable[[], Awaitable[Any]], name: str) -> Any:
        assert self._calls is not None, "what is kept needs the calls of the store"
        return await self._calls.retry(call, name)

    def _note_error(self, reason: str) -> None:
        self.error = reason
