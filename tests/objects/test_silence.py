"""Why nothing answered, as it is told: in words, without the client's objects."""

import socket
import ssl
from http.client import RemoteDisconnected

import pytest
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    IncompleteRead,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from shared.deadlines import pool_manager
from shared.objects.silence import why_silent

CONNECTION = HTTPConnection("store", 9000)
POOL = urllib3.HTTPConnectionPool("store", 9000)
CLOSED = "it closed the connection without an answer"
REFUSED = NewConnectionError(CONNECTION, "Failed to establish a new connection: [Errno 111] Connection refused")
REFUSED.__cause__ = ConnectionRefusedError(111, "Connection refused")
WRONG_VERSION = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1000)")
WRONG_VERSION.reason = "WRONG_VERSION_NUMBER"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (REFUSED, "connection refused"),
        (MaxRetryError(POOL, "/", REFUSED), "connection refused"),
        (NameResolutionError("store", CONNECTION, socket.gaierror(-2, "unknown")), "its host name is not known here"),
        (ReadTimeoutError(POOL, "/", "Read timed out."), "timed out"),
        (
            ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer")),
            "connection reset by peer",
        ),
        (ProtocolError("Connection aborted.", RemoteDisconnected("Remote end closed connection")), CLOSED),
        (ProtocolError("Connection broken", IncompleteRead(1, 2)), "the answer broke off"),
        (SSLError(WRONG_VERSION), "wrong version number"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_a_failure_is_told_in_words(error: Exception, told: str) -> None:
    found = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    assert why_silent(found) == told


def test_a_port_where_nobody_listens_is_told_so() -> None:
    with pytest.raises(urllib3.exceptions.HTTPError) as caught:
        pool_manager(timeout_seconds=2, maxsize=1, tls=False).request("GET", "http://127.0.0.1:1/")
    assert why_silent(caught.value) == "connection refused"
