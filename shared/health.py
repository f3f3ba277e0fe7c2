"""The probes' and metrics' own HTTP server, on its own thread: it answers whatever the other threads do."""

import json
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from shared.errors import ConfigurationError
from shared.printable import one_line
from shared.settings import HealthSettings

MOST_CONNECTIONS = 32
REQUEST_SECONDS = 10.0
"""How long a request may take in all, from its connection to the last byte of the answer."""
_ROOM_SECONDS = 1.0
"""How long a new connection waits for the oldest to end, which may be about to look for its answer."""

log = logging.getLogger(__name__)


class HealthServer:
    """`/health/live`, `/health/ready` (200 or 503) and `/metrics`, while the context is open.

    `live`, `unready` and `notice` are called from the server's threads. `unready` says why nothing can be taken, for
    whoever looks at the body of a 503, and None where it can; `notice` what is wrong all the same, for the body of a
    200. Ready implies live.
    """

    def __init__(
        self,
        settings: HealthSettings,
        *,
        live: Callable[[], bool],
        unready: Callable[[], str | None],
        registry: CollectorRegistry,
        notice: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._live = live
        self._unready = unready
        self._notice = notice
        self._registry = registry
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        """The port listened on, once open."""

    def __enter__(self) -> "HealthServer":
        """Listen. Raises ConfigurationError when the port is taken or not allowed."""
        host, port = self._settings.host, self._settings.port or 0
        try:
            self._server = _listening(host, port, self._handler())
        except OSError as error:
            raise ConfigurationError(
                f"the probes' server cannot listen on port {port} of {host}: {error.strerror}; set "
                "SKUREEL_HEALTH__PORT to another, or 0 for any that is free; or "
                "SKUREEL_HEALTH__HOST to an address of this machine"
            ) from error
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        path = path.partition("?")[0]
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if path == "/health/live":
            return _verdict("live", self._live())
        if path == "/health/ready":
            reason = self._unready() if self._live() else "the worker has not come round for too long"
            return _verdict("ready", reason is None, reason, self._notice() if reason is None else None)
        return HTTPStatus.NOT_FOUND, "application/json", b'{"error": "no such page"}'

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            server_version = "skureel"
            sys_version = ""

            def do_GET(self) -> None:
                status, kind, body = answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                log.debug("probe: %s", format % args)

        return Handler


class _Server(ThreadingHTTPServer):
    """A thread for each connection, of which there are few and none lasts: whoever reaches the port costs little.

    Where there is no room for one more, the oldest is ended. A probe says at once what it wants and is answered in
    milliseconds, so that the oldest is whoever is slow.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open: dict[socket.socket, float] = {}  # each with its end, the oldest first
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, once there is room. Where none comes, the connection is closed."""
        if not self._room.acquire(blocking=False):
            self._end_oldest()
            if not self._room.acquire(timeout=_ROOM_SECONDS):
                self.shutdown_request(request)
                return
        with self._lock:
            self._open[request] = time.monotonic() + REQUEST_SECONDS
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, which makes room."""
        with self._lock:
            had_room = self._open.pop(request, None) is not None
        super().shutdown_request(request)
        if had_room:
            self._room.release()

    def service_actions(self) -> None:
        """Several times a second: end what has taken too long, whatever it sends or takes meanwhile."""
        now = time.monotonic()
        with self._lock:
            for request in [request for request, end in self._open.items() if end <= now]:
                _end(request)

    def _end_oldest(self) -> None:
        with self._lock:
            if (oldest := next(iter(self._open), None)) is not None:
                _end(oldest)

    def server_bind(self) -> None:
        """Without asking for the machine's name, for which a name server that is away keeps one waiting."""
        if self.address_family == socket.AF_INET6:
            # :: is for whoever speaks IPv4, too.
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line in the log, as of everything else. Whoever asked has no answer, which is no for a probe."""
        error = sys.exception()
        # Whoever goes away, or was ended for being slow, is no news, and must not fill the log.
        level = logging.DEBUG if isinstance(error, ConnectionError) else logging.WARNING
        log.log(level, "a probe from %s was not answered: %r", client_address[0], error)


def _end(request: socket.socket) -> None:
    """Wake the thread that reads or writes there; it closes the connection."""
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _listening(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, address = found[0][0], found[0][4]

    class Server(_Server):
        address_family = family

    return Server((str(address[0]), port), handler)


def _verdict(
    name: str, holds: bool, reason: str | None = None, notice: str | None = None
) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if holds else HTTPStatus.SERVICE_UNAVAILABLE
    told = {"reason": reason, "notice": notice}
    body = {name: holds, **{key: one_line(text) for key, text in told.items() if text is not None}}
    return status, "application/json", json.dumps(body).encode()
