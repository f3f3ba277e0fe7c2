"""Dead letters are listed, shown with their exact bytes, and sent again, but not for ever."""

import re
from collections import Counter
from typing import Any

import pytest

from shared.errors import ConfigurationError, PermanentError
from shared.events import Event
from shared.kafka import Publisher, Worker, create_topics, list_dead_letters, replay_dead_letters, show_dead_letter
from shared.kafka.operating.deadletters import parse_place
from shared.kafka.story import MOST_REPLAYS
from shared.settings import KafkaSettings
from tests.delivery.harness import (
    CREATED,
    Answering,
    answered,
    headers_of,
    make_delivery_topics,
    publish_products,
    records_of,
    running,
)
from tests.polling import eventually


class Mended(Answering):
    """Fails on every product until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        super().__init__(self._fail)

    def _fail(self, event: Event[Any]) -> None:
        if not self.mended:
            raise PermanentError(f"{event.data.product_id} has no template", reason="no-template")


def test_a_dead_letter_is_listed_shown_and_sent_again(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker)
    topics = [kafka_broker.topic_prefix + CREATED + ".dlq"]
    publish_products(kafka_broker, ["p-1", "p-2"])
    with Publisher(kafka_broker) as publisher:
        publisher.publish_raw(kafka_broker.topic_prefix + CREATED, b"\xff", b"\x00poison")
    function = Mended()
    with running(function, kafka_broker):
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == 3)
        letters = {letter.key: letter for letter in list_dead_letters(kafka_broker, topics)}
        assert {letter.story.reason for letter in letters.values()} == {"no-template", "not-a-cloudevent"}
        shown = show_dead_letter(kafka_broker, letters[b"\xff"].place)
        assert (shown.value, shown.story.topic) == (b"\x00poison", kafka_broker.topic_prefix + CREATED)
        done = replay_dead_letters(kafka_broker, [letters[b"p-1"].place])
        assert (done.sent, done.parked) == (1, ())
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == 4)
    marked = [letter.place for letter in list_dead_letters(kafka_broker, topics) if letter.sent_again]
    assert marked == [letters[b"p-1"].place]
    before = Counter(record.key for record in records_of(kafka_broker, CREATED))
    done = replay_dead_letters(kafka_broker, topics=topics)
    assert (done.sent, done.overtaken) == (3, 1)
    after = Counter(record.key for record in records_of(kafka_broker, CREATED))
    assert after - before == {b"p-1": 1, b"p-2": 1, b"\xff": 1}
    assert replay_dead_letters(kafka_broker, topics=topics).sent == 0, "the same letters were sent again"
    assert all(letter.sent_again for letter in list_dead_letters(kafka_broker, topics))
    function.mended = True
    with running(function, kafka_broker):
        eventually(lambda: sorted(answered(kafka_broker)) == ["p-1", "p-2"])
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == 5)
    (open_letter,) = (letter for letter in list_dead_letters(kafka_broker, topics) if not letter.sent_again)
    assert (open_letter.key, open_letter.story.replays) == (b"\xff", 1)
    again = [record for record in records_of(kafka_broker, CREATED + ".dlq") if record.key == b"\xff"]
    assert [record.value for record in again] == [b"\x00poison"] * 2
    assert headers_of(again[0])["__connect.errors.class.name"] == f"{Worker.__module__}.{Worker.__qualname__}"
    first, second = (headers_of(record) for record in again)
    assert second["skureel.first-failed-at"] == first["skureel.first-failed-at"]
    assert (first["skureel.replays"], second["skureel.replays"]) == ("0", "1")


def test_a_dead_letter_is_shown_by_the_place_that_the_log_names(
    kafka_broker: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    make_delivery_topics(kafka_broker)
    publish_products(kafka_broker, ["p-1", "p-2"])
    with running(Mended(), kafka_broker):
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == 2)
    places = re.findall(r"see `skureel deadletters show (\S+)`", caplog.text)
    shown = [show_dead_letter(kafka_broker, place) for place in places]
    assert sorted(letter.key for letter in shown if letter.key) == [b"p-1", b"p-2"]
    with pytest.raises(PermanentError, match="there is no dead letter at"):
        show_dead_letter(kafka_broker, f"{kafka_broker.topic_prefix}{CREATED}:0:99")


def test_replays_of_a_letter_that_always_fails_come_to_an_end(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    topics = [kafka_broker.topic_prefix + CREATED + ".dlq"]
    publish_products(kafka_broker, ["p-1"])
    function = Mended()
    with running(function, kafka_broker):
        for number in range(MOST_REPLAYS):
            eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == number + 1)  # noqa: B023 - called at once
            assert replay_dead_letters(kafka_broker, topics=topics).sent == 1
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == MOST_REPLAYS + 1)
        last = replay_dead_letters(kafka_broker, topics=topics)
        assert last.sent == 0
        (why,) = last.parked
        assert re.fullmatch(rf"{topics[0]}:0:\d+ was sent again {MOST_REPLAYS} times and stays; .+", why)
    assert len(function.handled) == MOST_REPLAYS + 1
    sizes = [sum(len(raw) for _, raw in record.headers) for record in records_of(kafka_broker, CREATED + ".dlq")]
    assert max(sizes) - min(sizes) <= 2, "headers grow with every replay"


def test_a_record_that_failed_again_is_not_sent_twice(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    publish_products(kafka_broker, ["p-1", "p-2"])

    def await_letters(count: int) -> None:
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == count)

    with running(Mended(), kafka_broker):
        await_letters(2)
        first = next(letter for letter in list_dead_letters(kafka_broker) if letter.key == b"p-1")
        replay_dead_letters(kafka_broker, [first.place])
        await_letters(3)
        done = replay_dead_letters(kafka_broker)
        assert (done.sent, done.overtaken) == (2, 1)
        await_letters(5)
        done = replay_dead_letters(kafka_broker)
        assert (done.sent, done.overtaken) == (2, 0)
        await_letters(7)


def test_a_letter_of_other_bytes_from_the_same_place_is_one_of_its_own(kafka_broker: KafkaSettings) -> None:
    """A topic that was made anew counts from 0 again, and a forged story may name any place."""
    make_delivery_topics(kafka_broker, partitions=1)
    place = [
        (f"__connect.errors.{name}", raw) for name, raw in (("topic", b"t"), ("partition", b"0"), ("offset", b"7"))
    ]
    with Publisher(kafka_broker) as publisher:
        for value, replays in ((b"genuine", b"0"), (b"forged", b"1"), (b"genuine", b"1")):
            headers = [*place, ("skureel.replays", replays)]
            publisher.publish_raw(kafka_broker.topic_prefix + CREATED + ".dlq", b"k", value, headers)
    done = replay_dead_letters(kafka_broker)
    assert (done.sent, done.overtaken) == (2, 1)
    assert sorted(record.value for record in records_of(kafka_broker, CREATED)) == [b"forged", b"genuine"]


@pytest.mark.parametrize("place", ["", "topic", "topic:0", "topic:a:1", "topic:0:-1", "topic:0:٣", "t:0:" + "9" * 30])
def test_a_place_that_is_none_is_said(place: str) -> None:
    with pytest.raises(PermanentError) as caught:
        parse_place(place)
    assert caught.value.reason == "bad-place"


def test_a_letter_that_is_not_there_is_said(kafka_broker: KafkaSettings) -> None:
    create_topics(kafka_broker, partitions=1, replication=1)
    with pytest.raises(PermanentError) as caught:
        show_dead_letter(kafka_broker, f"{kafka_broker.topic_prefix}{CREATED}.dlq:0:5")
    assert caught.value.reason == "no-such-dead-letter"


def test_only_dead_letters_are_sent_again(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    publish_products(kafka_broker, ["p-1"])
    topic = kafka_broker.topic_prefix + CREATED
    for name in (topic, topic + ".retry.30s"):
        for use in (
            lambda name=name: replay_dead_letters(kafka_broker, topics=[name]),
            lambda name=name: list(list_dead_letters(kafka_broker, [name])),
        ):
            with pytest.raises(PermanentError, match=r"is no dead letter topic") as caught:
                use()
            assert caught.value.reason == "no-dead-letters"
        with pytest.raises(PermanentError, match=r"there is no dead letter at|has no topic"):
            replay_dead_letters(kafka_broker, [f"{name}:0:0"])
    assert len(records_of(kafka_broker, CREATED)) == 1


def test_a_topic_that_is_not_there_is_said(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    for use in (
        lambda: replay_dead_letters(kafka_broker, topics=["x.dlq"]),
        lambda: list(list_dead_letters(kafka_broker, ["x.dlq"])),
        lambda: show_dead_letter(kafka_broker, "x.dlq:0:0"),
    ):
        with pytest.raises(PermanentError, match=r"has no topic x\.dlq"):
            use()


def test_an_environment_without_dead_letter_topics_is_said(kafka_broker: KafkaSettings) -> None:
    with pytest.raises(ConfigurationError, match=r"SKUREEL_KAFKA__TOPIC_PREFIX"):
        replay_dead_letters(kafka_broker)


def test_a_letter_without_its_bytes_stays_where_it_is(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    topic = kafka_broker.topic_prefix + CREATED + ".dlq"
    story = [("__connect.errors.topic", b"t"), ("skureel.reason", b"invalid-json"), ("skureel.omitted-bytes", b"9999")]
    with Publisher(kafka_broker) as publisher:
        publisher.publish_raw(topic, None, b"", story)
        publisher.publish_raw(topic, b"k", b"v", story[:2])
    done = replay_dead_letters(kafka_broker, topics=[topic])
    (why,) = done.parked
    assert re.match(rf"{topic}:\d:0 was too large to be kept", why)
    assert done.sent == 1
    assert [record.value for record in records_of(kafka_broker, CREATED)] == [b"v"]


def test_every_place_that_the_log_names_of_a_record_is_taken(
    kafka_broker: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    topic = kafka_broker.topic_prefix + CREATED
    publish_products(kafka_broker, ["p-1", "p-2"])
    with running(Mended(), kafka_broker):
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == 2)
        (first,) = (letter for letter in list_dead_letters(kafka_broker) if letter.key == b"p-1")
        replay_dead_letters(kafka_broker, [first.place])
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == 3)
    (again,) = (letter for letter in list_dead_letters(kafka_broker) if letter.story.replays == 1)
    places = re.findall(r"(\S+) \(key p-1\) is a dead letter", caplog.text)
    came_back = places[-1]
    assert came_back not in (first.place, again.place)
    origin = f"{topic}:{first.story.partition}:{first.story.offset}"
    assert places[0] == origin
    for place in (again.place, came_back, origin):
        shown = show_dead_letter(kafka_broker, place)
        assert shown.place == again.place
        assert shown.earlier == (() if place == again.place else (first.place,))
    assert replay_dead_letters(kafka_broker, [again.place, came_back, origin]).sent == 1
    for place in (f"{topic}:0:{again.offset + 1000}", f"{topic}:99:0"):
        with pytest.raises(PermanentError, match="there is no dead letter at"):
            replay_dead_letters(kafka_broker, [place])


def test_what_will_fail_again_as_it_is_is_told_when_it_is_sent(kafka_broker: KafkaSettings) -> None:
    make_delivery_topics(kafka_broker, partitions=1)
    publish_products(kafka_broker, ["p-1"])
    with Publisher(kafka_broker) as publisher:
        publisher.publish_raw(kafka_broker.topic_prefix + CREATED, b"bad", b"{")
    with running(Mended(), kafka_broker):
        eventually(lambda: len(records_of(kafka_broker, CREATED + ".dlq")) == 2)
    bad = next(letter for letter in list_dead_letters(kafka_broker) if letter.key == b"bad")
    done = replay_dead_letters(kafka_broker)
    assert (done.sent, done.hopeless) == (
        2,
        (f"{bad.place} ({bad.story.reason}) will fail again as it is; publish it corrected",),
    )
