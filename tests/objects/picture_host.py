"""A host of pictures: a TLS server with a certificate of its own, that sends prepared bytes or sends as it is told."""

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS
from Crypto.Util.asn1 import DerBitString, DerInteger, DerObjectId, DerOctetString, DerSequence

Sending = Callable[[ssl.SSLSocket, threading.Event], None]
"""Answers one connection; the event is set when the test is over."""


class Certificate(NamedTuple):
    """PEM files of a certificate that is its own authority, and of its key."""

    certificate: Path
    key: Path


@contextmanager
def picture_host(certificate: Certificate, answer: bytes | Sending) -> Iterator[int]:
    """The port of a host that answers every request with these bytes, or as the function does."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    over = threading.Event()
    serving: list[threading.Thread] = []

    def serve(plain: socket.socket) -> None:
        with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
            if callable(answer):
                answer(connection, over)
                return
            connection.recv(65536)
            connection.sendall(answer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                serving.append(threading.Thread(target=serve, args=(plain,)))
                serving[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)  # ends accept(), which closing alone does not
            for thread in (accepting, *serving):
                thread.join()


def dripping(before: bytes, drop: bytes, every_seconds: float) -> Sending:
    """Send `before`, and then a drop now and then, for ever."""

    def send(connection: ssl.SSLSocket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(before)
        while not over.wait(every_seconds):
            connection.sendall(drop)

    return send


def make_certificate(folder: Path, name: str) -> Certificate:
    """A certificate for one DNS name, valid for a day, signed by its own key."""
    key = ECC.generate(curve="P-256")
    public = key.public_key().export_key(format="DER", compress=False)
    algorithm = DerSequence([DerObjectId("1.2.840.10045.4.3.2")])  # ecdsa-with-SHA256
    subject = _name(name)
    now = datetime.now(UTC)
    validity = _sequence(*(_time(now + timedelta(days=days)) for days in (-1, 1)))
    extensions = _sequence(
        _extension("2.5.29.17", _sequence(bytes([0x82, len(name)]) + name.encode())),  # subjectAltName
        _extension("2.5.29.19", _sequence(b"\x01\x01\xff")),  # basicConstraints: an authority
        _extension("2.5.29.15", DerBitString(b"\x84").encode()),  # keyUsage: signs data and certificates
        _extension("2.5.29.14", DerOctetString(hashlib.sha256(public).digest()[:20]).encode()),  # subjectKeyIdentifier
    )
    content = _sequence(
        b"\xa0\x03" + DerInteger(2).encode(),  # version 3
        DerInteger(1).encode(),
        algorithm.encode(),
        subject,
        validity,
        subject,
        public,
        _tagged(0xA3, extensions),
    )
    signature = DSS.new(key, "fips-186-3", encoding="der").sign(SHA256.new(content))
    der = _sequence(content, algorithm.encode(), DerBitString(signature).encode())
    files = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    files.certificate.write_text(ssl.DER_cert_to_PEM_cert(der))
    files.key.write_text(key.export_key(format="PEM"))
    return files


def _sequence(*parts: bytes) -> bytes:
    return DerSequence(list(parts)).encode()


def _tagged(tag: int, content: bytes) -> bytes:
    octets = DerOctetString(content).encode()
    return bytes([tag]) + octets[1:]


def _name(common_name: str) -> bytes:
    attribute = _sequence(DerObjectId("2.5.4.3").encode(), _tagged(0x0C, common_name.encode()))
    return _sequence(_tagged(0x31, attribute))


def _time(moment: datetime) -> bytes:
    return _tagged(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


def _extension(identifier: str, value: bytes) -> bytes:
    return _sequence(DerObjectId(identifier).encode(), DerOctetString(value).encode())
