"""What answers where a broker should be, asked by hand before a client is opened.

kafka-python 3.0.12 tries for half a minute and then says "Unable to bootstrap", whatever is the matter: nobody listens,
TLS meets plain text or the other way round, the certificate is not trusted, the broker offers other SASL mechanisms, or
the password is wrong. A greeting of a few requests tells them apart.

Sources: the Kafka protocol guide (requests 18 ApiVersions, 17 SaslHandshake, 36 SaslAuthenticate).
"""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka.net.sasl import get_sasl_mechanism

from shared.errors import ConfigurationError, SkureelError, TemporaryError
from shared.settings import KafkaSettings

ANSWER_SECONDS = 2.0
"""How long one listener may take for each answer."""
PATIENCE_SECONDS = 5.0
"""How long a command asks on where nobody answers: a broker that restarts is back by then."""

_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 17, 36
_UNSUPPORTED_MECHANISM, _NO_SASL_HERE = 33, 34
_MOST_BYTES = 1024 * 1024
_PROTOCOLS = {
    (False, False): "PLAINTEXT",
    (True, False): "SSL",
    (False, True): "SASL_PLAINTEXT",
    (True, True): "SASL_SSL",
}


def check_listeners(
    settings: KafkaSettings,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Return when one of the brokers takes us as we are set up.

    Raises ConfigurationError when one says that it never will, and TemporaryError when none answered for so long.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        problem = problem_of(settings)
        if problem is None:
            return
        if isinstance(problem, ConfigurationError) or time.monotonic() >= deadline:
            raise problem
        pause(0.5)


def problem_of(settings: KafkaSettings) -> SkureelError | None:
    """What hinders each of the brokers from taking us, as the error to end with; None where one does.

    Raises ConfigurationError when what we need for asking is missing: a broker's name, credentials, a certificate.
    """
    if settings.security_protocol.startswith("SASL_"):
        sasl_arguments(settings)
    problems: list[SkureelError] = []
    for host, port in addresses((settings.bootstrap_servers or "").split(",")):
        try:
            _greet(settings, host, port)
        except (ConfigurationError, TemporaryError) as error:
            problems.append(error)
        else:
            return None
    return next((found for found in problems if isinstance(found, ConfigurationError)), problems[0])


def sasl_arguments(settings: KafkaSettings) -> dict[str, str]:
    """kafka-python's arguments for authentication. Raises ConfigurationError when one is missing."""
    if not (settings.sasl_mechanism and settings.sasl_username and settings.sasl_password):
        raise ConfigurationError(
            f"{settings.security_protocol} needs a mechanism, a user name and a password; "
            "set SKUREEL_KAFKA__SASL_MECHANISM, __SASL_USERNAME and __SASL_PASSWORD"
        )
    return {
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": settings.sasl_password.get_secret_value(),
    }


def addresses(servers: Iterable[str]) -> list[tuple[str, int]]:
    """The brokers as host and port. Raises ConfigurationError for what is none, or where there is none."""
    found = [_address(server.strip()) for server in servers if server.strip()]
    if not found:
        raise ConfigurationError("no Kafka broker is set; set SKUREEL_KAFKA__BOOTSTRAP_SERVERS=host:port")
    return found


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        raise ConfigurationError(f"{server!r} is no broker; SKUREEL_KAFKA__BOOTSTRAP_SERVERS takes host:port")
    return host.strip("[]"), int(port)


class _Conversation:
    """One connection to a listener: a request, its answer."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def ask(self, key: int, version: int, body: bytes = b"") -> bytes:
        """The answer's body. Raises OSError; a ValueError for an answer that is none of Kafka's."""
        message = struct.pack(">hhih7s", key, version, 1, 7, b"skureel") + body
        self._stream.sendall(struct.pack(">i", len(message)) + message)
        (size,) = struct.unpack(">i", self._read(4))
        if not 4 <= size <= _MOST_BYTES:
            raise ValueError("the answer is not Kafka's")
        return self._read(size)[4:]

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            some = self._stream.recv(size - len(read))
            if not some:
                raise ConnectionError("the connection was closed without an answer")
            read += some
        return read


def _greet(settings: KafkaSettings, host: str, port: int) -> None:
    """Raises what hinders the listener at this address from taking us."""
    place = f"Kafka at {host}:{port}"
    with_tls = settings.security_protocol.endswith("SSL")
    context = _context(settings) if with_tls else None
    try:
        with _connected(place, host, port) as raw, _secured(place, raw, host, context) as stream:
            conversation = _Conversation(stream)
            offered = _apis(conversation)
            if _SASL_HANDSHAKE in offered:
                _authenticate(settings, place, conversation)
    except ssl.SSLCertVerificationError as error:
        raise ConfigurationError(
            f"{place} shows a certificate that is not trusted: {error.verify_message}; set SKUREEL_KAFKA__SSL_CAFILE "
            "to the authority that signed it, and name the broker as the certificate does"
        ) from error
    except (OSError, ValueError) as error:
        raise _mistaken_protocol(settings, place, host, port) or TemporaryError(
            f"{place} takes connections and does not greet: {error}; check that a Kafka broker listens there, and that "
            f"it speaks {settings.security_protocol}"
        ) from error


@contextmanager
def _connected(place: str, host: str, port: int) -> Iterator[socket.socket]:
    try:
        connection = socket.create_connection((host, port), timeout=ANSWER_SECONDS)
    except socket.gaierror as error:
        raise TemporaryError(
            f"{place} does not answer: the name {host!r} is not known here ({error.strerror}); check "
            "SKUREEL_KAFKA__BOOTSTRAP_SERVERS"
        ) from error
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TemporaryError(
            f"{place} does not answer: {reason}; check that it runs, and SKUREEL_KAFKA__BOOTSTRAP_SERVERS"
        ) from error
    with connection:
        yield connection


@contextmanager
def _secured(place: str, raw: socket.socket, host: str, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    if context is None:
        yield raw
        return
    with context.wrap_socket(raw, server_hostname=host) as stream:
        yield stream


def _context(settings: KafkaSettings) -> ssl.SSLContext:
    """As the client makes it. Raises ConfigurationError for a PEM file that cannot be read or is none."""
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path = getattr(settings, name)
        try:
            if path is not None:
                path.open("rb").close()
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read: {error.strerror}; put the PEM file there or change "
                f"SKUREEL_KAFKA__{name.upper()}"
            ) from error
    context = ssl.create_default_context()
    try:
        if settings.ssl_cafile is not None:
            context.load_verify_locations(settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except ssl.SSLError as error:
        files = ", ".join(str(path) for path in (settings.ssl_cafile, settings.ssl_certfile) if path is not None)
        raise ConfigurationError(
            f"{files}: no PEM certificates that TLS can use ({error.reason}); check SKUREEL_KAFKA__SSL_CAFILE, "
            "__SSL_CERTFILE and __SSL_KEYFILE"
        ) from error
    return context


def _apis(conversation: _Conversation) -> set[int]:
    """The numbers of the requests that the broker takes."""
    answer = conversation.ask(_API_VERSIONS, 0)
    try:
        (count,) = struct.unpack_from(">i", answer, 2)
        return {struct.unpack_from(">h", answer, 6 + 6 * place)[0] for place in range(min(count, len(answer) // 6))}
    except struct.error as error:
        raise ValueError("the answer is not Kafka's") from error


def _authenticate(settings: KafkaSettings, place: str, conversation: _Conversation) -> None:
    with_sasl = settings.security_protocol.startswith("SASL_")
    with_tls = settings.security_protocol.endswith("SSL")
    name = (settings.sasl_mechanism or "PLAIN").encode()
    answer = conversation.ask(_SASL_HANDSHAKE, 1, struct.pack(">h", len(name)) + name)
    (code,) = struct.unpack_from(">h", answer)
    if code == _NO_SASL_HERE or not with_sasl:
        if (code == _NO_SASL_HERE) == with_sasl:
            other = _PROTOCOLS[with_tls, not with_sasl]
            wants = "asks nobody for a password" if with_sasl else f"asks for a password (SASL {_offered(answer)})"
            raise ConfigurationError(f"{place} {wants}; set SKUREEL_KAFKA__SECURITY_PROTOCOL={other}")
        return
    if code == _UNSUPPORTED_MECHANISM:
        raise ConfigurationError(
            f"{place} does not offer SASL {settings.sasl_mechanism}, but {_offered(answer)}; set "
            "SKUREEL_KAFKA__SASL_MECHANISM to one of those"
        )
    mechanism = get_sasl_mechanism(settings.sasl_mechanism)(**sasl_arguments(settings))
    refused = _refusal(mechanism, conversation)
    if refused is not None:
        raise ConfigurationError(
            f"{place} refuses user {settings.sasl_username!r}: {refused}; check SKUREEL_KAFKA__SASL_USERNAME and "
            "__SASL_PASSWORD"
        )


def _refusal(mechanism: Any, conversation: _Conversation) -> str | None:
    """Why the broker does not take the credentials; None where it does."""
    while not mechanism.is_done():
        token = mechanism.auth_bytes()
        answer = conversation.ask(_SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        code, length = struct.unpack_from(">hh", answer)
        message = answer[4 : 4 + max(length, 0)]
        if code:
            return message.decode("utf-8", "replace") or "authentication failed"
        (size,) = struct.unpack_from(">i", answer, 4 + len(message))
        try:
            mechanism.receive(answer[8 + len(message) :][: max(size, 0)])
        except ValueError:
            return "authentication failed"
    return None if mechanism.is_authenticated() else "authentication failed"


def _offered(answer: bytes) -> str:
    """The mechanisms in a SaslHandshake's answer."""
    names = []
    (count,) = struct.unpack_from(">i", answer, 2)
    place = 6
    for _ in range(min(count, 16)):
        (length,) = struct.unpack_from(">h", answer, place)
        names.append(answer[place + 2 : place + 2 + length].decode("ascii", "replace"))
        place += 2 + length
    return ", ".join(names) or "no mechanism"


def _mistaken_protocol(settings: KafkaSettings, place: str, host: str, port: int) -> ConfigurationError | None:
    """Whether the listener greets in the other of TLS and plain text."""
    with_tls = settings.security_protocol.endswith("SSL")
    with_sasl = settings.security_protocol.startswith("SASL_")
    other = None
    if not with_tls:
        # Only whether it speaks TLS is asked, and nothing is said that a certificate would have to protect.
        other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        other.check_hostname = False
        other.verify_mode = ssl.CERT_NONE
    try:
        with _connected(place, host, port) as raw, _secured(place, raw, host, other) as stream:
            if with_tls:
                _apis(_Conversation(stream))
    except (OSError, ValueError, SkureelError):
        return None
    speaks, not_spoken = ("plain text", "TLS") if with_tls else ("TLS", "plain text")
    wanted = _PROTOCOLS[not with_tls, with_sasl]
    return ConfigurationError(
        f"{place} speaks {speaks}, not {not_spoken}; set SKUREEL_KAFKA__SECURITY_PROTOCOL={wanted}, or name its "
        f"listener for {settings.security_protocol}"
    )
