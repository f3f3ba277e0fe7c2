"""The probes' and metrics' own HTTP server, on its own thread: it answers whatever the other threads do."""

import json
import logging
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from shared.errors import ConfigurationError
from shared.printable import one_line
from shared.settings import HealthSettings

log = logging.getLogger(__name__)


class HealthServer:
    """`/health/live`, `/health/ready` (200 or 503) and `/metrics`, while the context is open.

    `live` and `unready` are called from the server's threads. `unready` says why nothing can be taken, for whoever
    looks at the body of a 503, and None where it can. Ready implies live.
    """

    def __init__(
        self,
        settings: HealthSettings,
        *,
        live: Callable[[], bool],
        unready: Callable[[], str | None],
        registry: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._live = live
        self._unready = unready
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
            return _verdict("ready", reason is None, reason)
        return HTTPStatus.NOT_FOUND, "application/json", b'{"error": "no such page"}'

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            timeout = 10
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
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Without asking for the machine's name, for which a name server that is away keeps one waiting."""
        if self.address_family == socket.AF_INET6:
            # :: is for whoever speaks IPv4, too.
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line in the log, as of everything else. Whoever asked has no answer, which is no for a probe."""
        log.warning("a probe from %s was not answered: %r", client_address[0], sys.exception())


def _listening(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, address = found[0][0], found[0][4]

    class Server(_Server):
        address_family = family

    return Server((str(address[0]), port), handler)


def _verdict(name: str, holds: bool, reason: str | None = None) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if holds else HTTPStatus.SERVICE_UNAVAILABLE
    body = {name: holds} if reason is None else {name: holds, "reason": one_line(reason)}
    return status, "application/json", json.dumps(body).encode()
