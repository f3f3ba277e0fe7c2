"""One deadline over everything that a block reads, looked at where bytes come in.

A socket's timeout is a wait for the next byte: whoever sends one now and then holds a reader for ever, in the body or
before it, in headers, interim answers and handshakes. Connections of `pool_manager` know the block that they are used
in, so that no protocol on top has to count.
"""

import math
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.response import BaseHTTPResponse

_WAITS = 3
"""Connecting, sending and the answer: who takes as long as allowed for each still gets through."""
_SLOWEST_BYTES_PER_SECOND = 64 * 1024

_end: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give the block `seconds` in all for what it connects to and reads; then sockets raise TimeoutError, and urllib3
    its own kind. Resolving a host's name is not counted: the C library does it, by resolv.conf.
    """
    asked = time.monotonic() + seconds
    outer = _end.get()
    token = _end.set(asked if outer is None else min(outer, asked))
    try:
        yield
    finally:
        _end.reset(token)


def time_for(size_bytes: int, *, timeout_seconds: float) -> float:
    """Seconds in all for what waits at most `timeout_seconds` each time and moves so many bytes."""
    return _WAITS * timeout_seconds + size_bytes / _SLOWEST_BYTES_PER_SECOND


def pool_manager(*, timeout_seconds: float, maxsize: int, tls: bool) -> urllib3.PoolManager:
    """Connections whose every wait ends after `timeout_seconds`, and all of them with the block they are used in.

    A request ends after `time_for` its body, with or without such a block; where its answer is read by the caller, that
    reading is the caller's to end.
    """
    context = None
    if tls:
        context = ssl.create_default_context()
        context.sslsocket_class = _TimedTlsSocket
    manager = _Manager(
        timeout=urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds),
        retries=False,
        maxsize=maxsize,
        ssl_context=context,
    )
    manager.timeout_seconds = timeout_seconds
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


def _left(seconds: float) -> float:
    """`seconds`, or what is left of the block's time where that is less. TimeoutError: nothing is."""
    end = _end.get()
    left = seconds if end is None else min(seconds, end - time.monotonic())
    if left <= 0:
        raise TimeoutError("the time for it is up")
    return left


class _Manager(urllib3.PoolManager):
    timeout_seconds: float

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> BaseHTTPResponse:  # type: ignore[override]  # urllib3 leaves kw untyped
        """As urllib3 does it, within the time for it."""
        with within(time_for(len(kw.get("body") or b""), timeout_seconds=self.timeout_seconds)):
            return super().urlopen(method, url, redirect=redirect, **kw)


class _TimedSocket(socket.socket):
    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if _end.get() is None:
            return super().recv_into(*args, **kwargs)
        usual = self.gettimeout()
        self.settimeout(_left(math.inf if usual is None else usual))
        try:
            return super().recv_into(*args, **kwargs)
        finally:
            self.settimeout(usual)


class _TimedTlsSocket(_TimedSocket, ssl.SSLSocket):
    pass


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        """As urllib3 does it, but all addresses of a host share the time that urllib3 gives to each."""
        seconds = self.timeout
        assert isinstance(seconds, float | int)  # a sentinel elsewhere; `pool_manager` gives a number
        end = time.monotonic() + seconds
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from error
        failure: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in found:
            sock = _TimedSocket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(_left(end - time.monotonic()))
                sock.connect(address)
                sock.settimeout(_left(seconds))
                return sock
            except OSError as error:
                sock.close()
                failure = error
        raise NewConnectionError(self, f"Failed to establish a new connection: {failure}") from failure


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
