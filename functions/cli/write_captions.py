"""Write captions that derive_prompt makes: `python -m functions.cli.write_captions captions.jsonl.gz [COUNT SEED]`.

Those of the training, or, with a seed other than 0, up to so many others. The recipe and the evaluation of the tiny
model read them. It stands here because nothing below may join a function and the model store.
"""

import sys
from pathlib import Path

import numpy as np

from functions.derive_prompt.prompts import caption_of
from functions.derive_prompt.recognise.understanding import understand, visible_fields
from functions.derive_prompt.templates import templates
from functions.derive_prompt.vocabulary import table
from model_store.tiny.captions import COLOUR_WORDS, KIND_WORDS, MATERIAL_WORDS, UNKNOWN_WORDS, Written, write_rows
from shared.events import Product

TAUGHT = 12_000


def motion_of(text: str) -> str:
    """The motion that a filled Chinese prompt asks for: what turns, turns; else the camera; else the light."""
    if any(word in text for word in ("旋转", "转动", "转向", "环绕")):
        return "turntable"
    return "push-in" if "推近" in text else "light"


def background_of(text: str) -> str:
    """The background that a Chinese template asks for, most telling word first."""
    for background, words in (
        ("dark", ("深色", "夜")),
        ("wood", ("木质台面", "木桌", "木台", "木地板", "木架", "木柜")),
        ("cool", ("石",)),
        ("warm", ("暖色调",)),
        ("sky", ("水光", "窗", "晨光")),
    ):
        if any(word in text for word in words):
            return background
    return "studio"


def draw_features(generator: np.random.Generator, language: int) -> tuple[str, ...]:
    """Up to three features, in words that derive_prompt reads; it leaves out what the kind cannot have."""
    looks = table("looks")
    features = []
    for section in generator.choice(("finishes", "patterns", "shapes", "details", "actions"), generator.integers(4)):
        row = looks[section][str(generator.choice(list(looks[section])))]
        words = [word for word in row.get("also", ()) if word.isascii() == (language == 1)]
        features += [str(generator.choice(words))] if words else []
    return tuple(features)


def draw_rows(count: int, seed: int = 0) -> list[Written]:
    """`count` products of random words, each captioned by derive_prompt; a fifth of them are not taught kinds."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        language = int(generator.integers(2))
        unknown = generator.random() < 0.18
        kind = "box" if unknown else str(generator.choice(list(KIND_WORDS)))
        words = UNKNOWN_WORDS[language] if unknown else KIND_WORDS[kind][language]
        colour = str(generator.choice(list(COLOUR_WORDS))) if generator.random() < 0.95 else None
        material = str(generator.choice(list(MATERIAL_WORDS))) if generator.random() < 0.6 else None
        written = caption_of(
            understand(
                visible_fields(
                    Product(
                        product_id="x",
                        name=str(generator.choice(words)),
                        color=() if colour is None else (str(generator.choice(COLOUR_WORDS[colour][language])),),
                        material=()
                        if material is None
                        else (str(generator.choice(MATERIAL_WORDS[material][language])),),
                        features=draw_features(generator, language),
                        locale=("zh", "en")[language],
                    )
                )
            )
        )
        if written.kind.id.startswith("generic:"):
            kind = "box"  # the prompt no longer says what it is
        template = templates()[written.template.id]
        motion = template.motion_of(written.kind.id, written.kind.motion)["zh"]
        actions = [look.zh for look in written.slots.looks.actions]
        chinese = template.scene_of(written.kind.id).text["zh"] + (actions or [motion])[0]
        rows.append(
            Written(
                text=written.prompt,
                kind=kind,
                colour=colour if written.slots.colour is not None else None,
                material=material if written.slots.material is not None else None,
                background=background_of(chinese),
                motion=motion_of(chinese),
            )
        )
    return rows


def held_out_rows(count: int, seed: int) -> list[Written]:
    """Of `count` products those whose captions the training does not know."""
    taught = {row.text for row in draw_rows(TAUGHT)}
    return [row for row in draw_rows(count, seed) if row.text not in taught]


if __name__ == "__main__":
    file, *numbers = sys.argv[1:]
    rows = held_out_rows(*map(int, numbers)) if numbers else draw_rows(TAUGHT)
    write_rows(Path(file), rows)
