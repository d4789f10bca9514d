"""A proxy that hides requests of a broker from its clients, as brokers without transactions do.

It leaves some requests out of the list of supported requests, with which a broker answers the first
request of each connection.  Azure Event Hubs (Standard) leaves out those of transactions.
"""

import asyncio
import struct
from collections.abc import Collection
from contextlib import suppress
from typing import Self

ENTRY = struct.Struct(">hhh")


class HidingProxy:
    """A proxy in front of one broker; also an async context manager.

    Args:
        port: Port on which clients connect, which the broker advertises.
        broker_port: Port on which the broker listens.
        hidden: Keys of the requests to leave out.
    """

    def __init__(self, port: int, broker_port: int, hidden: Collection[int]) -> None:
        self._port = port
        self._broker_port = broker_port
        self._hidden = hidden
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader, writer) -> None:
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        copies = [self._copy(reader, broker_writer), self._answer(broker_reader, writer)]
        tasks = {asyncio.ensure_future(copy) for copy in copies}
        self._tasks |= tasks
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        broker_writer.close()
        writer.close()

    async def _copy(self, reader, writer) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()

    async def _answer(self, reader, writer) -> None:
        """Copy the answers, without the hidden requests in the first one (ApiVersions, version 0)."""
        with suppress(asyncio.IncompleteReadError):
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            body = await reader.readexactly(size)
            head, (count,) = body[:6], struct.unpack(">i", body[6:10])
            entries = [body[10 + 6 * i : 16 + 6 * i] for i in range(count)]
            known = [entry for entry in entries if ENTRY.unpack(entry)[0] not in self._hidden]
            answer = head + struct.pack(">i", len(known)) + b"".join(known)
            writer.write(struct.pack(">i", len(answer)) + answer)
            await writer.drain()
            await self._copy(reader, writer)
