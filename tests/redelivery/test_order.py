"""Answers can be ordered: each carries when and where its product's event was, and the last answer is the newest."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.derive_prompt.answered import AnsweredProducts
from functions.redeliver import build
from shared.clips import ClipRecord
from shared.errors import Superseded, TemporaryError
from shared.events import BulkVideoRequested, Event, answer
from shared.events.cloudevents import from_kafka, to_kafka
from shared.events.sequence import is_sequence, sequence
from shared.kafka import Publisher
from shared.kafka import story as stories
from shared.kafka.ordering import ordered
from shared.kafka.story import Story
from shared.settings import KafkaSettings, Settings
from tests.delivery.harness import make_delivery_topics, records_of, running
from tests.polling import eventually
from tests.prompts.conftest import CountingStore, product, started
from tests.servers import make_topics

AT = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
LATER = AT.timestamp() + 3600
SECOND = timedelta(seconds=1)


def event(type_name: str = "product.created", *, at: datetime | None = AT, **extensions: str) -> Event[Any]:
    return Event(type_name, "/market", "e-1", product(), at, extensions=extensions)


def order(cause: Event[Any], *, now: float = LATER, **story: Any) -> str:
    """The sequence that an event gets where its record tells such a story."""
    return ordered(cause, Story(**{"partition": 3, "offset": 42, **story}), now=now).sequence


MOMENTS = st.datetimes(timezones=st.just(UTC))
PLACES = st.tuples(MOMENTS, st.integers(0, 9), st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))


@given(PLACES, PLACES)
def test_sequences_compare_as_what_they_tell(one: Any, other: Any) -> None:
    texts = sequence(*one), sequence(*other)
    assert (texts[0] < texts[1], texts[0] == texts[1]) == (one < other, one == other)
    assert all(map(is_sequence, texts))


def test_a_sequence_tells_time_type_and_place() -> None:
    assert order(event("product.updated")) == "2026-11-21T08:30:00.000000Z-1-0000000003-0000000000000000042"
    elsewhere = AT.astimezone(timezone(timedelta(hours=8)))
    assert order(event("product.updated", at=elsewhere)) == order(event("product.updated"))


def test_an_update_comes_after_the_creation_of_the_same_moment() -> None:
    assert order(event("product.updated"), offset=1) > order(event(), offset=99)
    assert order(event(), offset=100) > order(event(), offset=99)


def test_an_event_without_a_time_has_its_records() -> None:
    assert order(event(at=None), written_at_ms=int(AT.timestamp() * 1000)) == order(event())


@pytest.mark.parametrize("hours", [-5, 0, 5])
def test_the_zero_time_of_go_and_net_is_no_time(hours: int) -> None:
    zero = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=hours)))
    assert order(event(at=zero), written_at_ms=int(AT.timestamp() * 1000)) == order(event())


@given(st.integers(-1, 2**63 - 1))
def test_whatever_time_a_record_has_its_event_is_in_order(timestamp: int) -> None:
    record = SimpleNamespace(topic="product.created", partition=0, offset=5, timestamp=timestamp, headers=[])
    story = stories.of(record, KafkaSettings(), now=LATER)
    text = ordered(event(at=None), story, now=LATER).sequence
    assert is_sequence(text)
    assert text <= order(event(at=datetime.fromtimestamp(LATER, UTC)))


def test_a_producers_own_sequence_is_not_believed() -> None:
    assert order(event(sequence=sequence(AT + SECOND * 5, 9, 0, 0))) == order(event())


def test_a_clock_that_is_ahead_supersedes_nothing_that_comes_after_the_event_is_read() -> None:
    ahead = order(event(at=AT + timedelta(days=365)), now=AT.timestamp())
    assert ahead < order(event(at=AT + SECOND), now=AT.timestamp() + 2)
    # Nor after its retries, however long these take.
    again = order(event(at=AT + timedelta(days=365)), now=LATER, first_failed_at="2026-11-21T08:30:00.000Z")
    assert again == ahead


def test_an_event_that_comes_back_is_as_old_as_before() -> None:
    """Its record is new: written later, further back in the log."""
    first = order(event(at=None), written_at_ms=5_000, now=10.0)
    again = order(event(at=None), written_at_ms=5_000, now=99.0, first_failed_at="1970-01-01T00:00:10.000Z")
    assert again == first


@pytest.mark.parametrize(
    "text", ["", "5", "9999-12-31T23:59:59.999999Z", "x" * 64, "2026-11-21T08:30:00.000000Z-1-3-4"]
)
def test_what_is_no_sequence_is_not_handed_on(text: str) -> None:
    assert not is_sequence(text)


def test_a_sequence_is_handed_on_from_event_to_event() -> None:
    cause = ordered(event(traceparent="00-1-2-01", other="x"), Story(), now=LATER)
    (request,) = started().handle(cause)
    assert request.extensions == {"traceparent": "00-1-2-01", "sequence": cause.sequence}
    message = to_kafka(request)
    read = from_kafka(message.headers, message.value)
    assert ordered(read, Story(partition=9, offset=9), now=LATER).sequence == cause.sequence


def test_the_payload_says_which_type_an_answer_has() -> None:
    (request,) = started().handle(event())
    assert request.type == "video.requested"
    bulk = answer(event(), BulkVideoRequested(**dict(request.data)), source="/s", time=AT)
    assert bulk.type == "video.requested.bulk"
    with pytest.raises(KeyError):
        answer(event(), event().data, source="/s", time=AT)


def dated(seconds: int, product_id: str = "SKU-1") -> Event[Any]:
    item = product(product_id=product_id)
    return ordered(Event("product.updated", "/m", f"e-{seconds}", item, AT + SECOND * seconds), Story(), now=LATER)


def test_an_older_event_of_an_answered_product_needs_no_answer() -> None:
    function = started()
    assert function.handle(dated(5))
    with pytest.raises(Superseded, match="SKU-1"):
        function.handle(dated(4))
    assert function.handle(dated(5)), "a redelivery is answered again"
    assert function.handle(dated(4, "SKU-2"))
    assert function.handle(dated(6))


def test_an_event_that_is_overtaken_while_it_is_in_work_is_not_answered() -> None:
    answered = AnsweredProducts(10)
    answered.check(dated(1))
    answered.note(dated(2))
    with pytest.raises(Superseded):
        answered.note(dated(1))


def test_a_failure_supersedes_nothing() -> None:
    class Away(CountingStore):
        def find(self, video_id: str) -> ClipRecord | None:
            raise TemporaryError("the store does not answer")

    function = started(store=Away())
    with pytest.raises(TemporaryError):
        function.handle(dated(5))
    with pytest.raises(TemporaryError):
        function.handle(dated(4))


def test_what_is_remembered_of_products_is_bounded_and_the_latest_answered_stay() -> None:
    answered = AnsweredProducts(2)
    for product_id in ("a", "b", "a", "c"):
        answered.note(dated(5, product_id))
    answered.check(dated(1, "b"))
    for product_id in ("a", "c"):
        with pytest.raises(Superseded):
            answered.check(dated(1, product_id))


def test_an_older_retry_does_not_overtake_a_newer_event(kafka_broker: KafkaSettings) -> None:
    class AwayOnce(CountingStore):
        """Does not answer the first question."""

        def find(self, video_id: str) -> ClipRecord | None:
            found = super().find(video_id)
            if len(self.asked) == 1:
                raise TemporaryError("the store does not answer")
            return found

    settings = kafka_broker.model_copy(update={"retry_delays_seconds": (1.0,), "retries_in_place": 0})
    make_delivery_topics(settings)
    make_topics(settings, "product.updated", "video.requested")
    red = Event("product.created", "/market", "e-red", product(color="红色"), AT)
    blue = Event("product.updated", "/market", "e-blue", product(color="蓝色"), AT + SECOND)
    with running(started(store=AwayOnce()), settings) as worker, Publisher(settings) as publisher:
        publisher.publish(red)
        publisher.flush()
        eventually(lambda: records_of(settings, "product.created.retry.1s"))
        publisher.publish(blue)
        publisher.flush()
        eventually(lambda: len(records_of(settings, "video.requested")) == 1)
        with running(build(Settings.model_construct()), settings):
            labels = {"topic": settings.topic_prefix + "product.created", "ending": "superseded"}
            eventually(lambda: worker.metrics.registry.get_sample_value("skureel_records_total", labels) == 1)
    (only,) = records_of(settings, "video.requested")
    request = from_kafka(only.headers, only.value)
    assert "蓝色" in request.data.spec.prompt
    assert request.sequence.startswith("2026-11-21T08:30:01.000000Z-1-")
