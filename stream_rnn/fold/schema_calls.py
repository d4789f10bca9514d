"""Decoding that fetches new schemas on the way, and waits while the registry does not answer."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from stream_rnn.errors import DecodeError
from stream_rnn.fold import micro_batch
from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.fold.framed import SchemasNeededError
from stream_rnn.fold.micro_batch import DecodedBatch
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.store.retry import retry


class SchemaCalls:
    """Decodes the micro-batches of one partition.

    Args:
        spec: Feature spec.
        settings: Limits and deadlines.
        place: Topic and partition, for messages.
        clock: Function that returns monotonic seconds.
        sleep: Function that waits for some seconds.

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
    ) -> None:
        self._decoder = Decoder(spec, settings, fetches=False)
        self._waits = settings.schema_registry_retry_s, clock, place, self._note_error, sleep
        self.error = ""

    async def decode(
        self, model: Model, records: Sequence[Record], stream_time_ms: int | None
    ) -> DecodedBatch:
        """Decode records; if they need new schemas, fetch these first.

        Raises:
            UnavailableError: The registry did not answer for ``schema_registry_retry_s``.
        """
        while True:
            try:
                return micro_batch.decode(self._decoder, model, records, stream_time_ms)
            except SchemasNeededError as needed:
                for schema_id in needed.schema_ids:
                    with suppress(DecodeError):  # it is remembered for the records of this id
                        await self._fetch(schema_id)

    async def _fetch(self, schema_id: str) -> None:
        assert self._decoder.schemas is not None, "only they need to be fetched"
        fetch = functools.partial(asyncio.to_thread, self._decoder.schemas.fetch, schema_id)
        await retry(fetch, *self._waits, server="the schema registry")

    def _note_error(self, reason: str) -> None:
        self.error = reason
