"""A broker that does not take us says why: the listener is asked by hand, and no client is waited for."""

import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from shared.embedded.server_process import free_ports
from shared.errors import ConfigurationError, SkureelError, TemporaryError
from shared.kafka import Worker
from shared.kafka.listener import check_listeners, problem_of
from shared.settings import KafkaSettings
from tests.delivery.harness import Answering
from tests.servers import RealKafka, lacking_kafka

PASSWORD = "secret"
USER: dict[str, Any] = {"sasl_mechanism": "PLAIN", "sasl_username": "operator", "sasl_password": SecretStr(PASSWORD)}


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[KafkaSettings]:
    """A listener that treats every connection so."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    answer(connection)
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield KafkaSettings(bootstrap_servers=f"127.0.0.1:{server.getsockname()[1]}")
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def told(settings: KafkaSettings) -> str:
    problem = problem_of(settings)
    assert problem is not None
    return f"{type(problem).__name__}: {problem}"


def greets(*apis: int) -> Callable[[socket.socket], None]:
    """Answers ApiVersions with these requests, and a handshake as a listener without SASL."""

    def answer(connection: socket.socket) -> None:
        while request := connection.recv(4096):
            (key,) = struct.unpack_from(">h", request, 4)
            ranges = b"".join(struct.pack(">hhh", api, 0, 1) for api in apis)
            body = struct.pack(">hi", 0, len(apis)) + ranges if key == 18 else struct.pack(">hi", 34, 0)
            connection.sendall(struct.pack(">ii", len(body) + 4, 1) + body)

    return answer


@pytest.mark.parametrize("apis", [(0, 1, 3, 18), (0, 17, 18, 36), ()])
def test_a_broker_that_greets_is_taken(apis: tuple[int, ...]) -> None:
    with listening(greets(*apis)) as settings:
        assert problem_of(settings) is None


def test_of_several_brokers_one_is_enough() -> None:
    with listening(greets(18)) as settings:
        several = settings.model_copy(update={"bootstrap_servers": f"127.0.0.1:1,{settings.bootstrap_servers}"})
        assert problem_of(several) is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda connection: None, id="closes"),
        pytest.param(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="http"),
        pytest.param(lambda connection: connection.sendall(b"\0\0\0\4\0\0\0\1"), id="short"),
        pytest.param(lambda connection: connection.sendall(b"\0\0\0\6\0\0\0\1\0\0"), id="cut"),
        pytest.param(lambda connection: connection.sendall(b"\xff" * 64), id="noise"),
    ],
)
def test_what_is_no_broker_is_said(answer: Callable[[socket.socket], None]) -> None:
    with listening(answer) as settings:
        assert "takes connections and does not greet" in told(settings)


def test_nobody_is_waited_for_only_so_long() -> None:
    pauses: list[float] = []
    with pytest.raises(TemporaryError, match=r"Kafka at 127\.0\.0\.1:1 does not answer: Connection refused; check"):
        check_listeners(KafkaSettings(bootstrap_servers="127.0.0.1:1"), patience_seconds=0.0, pause=pauses.append)
    assert pauses == []


def test_a_broker_that_comes_back_is_waited_for() -> None:
    with listening(greets(18)) as settings:
        answers = iter(["127.0.0.1:1", settings.bootstrap_servers])
        # The settings are asked anew at each try, as the name of a broker is.
        changing = settings.model_construct(**settings.model_dump())
        object.__setattr__(changing, "bootstrap_servers", next(answers))
        check_listeners(changing, pause=lambda _: object.__setattr__(changing, "bootstrap_servers", next(answers)))


@pytest.mark.parametrize("servers", ["", "kafka", "kafka:", ":9092", "kafka:port", "kafka:70000", "kafka:٣", " , "])
def test_what_names_no_broker_is_a_configuration_error(servers: str) -> None:
    with pytest.raises(ConfigurationError, match="SKUREEL_KAFKA__BOOTSTRAP_SERVERS"):
        problem_of(KafkaSettings(bootstrap_servers=servers))


def test_a_name_that_is_not_known_is_said() -> None:
    assert "the name 'no.such.host.invalid' is not known here" in told(
        KafkaSettings(bootstrap_servers="no.such.host.invalid:9092")
    )


def test_a_certificate_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with listening(greets(18)) as settings:
        secured = settings.model_copy(update={"security_protocol": "SSL", "ssl_cafile": tmp_path / "ca.pem"})
        assert "ca.pem: no PEM certificates that TLS can use" in told(secured)
        missing = secured.model_copy(update={"ssl_cafile": tmp_path / "no.pem"})
        assert "no.pem cannot be read: No such file or directory" in told(missing)


def test_credentials_that_are_missing_are_said_before_anybody_is_asked() -> None:
    for missing in ("sasl_mechanism", "sasl_username", "sasl_password"):
        settings = KafkaSettings(
            bootstrap_servers="127.0.0.1:1", security_protocol="SASL_PLAINTEXT", **{**USER, missing: None}
        )
        with pytest.raises(ConfigurationError, match="SKUREEL_KAFKA__SASL_MECHANISM, __SASL_USERNAME and __SASL_PASS"):
            problem_of(settings)


def test_a_worker_ends_where_its_listener_will_never_take_it(tmp_path: Path) -> None:
    with listening(greets(18)) as settings:
        secured = settings.model_copy(update={"security_protocol": "SSL"})
        with pytest.raises(ConfigurationError, match="speaks plain text, not TLS"):
            Worker(Answering(), secured).run()


@pytest.fixture(scope="module")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Apache Kafka with a listener of each kind: the protocol to its address, and `ca` to its certificate."""
    reason = lacking_kafka()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("secured")
    store, authority = folder / "store.p12", folder / "ca.pem"
    keytool = ["keytool", "-alias", "broker", "-keystore", str(store), "-storepass", PASSWORD]
    names = ["-dname", "CN=localhost", "-ext", "SAN=dns:localhost,ip:127.0.0.1"]
    key = ["-genkeypair", "-keyalg", "RSA", "-keysize", "2048", "-storetype", "PKCS12", *names]
    for command in ([*keytool, *key], [*keytool, "-exportcert", "-rfc", "-file", str(authority)]):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    ports = dict(zip(("SSL", "SASL_PLAINTEXT", "SASL_SSL"), free_ports(3), strict=True))
    listeners = "".join(f",{name}://127.0.0.1:{port}" for name, port in ports.items())
    module = "org.apache.kafka.common.security"
    plain = f'{module}.plain.PlainLoginModule required username="b" password="b" user_operator="{PASSWORD}";'
    server = RealKafka(
        folder / "kafka",
        more_listeners=listeners,
        overrides={
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
            "SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
            "ssl.keystore.location": str(store),
            "ssl.keystore.password": PASSWORD,
            "ssl.keystore.type": "PKCS12",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            **{
                f"listener.name.{name}.{mechanism}.sasl.jaas.config": module_line
                for name in ("sasl_plaintext", "sasl_ssl")
                for mechanism, module_line in (
                    ("plain", plain),
                    ("scram-sha-256", f"{module}.scram.ScramLoginModule required;"),
                )
            },
        },
    )
    with server:
        yield {
            "PLAINTEXT": f"127.0.0.1:{server.port}",
            **{name: f"127.0.0.1:{port}" for name, port in ports.items()},
            "ca": str(authority),
        }


