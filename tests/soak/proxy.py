"""What stands between the workers and their object store in the mixed run, and fails as a store can.

A plain TCP proxy that looks at the head of each request. Whatever its weather, some keys are always hard: those with
`denied` in them are forbidden, and what is read of those with `drip` comes one byte at a time.
"""

import asyncio
import threading
import time
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self

DRIP_SECONDS = 3.0
_METHODS = (b"GET ", b"HEAD ", b"PUT ", b"POST ", b"DELETE ")


class Weather(Enum):
    """How the store does."""

    CLEAR = "clear"
    REFUSES = "refuses"
    """Every connection is reset."""
    HANGS = "hangs"
    """Connections are taken and nothing is ever answered."""
    UNAVAILABLE = "answers 503"
    READ_ONLY = "refuses writes"


class StoreProxy:
    """Passes on to the store at `port` of the loopback while the context is open."""

    def __init__(self, port: int) -> None:
        self.port = 0
        """Where to reach the store through it."""
        self._store = port
        self._weather = Weather.CLEAR
        self._turned = float("-inf")
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="store proxy", daemon=True)
        self._changed = asyncio.Event()

    @property
    def weather(self) -> Weather:
        """How the store does now. Setting it ends every connection that stands."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        asyncio.run_coroutine_threadsafe(self._turn(weather), self._loop).result(30)

    def was_away(self, seconds: float) -> bool:
        """Whether the store is away, or something about it changed within the last so many seconds."""
        return self._weather is not Weather.CLEAR or time.monotonic() - self._turned < seconds

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(30)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _turn(self, weather: Weather) -> None:
        self._weather = weather
        self._turned = time.monotonic()
        self._changed.set()
        self._changed = asyncio.Event()
        for writer in list(self._open):
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._turn(Weather.REFUSES)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        upstream = None
        try:
            if self._weather is Weather.REFUSES:
                writer.transport.abort()
            elif self._weather is Weather.HANGS:
                await self._changed.wait()
            else:
                back, upstream = await asyncio.open_connection("127.0.0.1", self._store)
                await self._exchange(reader, writer, back, upstream)
        except OSError:
            pass  # whoever asked has gone, or was sent away
        finally:
            self._open.discard(writer)
            for side in filter(None, (writer, upstream)):
                side.transport.abort()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        dripping = asyncio.Event()
        answers = asyncio.ensure_future(_pass_back(back, writer, dripping))
        try:
            while data := await reader.read(65536):
                if data.startswith(_METHODS):
                    method, path = data.split(b"\r\n", 1)[0].split(b" ")[:2]
                    refusal = self._refusal(method, path)
                    if refusal is not None:
                        writer.write(refusal)
                        await writer.drain()
                        writer.write_eof()
                        return
                    if method == b"GET" and b"drip" in path:
                        dripping.set()
                upstream.write(data)
                await upstream.drain()
        finally:
            answers.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await answers

    def _refusal(self, method: bytes, path: bytes) -> bytes | None:
        writes = method in (b"PUT", b"POST", b"DELETE")
        if self._weather is Weather.UNAVAILABLE or (self._weather is Weather.READ_ONLY and writes):
            return _refused(b"503 Service Unavailable", b"SlowDown", method)
        return _refused(b"403 Forbidden", b"AccessDenied", method) if b"denied" in path else None


async def _pass_back(back: asyncio.StreamReader, writer: asyncio.StreamWriter, dripping: asyncio.Event) -> None:
    while data := await back.read(65536):
        pieces = [data[at : at + 1] for at in range(len(data))] if dripping.is_set() else [data]
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if dripping.is_set():
                await asyncio.sleep(DRIP_SECONDS)
    writer.transport.abort()


def _refused(status: bytes, code: bytes, method: bytes) -> bytes:
    body = (
        b"" if method == b"HEAD" else b"<Error><Code>%s</Code><Message>the mixed run says so</Message></Error>" % code
    )
    head = b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, len(body)) + body
