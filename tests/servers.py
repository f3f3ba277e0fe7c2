"""Real Apache Kafka and real MinIO for tests: found, started, and broken on purpose.

`TEST_SERVERS` names the folder that holds `kafka/` and `minio/`; without it `../shared/servers` beside the checkout is
looked at. The variable has no SKUREEL_ prefix, since an unknown name with it is an error of the settings.
"""

import http.client
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import psutil
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin
from pydantic import SecretStr

from shared.embedded.server_process import ServerProcess, free_ports
from shared.kafka.mends import open_client
from shared.settings import KafkaSettings, ObjectSettings
from tests.polling import eventually

REPOSITORY = Path(__file__).resolve().parent.parent
KAFKA_READY_SECONDS = 120.0
MINIO_READY_SECONDS = 60.0
STOP_SECONDS = 30.0

# Where servers are is said to the tests, not to the product: shared/settings.py is not concerned.
_ENVIRONMENT: Mapping[str, str] = os.environ  # noqa: TID251


def in_ci() -> bool:
    """Whether a missing or failing server is an error rather than a reason to skip."""
    return _ENVIRONMENT.get("CI", "").lower() == "true"


def servers_folder() -> Path:
    """Where the real servers are looked for."""
    return Path(_ENVIRONMENT.get("TEST_SERVERS") or REPOSITORY.parent / "shared" / "servers").resolve()


def lacking_kafka() -> str | None:
    """Why Apache Kafka cannot be started here; None where it can."""
    starter = servers_folder() / "kafka" / "bin" / "kafka-server-start.sh"
    if not starter.is_file():
        return f"no Apache Kafka: {starter} is not there (TEST_SERVERS names the folder)"
    if shutil.which("java") is None:
        return "no Apache Kafka: java is not installed"
    return None


def lacking_minio() -> str | None:
    """Why MinIO cannot be started here; None where it can."""
    server = servers_folder() / "minio" / "minio"
    return None if server.is_file() else f"no MinIO: {server} is not there (TEST_SERVERS names the folder)"


class _Breakable:
    """A server that a test may stop, kill, pause and start again; its data and its address stay."""

    def __init__(self) -> None:
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int:
        """The server's own process id."""
        return self._running().pid

    def start(self) -> None:
        """Start and wait until requests are answered."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ask it to stop, as an operator does, and wait."""
        self._running().terminate(STOP_SECONDS)
        self._process = None

    def kill(self) -> None:
        """SIGKILL: nothing is written or said any more."""
        self._running().kill()
        self._process = None

    def pause(self) -> None:
        """SIGSTOP, and wait until every thread stands: connections stay open and nothing answers."""
        self._running().signal(signal.SIGSTOP)
        eventually(lambda: psutil.Process(self.pid).status() == psutil.STATUS_STOPPED, describe="the server stands")

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._running().signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    def _running(self) -> ServerProcess:
        assert self._process is not None, "the server is not started"
        return self._process


