"""What a replay says beforehand: how many videos, and how long the GPU will take, or plainly that nobody knows."""

from datetime import UTC, datetime
from typing import Any

import pytest

from functions.replay_events.pace import Rate
from functions.replay_events.plan import Cost, cost_of, describe, make_plan
from functions.replay_events.selection import LatestEvents, Selection, Window
from shared.events import VideoReady
from shared.kafka import Past
from shared.kafka.ordering import ordered
from shared.kafka.story import Story
from tests.replay.past import NOW_MS, UPDATED, Clips, derive, product_event, record, spec_of

PLACE = ("product.created", 0)
SELECTION = Selection(model="m r1")


def ready(seconds: dict[str, float], **changes: Any) -> VideoReady:
    """A recent video.ready that took so long."""
    spec = spec_of(product_event("x").data).model_copy(update=changes)
    return record(spec, seconds=seconds).ready("x", None, cache_hit=False)


def plan_of(*pasts: Past, clips: Clips | None = None, **wanted: Any) -> Any:
    """The plan for events in a window that holds them all."""
    selection = Selection(**{"model": "m r1", **wanted})
    ends = {past.partition: past.offset + 1 for past in pasts}
    latest = LatestEvents(selection, Window(ends, None))
    for past in pasts:
        latest.add(past)
    return make_plan(latest, selection, derive, (clips or Clips()).find, generation=0, is_done=lambda _: False)


def past(product_id: str, color: str = "red", offset: int = 0, **more: Any) -> Past:
    """A product event in the log."""
    partition, time_ms = more.pop("partition", PLACE), more.pop("time_ms", NOW_MS)
    event = product_event(product_id, color, **more)
    story = Story(partition=partition[1], offset=offset, written_at_ms=time_ms)
    return Past(partition, offset, time_ms, ordered(event, story, now=NOW_MS / 1000 + 60))


def test_products_that_share_a_clip_cost_one_video() -> None:
    plan = plan_of(past("a", offset=0), past("b", offset=1), past("c", "blue", offset=2))
    assert (len(plan.steps), len(plan.specs())) == (3, 2)


def test_the_cost_is_the_median_of_recent_clips_of_that_kind() -> None:
    recent = [ready({"denoise": denoise, "decode": 1.0, "store": 50.0}) for denoise in (2.0, 3.0, 90.0)]
    other_kinds = [ready({"denoise": 500.0}, steps=50), ready({"denoise": 500.0}, width=640), ready({})]
    specs = plan_of(past("a", offset=0), past("b", "blue", offset=1)).specs()
    assert cost_of(specs, recent + other_kinds) == Cost(videos=2, seconds=8.0, unknown=0, samples=3)


def test_another_models_times_tell_nothing() -> None:
    specs = [spec_of(product_event("a").data, revision="r2")]
    cost = cost_of(specs, [ready({"denoise": 2.0})])
    assert cost == Cost(videos=1, seconds=0.0, unknown=1, samples=0)
    assert any("unknown" in line for line in describe(plan_of(past("a")), cost, Rate(1.0)))


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (Cost(0, 0.0, 0, 0), "GPU time  none"),
        (Cost(3, 12.4, 0, 7), "GPU time  about 12 s by the median of 7 recent clips of their kind"),
        (
            Cost(3, 8.0, 1, 7),
            "GPU time  about 8 s by the median of 7 recent clips of their kind for 2 of them, unknown for 1",
        ),
    ],
)
def test_the_cost_is_told_in_a_line(cost: Cost, told: str) -> None:
    assert told in list(describe(plan_of(), cost, Rate(1.0)))


def test_the_plan_tells_what_is_left_out_and_why() -> None:
    clips = Clips()
    clips.keep(product_event("a"))
    plan = plan_of(
        past("a", offset=0),
        past("b", "blue", offset=1),
        past("c", kind="broken", offset=2),
        past("d", kind="forbidden", offset=3),
        clips=clips,
    )
    told = "\n".join(describe(plan, cost_of(plan.specs(), []), Rate(4.0), unreadable=5))
    for line in (
        "unread    5 records that are no events",
        "products  4",
        "left out  1 are rejected by the screening of today",
        "left out  1 could not be derived\n          c: its photo is gone; upload it",
        "to send   1 requests into the bulk lane, 1 answers whose clip is there",
        "to draw   1 videos",
        "sending   takes 0.5 s at 4/s",
    ):
        assert line in told


def test_a_category_that_leaves_a_broken_product_out_does_not_count_it_as_failed() -> None:
    plan = plan_of(past("a", offset=0), past("c", kind="broken", offset=1), categories=frozenset({"mug"}))
    assert (len(plan.steps), plan.failed) == (1, [])


def test_events_are_ordered_by_time_and_those_of_one_time_by_type_and_place() -> None:
    early, late = past("a", offset=1, time_ms=NOW_MS), past("a", offset=2, time_ms=NOW_MS)
    assert late.is_newer_than(early)
    assert not early.is_newer_than(late)
    assert not late.is_newer_than(late)
    assert past("a", offset=1, time_ms=NOW_MS + 5).is_newer_than(late)
    elsewhere = past("a", partition=(UPDATED, 3), time_ms=NOW_MS + 1, type_name=UPDATED)
    assert elsewhere.is_newer_than(late)
    at_once = past("a", partition=(UPDATED, 3), time_ms=NOW_MS, type_name=UPDATED)
    assert at_once.is_newer_than(late)
    assert not late.is_newer_than(at_once)


def test_a_selection_is_known_again_by_its_name() -> None:
    def name(**wanted: Any) -> str:
        return Selection(**{"model": "m r1", **wanted}).name

    assert name(products=frozenset({"a", "b"})) == name(products=frozenset({"b", "a"}))
    others = [
        {"model": "m r2"},
        {"products": frozenset({"a"})},
        {"categories": frozenset({"a"})},
        {"since": datetime(2026, 11, 20, tzinfo=UTC)},
        {"until": datetime(2026, 11, 20, tzinfo=UTC)},
        {"template_version": 2},
        {"force": True},
    ]
    assert len({name(), *(name(**wanted) for wanted in others)}) == 1 + len(others)
