"""Captions: every choice of a scene is said, in both languages, and derive_prompt's words are the ones taught."""

from pathlib import Path

import numpy as np
import pytest

from functions.cli import write_captions
from functions.cli.write_captions import draw_rows
from model_store.tiny.captions import (
    BACKGROUND_WORDS,
    COLOUR_WORDS,
    KIND_WORDS,
    MATERIAL_WORDS,
    MOTION_WORDS,
    NEGATIVE_PROMPT,
    UNKNOWN_WORDS,
    read_rows,
    spoken,
    write_rows,
)
from model_store.tiny.evaluate import written_cases
from model_store.tiny.scenes import BACKGROUNDS, COLOURS, MATERIALS, MOTIONS, draw_scene
from model_store.tiny.shapes import KINDS
from shared.errors import ConfigurationError

QUALIFIERS = ("light", "dark", "bright", "pale", "deep")


def test_every_choice_has_words_in_both_languages() -> None:
    for table, choices in (
        (KIND_WORDS, KINDS),
        (COLOUR_WORDS, COLOURS),
        (MATERIAL_WORDS, MATERIALS),
        (MOTION_WORDS, MOTIONS),
        (BACKGROUND_WORDS, BACKGROUNDS),
    ):
        assert set(table) == set(choices)
        assert all(len(words) == 2 and all(words) for words in table.values())


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_spoken_caption_says_colour_kind_and_motion(language: str) -> None:
    which = ("zh", "en").index(language)
    for seed in range(50):
        scene = draw_scene(seed)
        caption = spoken(scene, language, np.random.default_rng(seed))
        kinds = KIND_WORDS[scene.kind][which] + (UNKNOWN_WORDS[which] if scene.kind == "box" else ())
        assert any(word in caption for word in kinds)
        assert any(word in caption for word in COLOUR_WORDS[scene.colour][which])
        assert any(word in caption for word in MOTION_WORDS[scene.motion][which])


def test_written_captions_are_labelled_with_what_they_say() -> None:
    for row in draw_rows(200):
        if row.colour is not None:
            words = COLOUR_WORDS[row.colour][0] + COLOUR_WORDS[row.colour][1]
            # A prompt says mustard for mustard yellow.
            words += tuple(word.removesuffix(f" {row.colour}") for word in words if not word.startswith(QUALIFIERS))
            assert any(word.lower() in row.text.lower() for word in words), row
        assert ("缓慢推近" in row.text or "pushes in" in row.text) or row.motion != "push-in", row


def test_written_captions_speak_of_features() -> None:
    texts = [row.text for row in draw_rows(600)]
    for words in ("可见", " with ", "一根手指轻触", "bead up and roll"):
        assert any(words in text for text in texts), words


def test_written_captions_come_back_from_their_file(tmp_path: Path) -> None:
    rows = draw_rows(20)
    write_rows(tmp_path / "captions.jsonl.gz", rows)
    assert read_rows(tmp_path / "captions.jsonl.gz") == rows


def test_written_cases_go_round_kinds_and_languages_and_repeat_nothing() -> None:
    cases = written_cases(draw_rows(3000, seed=5), 68)
    assert {(case.kind, case.language) for case in cases} == {(kind, way) for kind in KINDS for way in ("zh", "en")}
    assert {case.colour for case in cases} == set(COLOURS)
    assert len({case.prompt for case in cases}) == len({case.seed for case in cases}) == 68
    with pytest.raises(ConfigurationError, match=r"have too few of \w+ in (zh|en) for 68 clips; write more"):
        written_cases(draw_rows(50), 68)


def test_held_out_captions_are_none_of_the_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_captions, "TAUGHT", 2000)
    held_out = {row.text for row in write_captions.held_out_rows(2000, 1)}
    taught = {row.text for row in draw_rows(2000)}
    assert held_out
    assert taught & {row.text for row in draw_rows(2000, seed=1)}, "nothing was held out: the test shows nothing"
    assert not held_out & taught


def test_the_negative_prompt_is_the_one_that_derive_prompt_sends() -> None:
    from functions.derive_prompt.templates import negative_prompts

    default, texts = negative_prompts()
    assert texts[default] == NEGATIVE_PROMPT
