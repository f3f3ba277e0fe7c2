"""A replay answers each product once, by its latest event, and survives its own death."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.replay_events import Pace, Rate
from shared.errors import PermanentError, TemporaryError
from shared.kafka import Past
from shared.kafka.story import Story, written
from shared.settings import KafkaSettings
from tests.delivery.harness import records_of
from tests.polling import eventually
from tests.replay.past import (
    BULK,
    FAST,
    MINUTE_MS,
    NOW_MS,
    READY,
    REJECTED,
    UPDATED,
    Clips,
    Clock,
    make_replay_topics,
    open_replay,
    product_event,
    products_of,
    publish,
    replay_all,
    sent,
    spec_of,
)


def moment(minutes: float) -> datetime:
    """So many minutes from now."""
    return datetime.fromtimestamp(NOW_MS / 1000, UTC) + timedelta(minutes=minutes)


def test_each_product_is_asked_for_once_by_its_latest_event(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a", "red"), product_event("b", "red"), product_event("a", "blue"))
    publish(kafka_broker, product_event("b", "green", type_name=UPDATED), at_ms=NOW_MS - 1000)
    publish(kafka_broker, product_event("b", "white"), at_ms=NOW_MS - 2 * MINUTE_MS)
    # The last line lies behind b's first creation in the log, but before its update in time.
    assert replay_all(kafka_broker) == 2
    assert [event.data.spec.prompt for event in sent(kafka_broker)] == ["a blue mug", "a green mug"]


def test_an_event_that_came_back_from_its_retries_is_as_old_as_before(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    red, blue = product_event("a", "red"), product_event("a", "blue")
    publish(kafka_broker, red, at_ms=NOW_MS - 3 * MINUTE_MS)
    (first,) = records_of(kafka_broker, red.type)
    story = Story(first.topic, first.partition, first.offset, 1, 1, written_at_ms=first.timestamp, reason="temporary")
    publish(kafka_broker, blue, at_ms=NOW_MS - 2 * MINUTE_MS)
    publish(kafka_broker, red, at_ms=NOW_MS - MINUTE_MS, headers=written([], story, group="g", client_id="c"))
    assert replay_all(kafka_broker) == 1
    (event,) = sent(kafka_broker)
    assert event.data.spec.prompt == "a blue mug"
    assert event.sequence.startswith("2026-11-21T08:28:00.000000Z-0-"), "it is not as old as what it answers again"


def test_requests_go_into_the_bulk_lane_keyed_by_video_id(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a"))
    replay_all(kafka_broker)
    (event,) = sent(kafka_broker)
    assert event.type == BULK
    assert event.key == spec_of(product_event("a").data).video_id


def test_a_clip_that_is_there_is_announced_without_a_gpu(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a"), product_event("b"), product_event("c", "blue"))
    clips = Clips()
    clips.keep(product_event("a"))
    assert replay_all(kafka_broker, clips) == 3
    assert products_of(sent(kafka_broker, READY)) == ["a", "b"]
    assert all(event.data.cache_hit for event in sent(kafka_broker, READY))
    assert products_of(sent(kafka_broker)) == ["c"]


def test_a_clip_that_vanishes_after_the_plan_is_asked_for(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a"))
    clips = Clips()
    clips.keep(product_event("a"))
    with open_replay(kafka_broker, clips) as replay:
        plan = replay.plan()
        assert plan.to_draw.total() == 0
        clips.clear()
        assert replay.send(plan, FAST) == 1
    assert products_of(sent(kafka_broker)) == ["a"]
    assert sent(kafka_broker, READY) == []


def test_what_waits_for_a_person_or_is_rejected_today_is_left_alone(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a"), product_event("b", kind="forbidden"), product_event("c", kind="broken"))
    clips = Clips()
    clips.keep(product_event("a"), "review")
    with open_replay(kafka_broker, clips) as replay:
        plan = replay.plan()
        assert (plan.products, plan.in_review, plan.rejected, plan.to_send) == (3, 1, 1, 0)
        assert plan.failures == ["c: its photo is gone; upload it"]
        assert replay.send(plan, FAST) == 0
    assert sent(kafka_broker) == sent(kafka_broker, READY) == sent(kafka_broker, REJECTED) == []


def test_force_draws_anew_under_another_id(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a"), product_event("b"))
    clips = Clips()
    first = clips.keep(product_event("a"))
    replay_all(kafka_broker, clips, force=True)
    a, b = sent(kafka_broker)
    assert a.data.video_id == b.data.video_id != first.video_id
    assert a.data.spec.model_copy(update={"generation": 0}).canonical_json() == first.spec.canonical_json()
    assert sent(kafka_broker, READY) == []
    later = Clock(NOW_MS / 1000 + 60)
    replay_all(kafka_broker, clips, force=True, clock=later)
    assert len({event.data.video_id for event in sent(kafka_broker)}) == 2


def test_the_selection_bounds_what_is_replayed(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("old"), at_ms=NOW_MS - 60 * MINUTE_MS)
    publish(kafka_broker, product_event("a"), product_event("b", kind="lamp"), product_event("c", kind="vase"))

    def planned(**wanted: Any) -> list[str]:
        with open_replay(kafka_broker, **wanted) as replay:
            return sorted(step.request.product_id for step in replay.plan().steps())

    assert planned() == ["a", "b", "c", "old"]
    assert planned(since=moment(-30)) == ["a", "b", "c"]
    assert planned(until=moment(-30)) == ["old"]
    assert planned(products=frozenset({"a", "unknown"})) == ["a"]
    assert planned(categories=frozenset({"VASE"})) == ["c"]
    assert planned(categories=frozenset({"lighting"})) == ["b"], "a template's name will do"
    assert planned(template_version=1) == ["a", "b", "c", "old"]
    assert planned(template_version=2) == []
    assert sent(kafka_broker) == [], "planning sends nothing"


def test_a_product_that_changed_after_the_window_is_left_to_its_newer_event(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a", "red"), product_event("b"), at_ms=NOW_MS - 60 * MINUTE_MS)
    publish(kafka_broker, product_event("a", "blue", type_name=UPDATED))
    with open_replay(kafka_broker, until=moment(-30)) as replay:
        plan = replay.plan()
        assert [step.request.product_id for step in plan.steps()] == ["b"]
    assert plan.out_of_date == 1


def test_a_product_that_changes_during_the_replay_is_not_sent_as_it_was(
    kafka_broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, *(product_event(f"p{n}") for n in range(4)))
    slow = Rate(1.0)
    clock = Clock()
    updated: list[str] = []
    told: list[Past] = []

    with open_replay(kafka_broker, clock=clock) as replay:
        plan = replay.plan()
        order = [step.request.product_id for step in plan.steps()]
        ask = replay._history.news

        def news() -> list[Past]:
            # The test's clock moves at once; the broker needs some time of the real one to hand over the news.
            found: list[Past] = eventually(ask) if updated and not told else ask()
            told.extend(found)
            return found

        def sleep(seconds: float) -> None:
            if not updated:
                updated.append(order[-1])
                publish(kafka_broker, product_event(order[-1], "blue", type_name=UPDATED), at_ms=NOW_MS + 1000)
            clock.sleep(seconds)

        monkeypatch.setattr(replay._history, "news", news)
        count = replay.send(plan, slow, pace=Pace(slow, clock=clock, sleep=sleep))
    assert count == 3
    assert products_of(sent(kafka_broker)) == sorted(order[:-1])


class Crash(Exception):
    """Ends a replay as a kill would: nothing more is done."""


def crash_after(products: int) -> Any:
    def report(done: int, _: int) -> None:
        if done >= products:
            raise Crash

    return report


def send_until_crash(settings: KafkaSettings, products: int, *, clock: Clock | None = None, **wanted: Any) -> None:
    """A replay that sends one product at a time and dies after that many products."""
    rate = Rate(2.0)
    with pytest.raises(Crash), open_replay(settings, clock=clock, **wanted) as replay:
        replay.send(replay.plan(), rate, crash_after(products), Pace(rate, sleep=lambda _: None))


@pytest.mark.parametrize("force", [False, True])
def test_a_crashed_replay_goes_on_where_it_stopped(kafka_broker: KafkaSettings, force: bool) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, *(product_event(f"p{n:02}", f"shade-{n}") for n in range(20)))
    clock = Clock()
    send_until_crash(kafka_broker, 10, clock=clock, force=force)
    before = sent(kafka_broker)
    assert len(before) == 10

    # What was published meanwhile is not part of the run that goes on.
    publish(kafka_broker, product_event("late"), at_ms=NOW_MS + MINUTE_MS)
    clock.now += 3600
    with open_replay(kafka_broker, clock=clock, force=force) as replay:
        plan = replay.plan()
        assert replay.run.is_resumed
        assert (plan.done_before, plan.to_send) == (10, 10)
        assert replay.send(plan, FAST) == 10
    after = sent(kafka_broker)
    assert products_of(after) == [f"p{n:02}" for n in range(20)]
    assert {event.id for event in before} < {event.id for event in after}
    assert len({event.data.spec.generation for event in after}) == 1


def test_a_finished_replay_is_not_gone_on_with(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a"))
    clock = Clock()
    assert replay_all(kafka_broker, clock=clock) == 1
    clock.now += 60
    assert replay_all(kafka_broker, clock=clock) == 1
    first, second = sent(kafka_broker)
    assert first.id != second.id, "another replay is another cause, and its answers are new events"
    assert first.data == second.data


def test_another_selection_is_another_replay(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, *(product_event(f"p{n}") for n in range(4)))
    send_until_crash(kafka_broker, 1)
    with open_replay(kafka_broker, model="m r2") as replay:
        assert not replay.run.is_resumed
        assert replay.plan().to_send == 4


def test_what_is_sent_twice_without_transactions_has_one_id(
    embedded_kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_replay_topics(embedded_kafka)
    publish(embedded_kafka, product_event("a"))
    clock = Clock()
    with open_replay(embedded_kafka, clock=clock) as replay:
        plan = replay.plan()
        commit_really = replay._ledger._window.commit

        def commit(offsets: Any) -> None:
            if sent(embedded_kafka):
                raise Crash
            commit_really(offsets)

        monkeypatch.setattr(replay._ledger._window, "commit", commit)
        with pytest.raises(Crash):
            replay.send(plan, FAST)
    clock.now += 60
    replay_all(embedded_kafka, clock=clock)
    first, second = sent(embedded_kafka)
    assert first.id == second.id


@pytest.mark.connected
def test_what_a_crash_left_uncommitted_is_never_seen(real_kafka: KafkaSettings) -> None:
    make_replay_topics(real_kafka)
    publish(real_kafka, *(product_event(f"p{n}", f"shade-{n}") for n in range(4)))
    rate = Rate(4.0)
    with open_replay(real_kafka) as replay:

        def commits_fail(done: int, _: int) -> None:
            if done == 2:
                assert replay._ledger._sender is not None
                producer = replay._ledger._sender._producer
                producer.commit_transaction = lambda: (producer.flush(), crash_after(0)(done, 0))

        with pytest.raises(Crash):
            replay.send(replay.plan(), rate, commits_fail, Pace(rate, sleep=lambda _: None))
        # Its transaction is still open, as after a kill: a broker lets it stand for a minute.
        assert len(records_of(real_kafka, BULK, isolation="read_uncommitted")) == 4
        assert len(sent(real_kafka)) == 2
        with open_replay(real_kafka) as planned:
            assert planned.run.is_resumed
            assert planned.plan().done_before == 2
        assert replay_all(real_kafka) == 2
    assert products_of(sent(real_kafka)) == ["p0", "p1", "p2", "p3"]
    assert len({event.id for event in sent(real_kafka)}) == 4


@pytest.mark.connected
def test_of_two_processes_with_one_selection_only_one_goes_on(real_kafka: KafkaSettings) -> None:
    make_replay_topics(real_kafka)
    publish(real_kafka, *(product_event(f"p{n}", f"shade-{n}") for n in range(6)))
    rate = Rate(2.0)
    clock = Clock()
    with open_replay(real_kafka, clock=clock) as first:

        def another_starts(done: int, total: int) -> None:
            if done == 2:
                assert replay_all(real_kafka, clock=clock) == 4

        with pytest.raises(PermanentError, match="goes on there"):
            first.send(first.plan(), rate, another_starts, Pace(rate, clock=clock, sleep=clock.sleep))
    assert products_of(sent(real_kafka)) == [f"p{n}" for n in range(6)]


def test_a_plan_for_a_run_that_was_begun_elsewhere_is_not_sent(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a"), product_event("b"))
    clock = Clock()
    with open_replay(kafka_broker, clock=clock) as replay:
        plan = replay.plan()
        clock.now += 1
        send_until_crash(kafka_broker, 1, clock=clock)
        with pytest.raises(PermanentError, match="start it again"):
            replay.send(plan, FAST)
    assert len(sent(kafka_broker)) == 1


def test_what_another_process_sent_after_the_plan_is_not_sent_again(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, *(product_event(f"p{n}", f"shade-{n}") for n in range(4)))
    send_until_crash(kafka_broker, 1)
    reported: list[tuple[int, int]] = []
    with open_replay(kafka_broker) as replay:
        plan = replay.plan()
        assert plan.to_send == 3
        send_until_crash(kafka_broker, 1)
        assert replay.send(plan, FAST, lambda *progress: reported.append(progress)) == 2
    assert reported == [(3, 3)]
    assert products_of(sent(kafka_broker)) == ["p0", "p1", "p2", "p3"]


def test_a_replay_starts_a_trace_of_its_own_and_names_the_old_one(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    old = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    publish(kafka_broker, product_event("a", traceparent=old, tracestate="v=1"), product_event("b", "blue"))
    replay_all(kafka_broker)
    traced, untraced = sent(kafka_broker)
    assert traced.extensions["linkedtraceparent"] == old
    version, trace, span, flags = traced.extensions["traceparent"].split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert trace != old.split("-")[1]
    assert "tracestate" not in traced.extensions
    assert "linkedtraceparent" not in untraced.extensions
    assert untraced.extensions["traceparent"] != traced.extensions["traceparent"]


def test_the_rate_holds(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, *(product_event(f"p{n:02}") for n in range(20)))
    rate = Rate(4.0)
    clock = Clock()
    done_at: dict[int, float] = {}
    with open_replay(kafka_broker, clock=clock) as replay:
        start = clock.now
        replay.send(
            replay.plan(),
            rate,
            lambda done, _: done_at.__setitem__(done, clock.now - start),
            Pace(rate, clock=clock, sleep=clock.sleep),
        )
    assert list(done_at) == list(range(2, 21, 2))
    assert all(done <= rate.batch + rate.per_second * seconds + 1e-6 for done, seconds in done_at.items())
    assert done_at[20] == pytest.approx(18 / 4)


def test_a_store_that_fails_ends_the_replay_before_anything_is_sent(kafka_broker: KafkaSettings) -> None:
    make_replay_topics(kafka_broker)
    publish(kafka_broker, product_event("a"))
    with open_replay(kafka_broker) as replay:

        def find(_: str) -> None:
            raise TemporaryError("the store does not answer")

        replay._find = find
        with pytest.raises(TemporaryError, match="does not answer"):
            replay.plan()
    assert sent(kafka_broker) == []
