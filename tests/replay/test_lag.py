"""`skureel lag` counts what KEDA counts."""

from collections.abc import Mapping

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaTimeoutError

from functions.derive_prompt import DerivePrompt
from functions.redeliver import build
from functions.registry import CARRIES, CONSUMES, FUNCTIONS
from functions.render_video import RenderVideo
from shared.errors import ConfigurationError, TemporaryError
from shared.function import Carrier
from shared.kafka import read_lag
from shared.kafka.client import connection
from shared.settings import KafkaSettings, Settings
from tests.delivery.harness import Answering, make_delivery_topics, publish_products, running
from tests.polling import eventually

CONSUMED = {"answering": ("product.created",)}
CARRIED = {"redeliver": ("product.created",)}


def lag_by_topic(settings: KafkaSettings, consumed: Mapping[str, tuple[str, ...]] = CONSUMED) -> dict[str, int]:
    """Offsets behind, by topic without prefix."""
    total: dict[str, int] = {}
    for part in read_lag(settings, consumed, CARRIED):
        name = part.topic.removeprefix(settings.topic_prefix)
        total[name] = total.get(name, 0) + part.offsets
    return total


def test_what_was_never_committed_is_all_behind(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker)
    publish_products(kafka_broker, [f"p{n}" for n in range(12)])
    parts = list(read_lag(kafka_broker, CONSUMED, CARRIED))
    created = [part for part in parts if part.function == "answering"]
    assert sum(part.offsets for part in created) == 12
    assert {part.committed for part in parts} == {None}
    assert [part.partition for part in created] == [0, 1, 2, 3]


def test_a_drained_function_is_not_behind(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker)
    publish_products(kafka_broker, [f"p{n}" for n in range(12)])
    with running(Answering(), kafka_broker), running(Carrier("redeliver", ("product.created",)), kafka_broker):
        eventually(
            lambda: sum(lag_by_topic(kafka_broker).values()) == 0,
            60,
            lambda: list(read_lag(kafka_broker, CONSUMED, CARRIED)),
        )
    publish_products(kafka_broker, ["late"])
    assert lag_by_topic(kafka_broker)["product.created"] == 1


@pytest.mark.connected
def test_what_retention_has_deleted_is_nobodys_backlog(real_kafka: KafkaSettings) -> None:
    make_delivery_topics(real_kafka, partitions=1)
    publish_products(real_kafka, [f"p{n}" for n in range(5)])
    with KafkaAdminClient(**connection(real_kafka, client_id="test-admin")) as admin:
        admin.delete_records({TopicPartition(real_kafka.topic_prefix + "product.created", 0): 3})
    assert lag_by_topic(real_kafka)["product.created"] == 2


@pytest.mark.connected
def test_lag_is_told_of_existing_topics_only_and_of_the_retry_topics_of_former_settings(
    real_kafka: KafkaSettings,
) -> None:
    make_delivery_topics(real_kafka.model_copy(update={"retry_delays_seconds": (0.5,)}))
    wanted = {"answering": ("product.created", "product.updated")}
    assert set(lag_by_topic(real_kafka, wanted)) == {"product.created", "product.created.retry.0.5s"}


def test_an_environment_without_topics_is_not_taken_for_one_without_lag(kafka_broker: KafkaSettings) -> None:
    with pytest.raises(ConfigurationError, match="SKUREEL_KAFKA__TOPIC_PREFIX"):
        list(read_lag(kafka_broker, CONSUMED, CARRIED))


def test_a_broker_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise KafkaTimeoutError("no broker")

    monkeypatch.setattr("shared.kafka.operating.window.check_listeners", lambda _: None)
    monkeypatch.setattr("shared.kafka.operating.window.open_consumer", refuses)
    with pytest.raises(TemporaryError, match=r"lag of answering: Kafka at here:1 did not do it: KafkaTimeoutError"):
        list(read_lag(KafkaSettings(bootstrap_servers="here:1"), CONSUMED, CARRIED))


def test_the_table_says_what_the_functions_say() -> None:
    assert {*CONSUMES, *CARRIES} == set(FUNCTIONS)
    assert CARRIES["redeliver"] == build(Settings.model_construct()).carries
    assert tuple(CONSUMES["derive_prompt"]) == tuple(DerivePrompt.consumes)
    assert tuple(CONSUMES["render_video"]) == tuple(RenderVideo.consumes)
