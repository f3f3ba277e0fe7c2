"""The probes' and metrics' own HTTP server, on its own thread: it answers whatever the other threads do."""

import json
import logging
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from shared.errors import ConfigurationError
from shared.settings import HealthSettings

log = logging.getLogger(__name__)


class HealthServer:
    """`/health/live`, `/health/ready` (200 or 503) and `/metrics`, while the context is open.

    `live` and `ready` are called from the server's threads. Ready implies live.
    """

    def __init__(
        self,
        settings: HealthSettings,
        *,
        live: Callable[[], bool],
        ready: Callable[[], bool],
        registry: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._live = live
        self._ready = ready
        self._registry = registry
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        """The port listened on, once open."""

    def __enter__(self) -> "HealthServer":
        """Listen. Raises ConfigurationError when the port is taken or not allowed."""
        try:
            self._server = _Server((self._settings.host, self._settings.port), self._handler())
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {self._settings.host}:{self._settings.port}: {error}; set SKUREEL_HEALTH__PORT"
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
            return _verdict("ready", self._live() and self._ready())
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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line in the log, as of everything else. Whoever asked has no answer, which is no for a probe."""
        log.warning("a probe from %s was not answered: %r", client_address[0], sys.exception())


def _verdict(name: str, holds: bool) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if holds else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps({name: holds}).encode()
