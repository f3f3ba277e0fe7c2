"""Good clips pass with room to spare, and each defect is named by its own word."""

import hashlib
import json
import math
import tracemalloc
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.render_video.inspection import Inspector, Profile
from model_store.tiny.scenes import draw_scene, render
from shared.errors import PermanentError
from tests.rendering.drawn import (
    SIZES,
    Clip,
    alternating,
    black_on_black,
    blurred,
    brightened,
    grain,
    noisy,
    turntable,
    white_on_white,
    woven,
)

PROFILE = Profile.load()
CHECKS = {"black", "blank", "frozen", "flicker", "scene_cut", "noise", "boiling", "blur", "motion"}
FPS = 12

GOOD = {
    "turntable": turntable,
    "slow turntable": lambda width, height: turntable(width, height, turn=0.15),
    "dark backdrop": lambda width, height: turntable(width, height, backdrop=14),
    "white on white": white_on_white,
    "black on black": black_on_black,
    "cloth": woven,
    "fine grain of film": lambda width, height: noisy(turntable(width, height), 5),
    "slightly soft": lambda width, height: blurred(turntable(width, height), 0.008),
    "light goes up": lambda width, height: brightened(turntable(width, height) // 3, np.arange(24) * 7),
    "swings back": lambda width, height: turntable(width, height)[np.r_[0:12, 12:0:-1, 0]],
    "light creeps over it": lambda width, height: crept_over(turntable(width, height) // 2),
    "fast": lambda width, height: turntable(width, height, turn=9.0),
    "short standstill at the end": lambda width, height: held(turntable(width, height), 19),
    "starts to turn late": lambda width, height: turntable(width, height)[np.r_[[0] * 5, 0:19]],
}

SPOILT = {
    "all black": ({"black"}, lambda clip: np.zeros_like(clip)),
    "near black": ({"black"}, lambda clip: clip // 12),
    "grey": ({"blank"}, lambda clip: np.full_like(clip, 128)),
    "white": ({"blank"}, lambda clip: np.full_like(clip, 255)),
    "grey with noise": ({"blank"}, lambda clip: noisy(np.full_like(clip, 128), 1.0)),
    "a gradient": ({"blank"}, lambda clip: gradient(clip)),
    "one picture": ({"frozen"}, lambda clip: held(clip, 0)),
    "one picture, its last digit restless": ({"frozen"}, lambda clip: held(clip, 0) + np.indices(clip.shape)[0] % 2),
    "stuck after a third": ({"frozen"}, lambda clip: held(clip, 8)),
    "one picture under film grain": ({"motion"}, lambda clip: noisy(held(clip, 0), 3)),
    "brightness up and down": ({"flicker"}, lambda clip: alternating(clip // 2 + 60, 6)),
    "another picture from the middle on": ({"scene_cut"}, lambda clip: cut(clip)),
    "a flash": ({"scene_cut"}, lambda clip: brightened(clip // 2, np.where(np.arange(24) == 11, 90, 0))),
    "noise alone": ({"noise", "boiling"}, lambda clip: noisy(np.full_like(clip, 128), 60)),
    "noise over all": ({"noise"}, lambda clip: noisy(clip // 2 + 60, 18)),
    "blots": ({"boiling"}, lambda clip: grain(*clip.shape[2:0:-1], radius=1.5)),
    "out of focus": ({"blur"}, lambda clip: blurred(clip, 0.045)),
}  # fmt: skip


def held(clip: Clip, index: int) -> Clip:
    """The clip as it is when nothing moves after the frame with this index."""
    return clip[np.minimum(np.arange(len(clip)), index)]


def crept_over(clip: Clip) -> Clip:
    """A still thing that gets lighter from one side, never by more than a step and a half a frame."""
    light = 1.5 * np.arange(len(clip))[:, None, None, None] * np.linspace(0, 1, clip.shape[2])[:, None]
    return (clip[:1] + light).astype(np.uint8)


def gradient(clip: Clip) -> Clip:
    ramp = np.linspace(100, 160, clip.shape[2]).astype(np.uint8)
    return np.broadcast_to(ramp[None, None, :, None], clip.shape).copy()


def cut(clip: Clip) -> Clip:
    height, width = clip.shape[1:3]
    return np.concatenate([clip[:11], black_on_black(width, height)[11:]])


def inspected(clip: Clip) -> Inspector:
    inspector = Inspector(PROFILE, FPS)
    for frame in clip:
        inspector.add(frame.astype(np.uint8))
    return inspector


def named(inspector: Inspector) -> set[str]:
    return {reason.code for reason in inspector.result().reasons}


def at_sizes(kinds: Iterable[str], *large: str) -> pytest.MarkDecorator:
    """Each kind at the bundled model's two sizes; those that size could matter to at the full model's as well."""
    cases = [(kind, size) for kind in kinds for size in SIZES if size[0] < 640 or kind in large]
    return pytest.mark.parametrize(("kind", "size"), cases, ids=[f"{kind} {size[0]}x{size[1]}" for kind, size in cases])


@at_sizes(GOOD, "turntable", "cloth", "slow turntable", "slightly soft")
def test_a_good_clip_passes_with_room_to_spare(kind: str, size: tuple[int, int]) -> None:
    inspector = inspected(GOOD[kind](*size))
    scores = inspector.result().scores
    assert inspector.passed, inspector.result().reasons
    room = {name: score - PROFILE.checks[name].threshold for name, score in scores.items()}
    assert min(room.values()) >= 0.1, (room, dict(inspector.measured))


@at_sizes(SPOILT, "one picture under film grain", "noise over all", "blots", "out of focus")
def test_a_spoilt_clip_is_refused_for_what_is_wrong_with_it(kind: str, size: tuple[int, int]) -> None:
    codes, spoil = SPOILT[kind]
    inspector = inspected(spoil(turntable(*size)))
    assert named(inspector) == codes, dict(inspector.measured)
    assert not inspector.passed
    for reason in inspector.result().reasons:
        assert PROFILE.checks[reason.code].threshold - inspector.result().scores[reason.code] >= 0.1
        assert reason.message.endswith(".")
        assert "{" not in reason.message


@pytest.mark.parametrize(
    ("kind", "motion"),
    [("mug", "turntable"), ("sofa", "push-in"), ("phone", "light"), ("bag", "turntable"), ("pillow", "light")],
)
@pytest.mark.parametrize("background", ["studio", "dark"])
def test_a_scene_that_the_bundled_model_learns_from_passes(kind: str, motion: str, background: str) -> None:
    scene = draw_scene(11, kind=kind, motion=motion, background=background)
    inspector = inspected(render(scene, width=128, height=96, frames=13).numpy())
    assert inspector.passed, inspector.result().reasons


def test_every_check_has_a_score_between_0_and_1_and_the_profile_is_named() -> None:
    for clip in (turntable(128, 96), np.zeros((9, 96, 128, 3), np.uint8), grain(128, 96, radius=3)):
        inspection = inspected(clip).result()
        assert set(inspection.scores) == CHECKS
        assert all(0 <= score <= 1 for score in inspection.scores.values())
        assert (inspection.profile, inspection.profile_version) == (PROFILE.name, PROFILE.version)


def test_the_result_may_be_asked_for_at_any_time() -> None:
    inspector = Inspector(PROFILE, FPS)
    clip = turntable(128, 96)
    for frame in held(clip, 0)[:8]:
        inspector.add(frame)
    assert named(inspector) == {"frozen"}
    for frame in clip:
        inspector.add(frame)
    assert inspector.passed


def test_a_clip_that_shows_nothing_in_its_last_quarter_is_refused() -> None:
    clip = turntable(128, 96)
    clip[18:] = 235
    assert "blank" in named(inspected(clip))


def test_one_black_frame_is_found_wherever_it_stands() -> None:
    for index in range(1, 23):
        clip = turntable(128, 96)
        clip[index] = 0
        assert not inspected(clip).passed


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_clip_of_few_frames_is_judged_by_what_it_shows(frames: int) -> None:
    assert inspected(turntable(128, 96)[: 8 * frames : 8]).passed
    assert named(inspected(np.zeros((frames, 96, 128, 3), np.uint8))) == {"black"}


def small_before_white(frames: int = 24) -> Clip:
    """So small that of the picture blur is measured on less than half a percent has an edge, and the rest is flat."""
    clip = np.full((frames, 480, 640, 3), 255, np.uint8)
    for index in range(frames):
        clip[index, 200:230, 300 + 5 * index : 330 + 5 * index] = 20
    return clip


def test_a_small_sharp_thing_before_flat_white_is_sharp() -> None:
    inspector = inspected(small_before_white())
    assert inspector.result().scores["blur"] == 1
    assert all(map(math.isfinite, inspector.measured.values()))


@st.composite
def frame_sequences(draw: st.DrawFn) -> Clip:
    """Clips that nobody would draw on purpose, from one pixel up."""
    width, height, frames = draw(st.integers(1, 150)), draw(st.integers(1, 150)), draw(st.integers(1, 12))
    seed, level = draw(st.integers(0, 9)), draw(st.integers(0, 255))
    flat = np.full((frames, height, width, 3), level, np.uint8)
    kind = draw(st.sampled_from(["flat", "black", "white", "pixel", "spot", "noise", "frame noise", "alternating"]))
    if kind in ("black", "white"):
        flat[:] = 0 if kind == "black" else 255
    elif kind == "pixel":
        flat[:, height // 2, width // 2] = 255 - level
    elif kind == "spot":
        flat[draw(st.integers(0, frames - 1)) :, : draw(st.integers(1, height)), : draw(st.integers(1, width))] = 0
    elif kind == "noise":
        flat[:] = np.random.default_rng(seed).integers(0, 256, flat.shape[1:])
    elif kind == "frame noise":
        flat[:] = np.random.default_rng(seed).integers(0, 256, flat.shape)
    elif kind == "alternating":
        flat[::2] = 255 - level
    return flat


@settings(max_examples=300, deadline=None)
@given(clip=frame_sequences(), fps=st.integers(1, 120))
def test_whatever_is_drawn_is_judged_by_numbers(clip: Clip, fps: int) -> None:
    inspector = Inspector(PROFILE, fps)
    for frame in clip:
        inspector.add(frame)
    inspection = inspector.result()
    assert set(inspection.scores) == CHECKS
    assert all(0 <= score <= 1 for score in inspection.scores.values())
    assert all(map(math.isfinite, inspector.measured.values()))
    if min(clip.shape[1:3]) >= 10:
        assert set(inspector.measured) == CHECKS
        assert not any("failed" in reason.message for reason in inspection.reasons)
    else:
        assert {reason.code for reason in inspection.reasons} == CHECKS
        assert "is too small to be judged" in inspection.reasons[0].message


@pytest.mark.parametrize(
    ("measure", "failed"),
    [
        ("_noise", {"noise"}),
        ("_sharpness", {"blur"}),
        ("_drift", {"boiling", "motion"}),
        ("_edge_contrast", CHECKS),
        ("_reduced", CHECKS),
    ],
)
def test_a_check_that_crashes_has_failed_and_no_other(
    measure: str, failed: set[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> float:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(f"functions.render_video.inspection.{measure}", broken)
    inspector = inspected(turntable(128, 96))
    inspection = inspector.result()
    assert {reason.code for reason in inspection.reasons} == failed
    assert {name for name, score in inspection.scores.items() if score == 0} == failed
    assert not inspector.passed
    assert all("ZeroDivisionError: by nothing" in reason.message for reason in inspection.reasons)
    assert len(caplog.records) == 1  # not one a frame


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_measurement_that_is_no_number_is_a_failed_check(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.render_video.inspection._noise", lambda _: value)
    inspection = inspected(turntable(128, 96)).result()
    (reason,) = inspection.reasons
    assert (reason.code, inspection.scores["noise"]) == ("noise", 0)
    assert f"it was measured as {value}" in reason.message


def test_a_clip_without_frames_cannot_be_judged() -> None:
    with pytest.raises(PermanentError) as caught:
        Inspector(PROFILE, FPS).result()
    assert caught.value.reason == "invalid-frames"


def test_memory_does_not_grow_with_the_clip() -> None:
    inspector = Inspector(PROFILE, FPS)
    clip = turntable(256, 192)
    for frame in clip:
        inspector.add(frame)
    tracemalloc.start()
    try:
        before, _peak = tracemalloc.get_traced_memory()
        for _round in range(8):
            for frame in clip:
                inspector.add(frame)
        after, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < clip[0].nbytes


def test_a_frame_is_not_kept_nor_changed() -> None:
    clip = turntable(128, 96)
    kept = clip.copy()
    buffer = np.empty_like(clip[0])
    inspector = Inspector(PROFILE, FPS)
    for frame in clip:
        buffer[:] = frame
        inspector.add(buffer)
    assert inspector.result() == inspected(kept).result()
    assert np.array_equal(clip, kept)


def test_a_changed_profile_has_a_new_version() -> None:
    """Events carry the version; equal versions must mean equal thresholds. A new one gets its line here."""
    published = {1: "b31db8e9d419b3e4"}
    content = json.dumps(PROFILE.model_dump(exclude={"version"}), sort_keys=True)
    assert published[PROFILE.version] == hashlib.sha256(content.encode()).hexdigest()[:16]


def test_a_profile_names_every_check_and_no_other() -> None:
    whole = PROFILE.model_dump()
    for checks in ({**whole["checks"], "smell": whole["checks"]["blur"]}, {"blur": whole["checks"]["blur"]}):
        with pytest.raises(ValueError, match="checks must be"):
            Profile.model_validate({**whole, "checks": checks})
    flat = {"worst": 1.0, "best": 1.0, "threshold": 0.5}
    with pytest.raises(ValueError, match="a score needs a distance"):
        Profile.model_validate({**whole, "checks": {**whole["checks"], "blur": flat}})


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_score_runs_from_worst_to_best(name: str) -> None:
    band = PROFILE.checks[name]
    middle = (band.worst + band.best) / 2
    outside = band.best + (band.best - band.worst)
    assert [band.score(value) for value in (band.worst, middle, band.best, outside)] == [0, 0.5, 1, 1]
