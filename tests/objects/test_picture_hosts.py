"""What an allowed host may do to us: nothing but give a picture, within a time and a size, or be waited for."""

import gzip
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.errors import PhotoNotYet, PhotoRefused, TemporaryError
from shared.objects import ObjectStore
from shared.photos import Photos
from shared.settings import ObjectSettings, RenderSettings
from tests.objects.faulty_server import http_answer
from tests.objects.picture_host import Certificate, Sending, dripping, make_certificate, picture_host

HOST = "img.example.com"
ADDRESS = f"https://{HOST}/a.png"
PNG = b"\x89PNG\r\n\x1a\n, the rest is the engine's business"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Of the allowed host."""
    return make_certificate(tmp_path_factory.mktemp("certificates"), HOST)


Serve = Callable[..., Any]


@pytest.fixture
def serving(
    certificate: Certificate, embedded_objects: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Photos whose allowed host is a server of this machine that answers so; its own certificate is trusted."""
    store = ObjectStore(embedded_objects)
    store.check()
    resolve = socket.getaddrinfo

    @contextmanager
    def serve(answer: bytes | Sending, *, shows: Certificate = certificate) -> Iterator[Photos]:
        with picture_host(shows, answer) as port, monkeypatch.context() as patch:

            def resolved(host: Any, *rest: Any, **more: Any) -> Any:
                if host != HOST:
                    return resolve(host, *rest, **more)
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

            patch.setattr(socket, "getaddrinfo", resolved)
            patch.setenv("SSL_CERT_FILE", str(certificate.certificate))
            photos = Photos(store, RenderSettings(image_hosts=(HOST,)))
            yield photos
            photos._http.clear()

    return serve


def test_a_host_that_proves_its_name_is_read(serving: Serve) -> None:
    with serving(http_answer("200 OK", PNG)) as photos:
        assert photos.digest(ADDRESS) == hashlib.sha256(PNG).hexdigest()


@pytest.mark.parametrize(
    ("before", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + PNG, b"."),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n.\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + PNG, b"."),
    ],
    ids=["status line", "header", "headers", "interim answers", "body", "chunks", "body without a length"],
)
def test_whatever_drips_is_given_up_after_the_time_for_a_photo(
    before: bytes, drop: bytes, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.photos.FETCH_SECONDS", 0.6)
    with serving(dripping(before, drop, every_seconds=0.05)) as photos:
        started = time.monotonic()
        with pytest.raises(PhotoNotYet, match=r"did not send it in time|is no answer"):
            photos.digest(ADDRESS)
        assert time.monotonic() - started < 5


def test_a_flood_without_an_end_is_given_up_at_the_limit(serving: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.photos.LIMIT_BYTES", 1000)

    def flood(connection: ssl.SSLSocket, _over: object) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"." * 65536)

    with serving(flood) as photos, pytest.raises(PhotoRefused, match="send a smaller file"):
        photos.digest(ADDRESS)


def test_a_store_that_drips_is_given_up_after_the_time_for_a_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.photos.FETCH_SECONDS", 0.6)
    with slow_store(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + PNG) as settings:
        photos = Photos(ObjectStore(settings), RenderSettings())
        started = time.monotonic()
        with pytest.raises(TemporaryError):
            photos.digest("uploads/a.png")
        assert time.monotonic() - started < 5


@contextmanager
def slow_store(before: bytes) -> Iterator[ObjectSettings]:
    over = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            dripping(before, b".", every_seconds=0.05)(connection, over)  # type: ignore[arg-type]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield ObjectSettings(endpoint=f"127.0.0.1:{listener.getsockname()[1]}", secure=False)
        finally:
            over.set()
            thread.join()


NONSENSE = {
    "nothing": b"",
    "no status line": b"nonsense\r\n\r\n",
    "binary": bytes(range(256)) * 8,
    "headers without an end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
    "one header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
    "fewer bytes than stated": http_answer("200 OK", PNG, stated_length=1000),
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "no chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + PNG,
    "a chunk cut off": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" + PNG,
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_an_answer_that_is_none_is_waited_for(answer: bytes, serving: Serve) -> None:
    with serving(answer) as photos, pytest.raises(PhotoNotYet, match="breaks off or is no answer") as missing:
        photos.digest(ADDRESS)
    assert not any(word in str(missing.value) for word in ("Error", "object at", "HTTPSConnection", "urllib3"))


@pytest.mark.parametrize(
    "status", ["404 Not Found", "410 Gone", "403 Forbidden", "429 Slow", "500 Oh", "503 No", "204 No"]
)
def test_what_is_not_there_yet_is_waited_for(status: str, serving: Serve) -> None:
    with serving(http_answer(status, b"")) as photos, pytest.raises(PhotoNotYet, match=f"answers {status[:3]}"):
        photos.digest(ADDRESS)


@pytest.mark.parametrize("to", ["https://img.example.com/a.png", "http://169.254.169.254/", ""])
def test_a_host_that_sends_elsewhere_is_not_followed(to: str, serving: Serve) -> None:
    answer = http_answer("302 Found", b"", headers=(f"Location: {to}",))
    with serving(answer) as photos, pytest.raises(PhotoRefused, match=r"another address \(302\)"):
        photos.digest(ADDRESS)


def test_compressed_pictures_are_not_unpacked(serving: Serve) -> None:
    bomb = gzip.compress(PNG + bytes(50_000_000))
    answer = http_answer("200 OK", bomb, headers=("Content-Encoding: gzip",))
    with serving(answer) as photos, pytest.raises(PhotoRefused, match="no JPEG, PNG or WebP"):
        photos.digest(ADDRESS)


def test_a_certificate_of_another_name_is_no_proof(serving: Serve, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, "evil.example")
    with serving(http_answer("200 OK", PNG), shows=other) as photos:
        with pytest.raises(PhotoNotYet, match="cannot prove its name"):
            photos.digest(ADDRESS)


def test_a_host_without_a_name_or_an_open_port_is_waited_for(
    embedded_objects: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = Photos(ObjectStore(embedded_objects), RenderSettings(image_hosts=("nowhere.invalid", HOST)))

    def resolved(host: str, *_: object, **__: object) -> Any:
        if host == HOST:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))] * 3
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with pytest.raises(PhotoNotYet, match="name is not known"):
        photos.digest("https://nowhere.invalid/a.png")
    with pytest.raises(PhotoNotYet, match="cannot be reached"):
        photos.digest(ADDRESS)


def test_all_addresses_of_a_host_share_one_time(
    embedded_objects: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.photos.FETCH_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # Nobody accepts: once its queue is full, further connections are neither taken nor refused.
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(full.getsockname())
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", full.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 40)
        photos = Photos(ObjectStore(embedded_objects), RenderSettings(image_hosts=(HOST,)))
        started = time.monotonic()
        with pytest.raises(PhotoNotYet):
            photos.digest(ADDRESS)
        assert time.monotonic() - started < 5
        for connection in waiting:
            connection.close()
