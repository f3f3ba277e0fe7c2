"""The servers that tests stand on, embedded and real, as fixtures.

`kafka_broker` and `object_store` run a test twice, on the stand-in and (marked `connected`) on the real thing. Each
test gets a topic prefix and a bucket of its own, so that servers can be shared by the whole run.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.embedded import embedded_broker, embedded_store
from shared.objects import ObjectStore
from shared.settings import KafkaSettings, ObjectSettings
from tests.servers import (
    RealKafka,
    RealMinio,
    UserOf,
    in_ci,
    kafka_at,
    lacking_kafka,
    lacking_minio,
    minio_at,
    minio_user,
    servers_folder,
)
from tests.shared_server import port_of_shared
from tests.side_by_side import Sharing, put_long_parts_first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    put_long_parts_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    return Sharing(config, log)


@pytest.fixture(scope="session")
def embedded_kafka_server() -> Iterator[KafkaSettings]:
    """The embedded broker of this run."""
    with embedded_broker() as settings:
        yield settings


@pytest.fixture(scope="session")
def embedded_objects_server() -> Iterator[ObjectSettings]:
    """The embedded store of this run."""
    with embedded_store() as settings:
        yield settings


@pytest.fixture(scope="session")
def run_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """What all processes of this run share: a folder, and the id of the run's first process."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent, os.getppid()) if hasattr(request.config, "workerinput") else (own, os.getpid())


@pytest.fixture(scope="session")
def real_kafka_server(run_folder: tuple[Path, int]) -> KafkaSettings:
    """The Apache Kafka of this run. Tests that break a broker use `breakable_kafka`."""
    _need(lacking_kafka)
    return kafka_at(port_of_shared("kafka", *run_folder))


@pytest.fixture(scope="session")
def real_minio_server(run_folder: tuple[Path, int]) -> ObjectSettings:
    """The MinIO of this run. Tests that break a store use `breakable_minio`."""
    _need(lacking_minio)
    return minio_at(port_of_shared("minio", *run_folder))


@pytest.fixture
def embedded_kafka(embedded_kafka_server: KafkaSettings) -> KafkaSettings:
    """Settings of the embedded broker with a topic prefix of this test's own."""
    return _with_own_prefix(embedded_kafka_server)


@pytest.fixture
def embedded_objects(embedded_objects_server: ObjectSettings) -> ObjectSettings:
    """Settings of the embedded store with a bucket of this test's own, made at `check`."""
    return _with_own_bucket(embedded_objects_server)


@pytest.fixture
def real_kafka(real_kafka_server: KafkaSettings) -> KafkaSettings:
    """Settings of Apache Kafka with a topic prefix of this test's own."""
    return _with_own_prefix(real_kafka_server)


@pytest.fixture
def real_minio(real_minio_server: ObjectSettings) -> ObjectSettings:
    """Settings of MinIO with a bucket of this test's own, made at `check`."""
    return _with_own_bucket(real_minio_server)


@pytest.fixture
def user_of(real_minio: ObjectSettings) -> UserOf:
    """Makes users of this test's bucket on MinIO: see `minio_user`."""
    ObjectStore(real_minio).check()
    return partial(minio_user, real_minio)


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.connected)])
def kafka_broker(request: pytest.FixtureRequest) -> KafkaSettings:
    """Either broker, with a topic prefix of this test's own."""
    settings: KafkaSettings = request.getfixturevalue("embedded_kafka" if request.param == "embedded" else "real_kafka")
    return settings


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.connected)])
def object_store(request: pytest.FixtureRequest) -> ObjectSettings:
    """Either object store, with a bucket of this test's own, made at `check`."""
    settings: ObjectSettings = request.getfixturevalue(
        "embedded_objects" if request.param == "embedded" else "real_minio"
    )
    return settings


@pytest.fixture(scope="module")
def breakable_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """An Apache Kafka for one module, to be stopped, killed and paused. Leave it running."""
    _need(lacking_kafka)
    with RealKafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="module")
def breakable_minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMinio]:
    """A MinIO for one module, to be stopped, killed and paused. Leave it running."""
    _need(lacking_minio)
    with RealMinio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def prefix_of_its_own() -> Callable[[KafkaSettings], KafkaSettings]:
    """For tests on `breakable_kafka`: its settings with a topic prefix of this test's own."""
    return _with_own_prefix


@pytest.fixture
def bucket_of_its_own() -> Callable[[ObjectSettings], ObjectSettings]:
    """For tests on `breakable_minio`: its settings with a bucket of this test's own."""
    return _with_own_bucket


def _need(lacking: Callable[[], str | None]) -> None:
    reason = lacking()
    if reason is None:
        return
    if in_ci() and servers_folder().is_dir():
        pytest.fail(f"{reason}; CI=true does not skip what is at hand")
    pytest.skip(reason)


def _with_own_prefix(settings: KafkaSettings) -> KafkaSettings:
    return settings.model_copy(update={"topic_prefix": f"t{uuid.uuid4().hex[:10]}."})


def _with_own_bucket(settings: ObjectSettings) -> ObjectSettings:
    return settings.model_copy(update={"bucket": f"t-{uuid.uuid4().hex[:10]}"})
