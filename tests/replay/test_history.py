"""Reading the past by time, and the ledger that says how far a replay came."""

import pytest
from kafka import KafkaProducer

from shared.errors import PermanentError
from shared.kafka import Bookmark, History, Ledger, Past, Unreadable
from shared.kafka.client import connection
from shared.settings import KafkaSettings
from tests.polling import eventually
from tests.replay.past import (
    CREATED,
    MINUTE_MS,
    NOW_MS,
    REJECTED,
    UPDATED,
    make_replay_topics,
    product_event,
    publish,
    sent,
)


def ids(pasts: list[Past]) -> list[str]:
    """Product ids, sorted: partitions come in any order."""
    return sorted(past.event.data.product_id for past in pasts)


def test_only_what_is_not_older_is_read(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    for minutes in range(6):
        publish(kafka_broker, product_event(f"p{minutes}"), at_ms=NOW_MS - minutes * MINUTE_MS)
    publish(kafka_broker, product_event("u", type_name=UPDATED), at_ms=NOW_MS)
    with History(kafka_broker, (CREATED, UPDATED), since_ms=NOW_MS - 2 * MINUTE_MS) as history:
        assert ids(list(history.read())) == ["p0", "p1", "p2", "u"]
    with History(kafka_broker, (CREATED,)) as history:
        assert len(list(history.read())) == 6
    with History(kafka_broker, (CREATED,), since_ms=NOW_MS + 1) as history:
        assert list(history.read()) == []


@pytest.mark.connected
def test_the_time_index_spares_reading_what_is_older(real_kafka: KafkaSettings) -> None:
    make_replay_topics(real_kafka)
    publish(real_kafka, *(product_event("p", f"shade-{n}") for n in range(30)), at_ms=NOW_MS - 60 * MINUTE_MS)
    publish(real_kafka, product_event("p", "new"))
    with History(real_kafka, (CREATED,), since_ms=NOW_MS - 2 * MINUTE_MS) as history:
        (past,) = history.read()
        assert history.starts[past.partition] == past.offset == 30
        quiet = {partition: end for partition, end in history.ends.items() if partition != past.partition}
        assert all(history.starts[partition] == end for partition, end in quiet.items())


def test_the_last_records_of_each_partition_can_be_asked_for(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, *(product_event("p", f"shade-{n}") for n in range(5)))
    with History(kafka_broker, (CREATED,), last=2) as history:
        assert [past.event.data.color for past in history.read()] == [("shade-3",), ("shade-4",)]


def test_what_comes_later_is_news(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a"))
    with History(kafka_broker, (CREATED, UPDATED)) as history:
        assert ids(list(history.read())) == ["a"]
        assert history.news() == []
        publish(kafka_broker, product_event("b", type_name=UPDATED))
        (late,) = eventually(history.news)
        assert late.event.data.product_id == "b"
        assert late.offset >= history.ends[late.partition]


def test_what_is_no_event_is_reported_and_passed_over(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    producer = KafkaProducer(**connection(kafka_broker, client_id="test-past"))
    producer.send(kafka_broker.topic_prefix + CREATED, b"{}", b"a").get(60)
    producer.close(timeout=10)
    publish(kafka_broker, product_event("a"))
    found: list[Unreadable] = []
    with History(kafka_broker, (CREATED,), on_unreadable=found.append) as history:
        assert ids(list(history.read())) == ["a"]
    assert [unreadable.error.reason for unreadable in found] == ["not-a-cloudevent"]


def test_a_topic_that_does_not_exist_has_no_past(kafka_broker: KafkaSettings) -> None:
    with History(kafka_broker, ("video.ready",)) as history:
        assert list(history.read()) == history.news() == []


@pytest.mark.connected
def test_what_an_aborted_transaction_sent_never_happened(real_kafka: KafkaSettings) -> None:
    make_replay_topics(real_kafka)
    producer = KafkaProducer(
        **connection(real_kafka, client_id="test-past"), transactional_id=real_kafka.topic_prefix + "aborts"
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(real_kafka.topic_prefix + CREATED, b"{}", b"a").get(60)
    producer.abort_transaction()
    producer.close(timeout=10)
    found: list[Unreadable] = []
    with History(real_kafka, (CREATED,), on_unreadable=found.append) as history:
        assert list(history.read()) == []
    assert found == []


def test_bookmarks_are_read_back_by_whoever_comes_next(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    first, second = ((kafka_broker.topic_prefix + CREATED, number) for number in (0, 1))
    with Ledger(kafka_broker, "replay-x") as ledger:
        assert ledger.bookmarks([first, second]) == {}
        ledger.claim()
        ledger.write([], {first: Bookmark(0, "begun")})
        ledger.write([], {first: Bookmark(7, '{"a": "中"}')})
    with Ledger(kafka_broker, "replay-x") as ledger:
        assert ledger.bookmarks([first, second]) == {first: Bookmark(7, '{"a": "中"}')}
    with Ledger(kafka_broker, "replay-y") as ledger:
        assert ledger.bookmarks([first, second]) == {}


@pytest.mark.connected
def test_whoever_was_fenced_leaves_neither_events_nor_bookmarks(real_kafka: KafkaSettings) -> None:
    make_replay_topics(real_kafka)
    partition = (real_kafka.topic_prefix + CREATED, 0)
    with Ledger(real_kafka, "replay-x") as old, Ledger(real_kafka, "replay-x") as new:
        old.claim()
        new.claim()
        with pytest.raises(PermanentError, match="started elsewhere") as raised:
            old.write([product_event("a", type_name=UPDATED)], {partition: Bookmark(1, "old")})
        assert raised.value.reason == "superseded"
        assert new.bookmarks([partition]) == {}
        new.write([product_event("b", type_name=UPDATED)], {partition: Bookmark(2, "new")})
        assert new.bookmarks([partition]) == {partition: Bookmark(2, "new")}
    assert [event.data.product_id for event in sent(real_kafka, UPDATED)] == ["b"]
    assert sent(real_kafka, REJECTED) == []
