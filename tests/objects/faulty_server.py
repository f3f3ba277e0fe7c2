"""A server that answers HTTP requests with prepared bytes, or with silence, as no object store would."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pydantic import SecretStr

from shared.settings import ObjectSettings

DRIP_SECONDS = 0.02

Respond = Callable[[bytes], bytes]
"""The answer to a request; empty: none ever."""


@contextmanager
def answering(answer: bytes | Respond, *, timeout_seconds: float = 5.0, drips: bytes = b"") -> Iterator[ObjectSettings]:
    """Settings of a store that sends `answer`, and `drips` byte by byte, and closes the connection."""
    respond = answer if callable(answer) else lambda _request: answer
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, respond, drips))
        thread.start()
        try:
            yield ObjectSettings(
                endpoint=f"127.0.0.1:{listener.getsockname()[1]}",
                access_key="access",
                secret_key=SecretStr("secret"),
                secure=False,
                timeout_seconds=timeout_seconds,
            )
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends accept(), which closing alone does not
            thread.join()


def _serve(listener: socket.socket, respond: Respond, drips: bytes) -> None:
    silent, clock = [], threading.Event()
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            answer = respond(_request(connection))
            if not answer + drips:
                silent.append(connection)
                continue
            with connection, suppress(OSError):
                connection.sendall(answer)
                for byte in drips:
                    connection.sendall(bytes([byte]))
                    clock.wait(DRIP_SECONDS)
    for connection in silent:
        connection.close()


def _request(connection: socket.socket) -> bytes:
    """A request, all of which is taken: a server that closes before loses its answer."""
    request, length = b"", 0
    with suppress(OSError), connection.makefile("rb") as lines:
        while line := lines.readline():
            request += line
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            if line == b"\r\n":
                request += lines.read(length)
                break
    return request


def http_answer(status: str, body: bytes, *, headers: tuple[str, ...] = (), stated_length: int | None = None) -> bytes:
    """An HTTP/1.1 answer; `stated_length` lies about the body's."""
    length = len(body) if stated_length is None else stated_length
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {length}", "Connection: close", *headers))
    return head.encode() + b"\r\n\r\n" + body
