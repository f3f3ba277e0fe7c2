"""What derive_prompt remembers of clips: within bounds, and never for long."""

import pytest

from functions.derive_prompt import SpecMaker
from functions.derive_prompt.recognise.understanding import visible_fields
from functions.derive_prompt.remembered import MOST_AGE_SECONDS, RememberedClips
from shared.clips import ClipRecord
from shared.errors import Unavailable
from shared.settings import Settings
from tests.prompts.conftest import MANIFEST, CountingStore, product, record


def test_what_is_remembered_of_clips_is_bounded_and_the_latest_used_stay() -> None:
    store = CountingStore()
    maker = SpecMaker(Settings(), MANIFEST)
    specs = [maker.derive(visible_fields(product(color=colour))).spec for colour in ("白色", "黑色", "红色")]
    store.records = {spec.video_id: record(spec) for spec in specs}
    clips = RememberedClips(store, 2)  # type: ignore[arg-type]
    for index in (0, 1, 0, 2, 0, 1):
        assert clips.find_ready(specs[index].video_id) is not None
    assert store.asked == [specs[index].video_id for index in (0, 1, 2, 1)]


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def remembered(store: CountingStore, clock: Clock) -> tuple[RememberedClips, str]:
    spec = SpecMaker(Settings(), MANIFEST).derive(visible_fields(product())).spec
    store.records = {spec.video_id: record(spec)}
    return RememberedClips(store, now=clock), spec.video_id  # type: ignore[arg-type]


def test_a_clip_that_was_removed_is_ready_no_longer_than_it_is_remembered() -> None:
    store, clock = CountingStore(), Clock()
    clips, video_id = remembered(store, clock)
    assert clips.find_ready(video_id) is not None
    store.records.clear()
    clock.seconds += MOST_AGE_SECONDS - 0.01
    assert clips.find_ready(video_id) is not None
    clock.seconds += 0.01
    assert clips.find_ready(video_id) is None
    store.records = {}
    assert clips.find_ready(video_id) is None
    assert store.asked == [video_id] * 3


def test_using_a_clip_does_not_make_what_is_known_of_it_younger() -> None:
    store, clock = CountingStore(), Clock()
    clips, video_id = remembered(store, clock)
    for _ in range(11):
        assert clips.find_ready(video_id) is not None
        clock.seconds += MOST_AGE_SECONDS / 5
    assert len(store.asked) == 3


def test_a_store_that_does_not_answer_is_not_made_up_for_by_what_is_remembered() -> None:
    class Away(CountingStore):
        away = False

        def find(self, video_id: str) -> ClipRecord | None:
            if self.away:
                raise Unavailable("the store does not answer")
            return super().find(video_id)

    store, clock = Away(), Clock()
    clips, video_id = remembered(store, clock)
    assert clips.find_ready(video_id) is not None
    store.away = True
    assert clips.find_ready(video_id) is not None
    clock.seconds += MOST_AGE_SECONDS
    with pytest.raises(Unavailable):
        clips.find_ready(video_id)
