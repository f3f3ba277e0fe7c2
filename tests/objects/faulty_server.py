"""A server that answers HTTP requests with prepared bytes, or with silence."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pydantic import SecretStr

from shared.settings import ObjectSettings


@contextmanager
def answering(answer: bytes | Callable[[bytes], bytes], *, timeout_seconds: float = 5.0) -> Iterator[ObjectSettings]:
    """Settings of a store that sends `answer`, or what it makes of the request, and closes the connection; empty: it
    never answers.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, answer))
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


def _serve(listener: socket.socket, answer: bytes | Callable[[bytes], bytes]) -> None:
    silent = []
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            if not answer:
                silent.append(connection)
                continue
            with connection, suppress(OSError):
                request = connection.recv(65536)
                connection.sendall(answer(request) if callable(answer) else answer)
    for connection in silent:
        connection.close()


def http_answer(status: str, body: bytes, *, headers: tuple[str, ...] = (), stated_length: int | None = None) -> bytes:
    """An HTTP/1.1 answer; `stated_length` lies about the body's."""
    length = len(body) if stated_length is None else stated_length
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {length}", "Connection: close", *headers))
    return head.encode() + b"\r\n\r\n" + body