class RealKafka(_Breakable):
    """One Apache Kafka node, broker and controller in one, with its data under `directory`.

    `more_listeners` are written after its own, each with a comma before it.
    """

    def __init__(
        self, directory: Path, *, overrides: Mapping[str, str] | None = None, more_listeners: str = ""
    ) -> None:
        super().__init__()
        self._directory = directory
        self._home = servers_folder() / "kafka"
        self.port, controller = free_ports(2)
        self._properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}{more_listeners}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}{more_listeners}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.logs),
            "num.partitions": "4",
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # Tests date records as they like; a broker would delete those that are older than a week.
            "log.retention.ms": "-1",
            # Short sessions let tests see a member that died.
            "group.min.session.timeout.ms": "1000",
            # Above what the worker's producer sends (max_request_size_bytes): dead letters hold whatever came.
            "message.max.bytes": str(10 * 1024 * 1024),
            **(overrides or {}),
        }

    @property
    def settings(self) -> KafkaSettings:
        """How clients reach it."""
        return kafka_at(self.port)

    @property
    def logs(self) -> Path:
        """Where the broker keeps its partitions, a folder each."""
        return self._directory / "logs"

    def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        configuration = self._directory / "server.properties"
        configuration.write_text("".join(f"{name}={value}\n" for name, value in self._properties.items()))
        environment = {
            "KAFKA_HEAP_OPTS": "-Xmx512m -Xms256m",
            # Up sooner and lighter beside the tests: the broker is never hot for long here.
            "KAFKA_JVM_PERFORMANCE_OPTS": "-server -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true",
            "LOG_DIR": str(self._directory / "log4j"),
            "KAFKA_HOME": str(self._home),
        }
        if not self.logs.exists():
            self._format(configuration, environment)
        self._process = ServerProcess(
            "Apache Kafka",
            [self._home / "bin" / "kafka-server-start.sh", configuration],
            log=self._directory / "kafka.log",
            environment=environment,
        )
        try:
            self._process.wait_until(self._answers, timeout_seconds=KAFKA_READY_SECONDS)
        except BaseException:
            self.kill()
            raise

    def _format(self, configuration: Path, environment: Mapping[str, str]) -> None:
        done = subprocess.run(
            [
                self._home / "bin" / "kafka-storage.sh",
                "format",
                "--cluster-id",
                "c2t1cmVlbC10ZXN0cy0wMQ",
                "--config",
                configuration,
            ],
            env={**_ENVIRONMENT, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"kafka-storage.sh format failed: {done.stdout}{done.stderr}"

    def _answers(self) -> bool:
        """The broker is registered and takes client requests."""
        try:
            with open_client(
                KafkaAdminClient,
                bootstrap_servers=f"127.0.0.1:{self.port}",
                bootstrap_timeout_ms=500,
                request_timeout_ms=2000,
            ) as admin:
                return bool(admin.describe_cluster()["brokers"])
        except (KafkaError, OSError):
            return False


class RealMinio(_Breakable):
    """One MinIO server with its data under `directory`."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self.port, self._console = free_ports(2)

    @property
    def settings(self) -> ObjectSettings:
        """How clients reach it. The bucket is made at `check`."""
        return minio_at(self.port)

    def start(self) -> None:
        data = self._directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        self._process = ServerProcess(
            "MinIO",
            [
                servers_folder() / "minio" / "minio",
                "server",
                data,
                "--address",
                f"127.0.0.1:{self.port}",
                "--console-address",
                f"127.0.0.1:{self._console}",
            ],
            log=self._directory / "minio.log",
            environment={
                "MINIO_ROOT_USER": "tests-access",
                "MINIO_ROOT_PASSWORD": "tests-secret",
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",
                "MINIO_CALLHOME_ENABLE": "off",
            },
        )
        try:
            self._process.wait_until(self._answers, timeout_seconds=MINIO_READY_SECONDS)
        except BaseException:
            self.kill()
            raise

    def _answers(self) -> bool:
        """S3 requests are judged. /minio/health/ready says 200 earlier, while they still get 503."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 403
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def kafka_at(port: int) -> KafkaSettings:
    """How clients reach an Apache Kafka of the tests."""
    return KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")


def minio_at(port: int) -> ObjectSettings:
    """How clients reach a MinIO of the tests. The bucket is made at `check`."""
    return ObjectSettings(
        endpoint=f"127.0.0.1:{port}",
        access_key="tests-access",
        secret_key=SecretStr("tests-secret"),
        secure=False,
        create_bucket=True,
    )


UserOf = Callable[..., ObjectSettings]
"""The fixture `user_of`: the test's bucket as a new user has it, with these statements of a policy."""


def minio_user(settings: ObjectSettings, *statements: tuple[str, str, str]) -> ObjectSettings:
    """The same bucket as a new user has it, who may list it, and whose policy has these statements besides: effect,
    action, place below it."""
    assert settings.endpoint
    assert settings.access_key
    assert settings.secret_key
    root = StaticProvider(settings.access_key, settings.secret_key.get_secret_value())
    admin = MinioAdmin(endpoint=settings.endpoint, credentials=root, secure=False)
    name = f"user-{uuid.uuid4().hex[:10]}"
    admin.user_add(name, "users-secret")
    allowed = [("Allow", "s3:ListBucket", ""), *statements]
    written = [
        {"Effect": effect, "Action": [action], "Resource": [f"arn:aws:s3:::{settings.bucket}{place}"]}
        for effect, action, place in allowed
    ]
    admin.policy_add(name, policy={"Version": "2012-10-17", "Statement": written})
    admin.attach_policy([name], user=name)
    return settings.model_copy(update={"access_key": name, "secret_key": SecretStr("users-secret")})


def make_topics(settings: KafkaSettings, *names: str, partitions: int = 4) -> None:
    """Make topics, named without the settings' prefix, on either broker.

    The embedded broker makes them itself when they are first asked for, always with 4 partitions.
    """
    topics = [settings.topic_prefix + name for name in names]
    servers = settings.bootstrap_servers
    if settings.api_version is None:
        with KafkaAdminClient(bootstrap_servers=servers) as admin:
            admin.create_topics([NewTopic(topic, partitions, 1) for topic in topics])
        return
    version = tuple(int(part) for part in settings.api_version.split("."))
    consumer = KafkaConsumer(bootstrap_servers=servers, api_version=version)
    try:
        for topic in topics:
            consumer.partitions_for_topic(topic)
    finally:
        consumer.close()
