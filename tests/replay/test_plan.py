"""What a replay says beforehand: how many videos, and how long the GPU will take, or plainly that nobody knows."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.replay_events.notebook import Mark, Notebook
from functions.replay_events.pace import Rate
from functions.replay_events.plan import Cost, Plan, cost_of, describe, make_plan
from functions.replay_events.selection import LatestEvents, Selection, Window
from shared.errors import TemporaryError
from shared.events import ModelReference, VideoReady
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


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    with Notebook() as open_notebook:
        yield open_notebook


def plan_of(notebook: Notebook, *pasts: Past, clips: Clips | None = None, **wanted: Any) -> Plan:
    """The plan for events in a window that holds them all."""
    selection = Selection(**{"model": "m r1", **wanted})
    ends = {past.partition: past.offset + 1 for past in pasts}
    latest = LatestEvents(selection, Window(ends, None), notebook)
    for past in pasts:
        latest.add(past)
    find = (clips or Clips()).find
    return make_plan(latest, selection, derive, find, notebook, generation=0, is_done=lambda _: False)


def past(product_id: str, color: str = "red", offset: int = 0, **more: Any) -> Past:
    """A product event in the log."""
    partition, time_ms = more.pop("partition", PLACE), more.pop("time_ms", NOW_MS)
    event = product_event(product_id, color, **more)
    story = Story(partition=partition[1], offset=offset, written_at_ms=time_ms)
    return Past(partition, offset, time_ms, ordered(event, story, now=NOW_MS / 1000 + 60))


def test_products_that_share_a_clip_cost_one_video(notebook: Notebook) -> None:
    plan = plan_of(notebook, past("a", offset=0), past("b", offset=1), past("c", "blue", offset=2))
    assert (plan.to_send, plan.to_draw.total()) == (3, 2)


def test_a_clip_that_a_person_is_to_see_first_is_not_sent_again(notebook: Notebook) -> None:
    event = product_event("a")
    seen_first = replace(event, data=event.data.model_copy(update={"category": ("licensed",)}))
    clips = Clips()
    clips.keep(event)
    told = replace(past("a"), event=replace(past("a").event, data=seen_first.data))
    plan = plan_of(notebook, told, clips=clips)
    assert (plan.in_review, plan.to_send) == (1, 0)


def test_the_cost_is_the_median_of_recent_clips_of_that_kind(notebook: Notebook) -> None:
    recent = [ready({"denoise": denoise, "decode": 1.0, "store": 50.0}) for denoise in (2.0, 3.0, 90.0)]
    other_kinds = [ready({"denoise": 500.0}, steps=50), ready({"denoise": 500.0}, width=640), ready({})]
    plan = plan_of(notebook, past("a", offset=0), past("b", "blue", offset=1))
    assert cost_of(plan.to_draw, recent + other_kinds) == Cost(videos=2, seconds=8.0, unknown=0, samples=3)


def test_another_models_times_tell_nothing(notebook: Notebook) -> None:
    plan = plan_of(notebook, past("a"))
    other = ready({"denoise": 2.0}, model=ModelReference(name="m", revision="r2"))
    cost = cost_of(plan.to_draw, [other])
    assert cost == Cost(videos=1, seconds=0.0, unknown=1, samples=0)
    assert any("unknown" in line for line in describe(plan, cost, Rate(1.0)))


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (Cost(0, 0.0, 0, 0), "drawing   takes no time"),
        (Cost(3, 12.4, 0, 7), "drawing   takes about 12.4 s by the median of 7 recent clips of their kind"),
        (
            Cost(3, 8.0, 1, 7),
            "drawing   takes about 8.0 s by the median of 7 recent clips of their kind for 2 of them, unknown for 1",
        ),
    ],
)
def test_the_cost_is_told_in_a_line(cost: Cost, told: str, notebook: Notebook) -> None:
    assert told in list(describe(plan_of(notebook), cost, Rate(1.0)))


def test_the_plan_tells_what_is_left_out_and_why(notebook: Notebook) -> None:
    clips = Clips()
    clips.keep(product_event("a"))
    plan = plan_of(
        notebook,
        past("a", offset=0),
        past("b", "blue", offset=1),
        past("c", kind="broken", offset=2),
        past("d", kind="forbidden", offset=3),
        clips=clips,
    )
    told = "\n".join(describe(plan, cost_of(plan.to_draw, []), Rate(4.0), unreadable=5))
    for line in (
        "unread    5: records of whatever product that are no events",
        "products  4",
        "left out  1: rejected by the screening of today",
        "left out  1: could not be derived\n          c: its photo is gone; upload it",
        "to send   1 request into the bulk lane, 1 answer for which there is a clip",
        "to draw   1 video",
        "sending   takes 0.5 s at 4/s",
    ):
        assert line in told


def test_a_category_that_leaves_a_broken_product_out_does_not_count_it_as_failed(notebook: Notebook) -> None:
    plan = plan_of(notebook, past("a", offset=0), past("c", kind="broken", offset=1), categories=frozenset({"mug"}))
    assert (plan.to_send, plan.failed) == (1, 0)


def test_events_are_ordered_by_time_and_those_of_one_time_by_type_and_place() -> None:
    early, late = Mark.of(past("a", offset=1, time_ms=NOW_MS)), Mark.of(past("a", offset=2, time_ms=NOW_MS))
    assert late.is_newer_than(early)
    assert not early.is_newer_than(late)
    assert not late.is_newer_than(late)
    assert Mark.of(past("a", offset=1, time_ms=NOW_MS + 5)).is_newer_than(late)
    elsewhere = Mark.of(past("a", partition=(UPDATED, 3), time_ms=NOW_MS + 1, type_name=UPDATED))
    assert elsewhere.is_newer_than(late)
    at_once = Mark.of(past("a", partition=(UPDATED, 3), time_ms=NOW_MS, type_name=UPDATED))
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


def test_notes_give_back_the_events_that_were_kept(notebook: Notebook) -> None:
    told = past("a", traceparent="00-1-2-03")
    told = replace(told, event=replace(told.event, subject="s", time=datetime(2026, 11, 20, tzinfo=UTC)))
    notebook.keep_inside(told)
    assert list(notebook.events_inside()) == [told]


def test_a_disk_without_room_is_said(notebook: Notebook) -> None:
    notebook._notes.execute("PRAGMA max_page_count = 1")
    product = past("p", note="x" * 100_000)
    with pytest.raises(TemporaryError, match=r"cannot be written: .*full; free some space, or set TMPDIR"):
        notebook.keep_inside(product)


_FILL = """
import sys
import psutil
from functions.replay_events.notebook import Notebook
from functions.replay_events.plan import make_plan
from functions.replay_events.selection import LatestEvents, Selection, Window
from shared.kafka import Past
from tests.replay.past import derive, product_event

count = int(sys.argv[1])
selection = Selection(model="m r1")
request = derive(product_event("p"))
with Notebook() as notebook:
    latest = LatestEvents(selection, Window({("product.created", 0): count}, None), notebook)
    for number in range(count):
        latest.add(Past(("product.created", 0), number, number, product_event(f"p-{number}", f"shade-{number}")))

    def derived(event):
        return request.model_copy(update={"product_id": event.data.product_id, "video_id": event.id})

    plan = make_plan(latest, selection, derived, lambda _: None, notebook, generation=0, is_done=lambda _: False)
    assert plan.to_send == plan.to_draw.total() == count
    print(psutil.Process().memory_info().rss // 2**20)
"""


@pytest.mark.slow
def test_a_million_products_take_no_more_memory_than_ten_thousand() -> None:
    def peak_mib(products: int) -> int:
        command = [sys.executable, "-c", _FILL, str(products)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=250).stdout)

    few, many = peak_mib(10_000), peak_mib(100_000)
    # Ten times as many; a million are ten times as many again.
    assert many + 10 * max(0, many - few) < 200, (few, many)
