"""A TCP proxy that resets, delays and half-closes connections."""

import asyncio
import itertools
import socket
import struct
from contextlib import suppress

CHUNK_BYTES = 65_536


class Proxy:
    """Forwards connections of one port of 127.0.0.1 to a server.

    Args:
        upstream: Host and port of the server. A change applies to new connections.
        port: Port to listen on.

    Attributes:
        delay_s: Delay of each chunk in seconds, in both directions.
        reset_after: Number of reply bytes after which the proxy resets a connection; ``None`` for
            no limit.
        resets: Number of connections reset because of ``reset_after``.
    """

    def __init__(self, upstream: tuple[str, int], port: int) -> None:
        self.upstream = upstream
        self.port = port
        self.delay_s = 0.0
        self.reset_after: int | None = None
        self.resets = 0
        self._server: asyncio.Server | None = None
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task] = set()

    async def start(self) -> "Proxy":
        """Start listening."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def stop(self) -> None:
        """Stop listening, and reset all connections."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> int:
        """Reset every connection, in both directions; return the number of connections."""
        connections = list(self._open)
        for writer in itertools.chain.from_iterable(connections):
            _reset(writer)
        return len(connections)

    def half_close(self, *, towards_server: bool) -> int:
        """Send an end of file to one side of each connection; return the number of connections."""
        writers = [up if towards_server else down for down, up in self._open]
        for writer in writers:
            with suppress(OSError, RuntimeError):
                writer.write_eof()
        return len(writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        except OSError:
            _reset(writer)
            self._tasks.discard(task)
            return
        self._open.add((writer, up_writer))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, up_writer))
                group.create_task(self._forward(up_reader, writer, is_reply=True))
        except* (OSError, RuntimeError):
            pass  # the connection was reset, or written to after it was half closed
        except* asyncio.CancelledError:
            pass  # stop() cancels the tasks; asyncio's streams would report it
        finally:
            self._open.discard((writer, up_writer))
            for each_writer in (writer, up_writer):
                _reset(each_writer)
            self._tasks.discard(task)

    async def _forward(self, reader, writer, *, is_reply=False) -> None:
        bytes_left = self.reset_after
        while data := await reader.read(CHUNK_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            bytes_left = (
                self.reset_after if bytes_left is None or self.reset_after is None else bytes_left
            )
            if is_reply and bytes_left is not None:
                if len(data) > bytes_left:  # in the middle of a reply
                    writer.write(data[:bytes_left])
                    await writer.drain()
                    self.resets += 1
                    raise ConnectionResetError
                bytes_left -= len(data)
            writer.write(data)
            await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with a TCP reset."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError, RuntimeError):
        writer.transport.abort()