@pytest.mark.connected
@pytest.mark.parametrize(
    ("spoken", "set_up", "changes", "wanted"),
    [
        ("PLAINTEXT", "PLAINTEXT", {}, None),
        ("SSL", "SSL", {}, None),
        ("SASL_PLAINTEXT", "SASL_PLAINTEXT", {}, None),
        ("SASL_SSL", "SASL_SSL", {}, None),
        ("SSL", "PLAINTEXT", {}, "speaks TLS, not plain text; set SKUREEL_KAFKA__SECURITY_PROTOCOL=SSL"),
        ("PLAINTEXT", "SSL", {}, "speaks plain text, not TLS; set SKUREEL_KAFKA__SECURITY_PROTOCOL=PLAINTEXT"),
        ("SASL_SSL", "SASL_PLAINTEXT", {}, "set SKUREEL_KAFKA__SECURITY_PROTOCOL=SASL_SSL"),
        ("SASL_PLAINTEXT", "SASL_SSL", {}, "set SKUREEL_KAFKA__SECURITY_PROTOCOL=SASL_PLAINTEXT"),
        (
            "SASL_PLAINTEXT",
            "PLAINTEXT",
            {},
            "asks for a password (SASL PLAIN, SCRAM-SHA-256); set SKUREEL_KAFKA__SECURITY_PROTOCOL=SASL_PLAINTEXT",
        ),
        (
            "PLAINTEXT",
            "SASL_PLAINTEXT",
            {},
            "asks nobody for a password; set SKUREEL_KAFKA__SECURITY_PROTOCOL=PLAIN",
        ),
        (
            "SASL_PLAINTEXT",
            "SASL_PLAINTEXT",
            {"sasl_mechanism": "SCRAM-SHA-512"},
            "does not offer SASL SCRAM-SHA-512, but PLAIN, SCRAM-SHA-256; set SKUREEL_KAFKA__SASL_MECHANISM",
        ),
        ("SASL_SSL", "SASL_SSL", {"sasl_password": SecretStr("x")}, "refuses user 'operator': Authentication failed"),
        (
            "SASL_PLAINTEXT",
            "SASL_PLAINTEXT",
            {"sasl_mechanism": "SCRAM-SHA-256"},
            "refuses user 'operator': Authentication failed",
        ),
        ("SSL", "SSL", {"ssl_cafile": None}, "shows a certificate that is not trusted: self-signed certificate"),
    ],
)
def test_every_mismatch_says_what_to_set(
    spoken: str, set_up: str, changes: dict[str, object], wanted: str | None, secured_kafka: dict[str, str]
) -> None:
    settings = KafkaSettings(
        bootstrap_servers=secured_kafka[spoken],
        security_protocol=set_up,  # type: ignore[arg-type]  # one of its words
        ssl_cafile=Path(secured_kafka["ca"]),
    ).model_copy(update={**(USER if "SASL" in set_up else {}), **changes})
    problem: SkureelError | None = problem_of(settings)
    if wanted is None:
        assert problem is None
        return
    assert isinstance(problem, ConfigurationError), problem
    assert wanted in str(problem)
    assert PASSWORD not in str(problem)
