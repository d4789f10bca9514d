"""A local, read-only web page that shows a running fold.

The server listens on 127.0.0.1, and the page loads nothing from other servers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Any, Self

import orjson
from aiohttp import web
from aiokafka.errors import KafkaError

from stream_rnn.errors import ConfigError, StreamRNNError, reason
from stream_rnn.operate.dashboard_data import DashboardData
from stream_rnn.operate.open_fold import open_fold
from stream_rnn.settings import FoldSettings
from stream_rnn.worker.service_tasks import report_unexpected_end

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 20.0
SAMPLE_RETRY_S = 2.0
LINE_BYTES_MAX = 65_536
STATIC_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOCAL_NAMES = {"127.0.0.1", "localhost", "[::1]"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dashboard:
    """The server of the page; an async context manager.

    Args:
        data: Data that the page shows.
        port: Port on 127.0.0.1; 0 for any free one.
    """

    def __init__(self, data: DashboardData, port: int) -> None:
        self._data = data
        self._port = port
        self._is_closing = False
        self._now_lock, self._key_lock = asyncio.Lock(), asyncio.Lock()
        self.address = ""

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[_refuse_other_hosts], client_max_size=1024)
        for path, (name, kind) in STATIC_FILES.items():
            text = files("stream_rnn.operate").joinpath(name).read_text(encoding="utf-8")
            app.router.add_get(path, _text(text, kind))
        app.router.add_get("/now", self._now)
        app.router.add_get("/key", self._key)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1.0, max_line_size=LINE_BYTES_MAX
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            message = (
                f"cannot listen on 127.0.0.1:{self._port}: {reason(error)}; choose another --port"
            )
            raise ConfigError(message) from error
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        self._sampling = asyncio.create_task(self._sample(), name="the sample of predictions")
        report_unexpected_end(
            self._sampling, lambda: self._is_closing, lambda error: logger.error("%s", error)
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._is_closing = True
        self._sampling.cancel()
        with suppress(asyncio.CancelledError):
            await self._sampling
        await self._runner.cleanup()

    async def _sample(self) -> None:
        while True:
            try:
                await self._data.sampler.run()
            except (KafkaError, StreamRNNError, OSError) as error:
                logger.warning("cannot sample predictions, trying again: %s", reason(error))
            await asyncio.sleep(SAMPLE_RETRY_S)

    async def _now(self, _request: web.Request) -> web.Response:
        async with self._now_lock:  # however many pages are open, one request at a time
            return await _answer(self._data.now())

    async def _key(self, request: web.Request) -> web.Response:
        async with self._key_lock:
            return await _answer(self._data.key(request.query.get("key", "")))


@asynccontextmanager
async def open_dashboard(
    settings: FoldSettings, workers: Sequence[str], port: int, wall: Callable[[], float]
) -> AsyncIterator[Dashboard]:
    """Open a fold, and serve the page that shows it.

    Args:
        settings: Settings of the workers.
        workers: Health addresses of the workers; empty for the default ports of this machine.
        port: Port on 127.0.0.1; 0 for any free one.
        wall: Clock that returns seconds since 1970.
    """
    addresses = [address.rstrip("/") for address in workers]
    async with (
        open_fold(settings) as fold,
        Dashboard(DashboardData(fold, addresses, wall), port) as dashboard,
    ):
        yield dashboard


async def _answer(call: Awaitable[dict[str, Any]]) -> web.Response:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            body, status = await call, 200
    except ConfigError as error:
        body, status = {"error": str(error)}, 400
    except TimeoutError:
        message = f"Kafka or Redis did not answer within {ANSWER_TIMEOUT_S:g} s"
        body, status = {"error": message}, 503
    except (StreamRNNError, OSError) as error:
        body, status = {"error": reason(error)}, 503
    data = orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(body=data, status=status, content_type="application/json", headers=HEADERS)


def _text(text: str, kind: str) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, headers=HEADERS)

    return answer


@web.middleware
async def _refuse_other_hosts(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests under other host names, which prevents DNS rebinding, and from other pages."""
    if request.host.rsplit(":", 1)[0] not in LOCAL_NAMES:
        return web.Response(status=403, text="open this page as 127.0.0.1 or localhost")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if request.path not in STATIC_FILES and site not in {"same-origin", "none"}:
        return web.Response(status=403, text="only the dashboard itself may request this")
    return await handler(request)
