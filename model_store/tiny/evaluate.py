"""Measure a checkpoint on captions, seeds and scenes that it was not trained on:

    python -m functions.cli.write_captions build/held-out.jsonl.gz 6000 77
    python -m model_store.tiny.evaluate --captions build/held-out.jsonl.gz

Short captions go round everything that can be asked for; derive_prompt's own say less in many more words. Writes
report.json, a table, and contact sheets, and says for each figure what the aim is. Nothing is averaged away: kinds and
colours that fail are named. The measures are measured too: drawn scenes, which are right by definition, go through the
same judgement, and their figures stand at the end of the table.
"""

import argparse
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from model_store.manifest import model_folder, read_manifest
from model_store.tiny.captions import (
    BACKGROUND_WORDS,
    COLOUR_WORDS,
    KIND_WORDS,
    MATERIAL_WORDS,
    MOTION_WORDS,
    NEGATIVE_PROMPT,
    Written,
    read_rows,
)
from model_store.tiny.classify import Judge, train_judge
from model_store.tiny.clips import FRAMES, Size, as_signed
from model_store.tiny.scenes import BACKGROUNDS, COLOURS, MATERIALS, MOTIONS, draw_scene, render
from model_store.tiny.shapes import KINDS
from model_store.wan.checkpoint import Checkpoint
from model_store.wan.engine import Engine
from shared.drawing import ClipNumbers
from shared.errors import ConfigurationError

logger = logging.getLogger(__name__)

Frames = NDArray[np.uint8]

LARGEST_JUMP = 1.8
"""A change from frame to frame that exceeds so many times the mean of the two before and the two behind it is a jump. A
light that sweeps faster at first than at last is none."""

SMALLEST_STEP = 0.15
"""Mean absolute change of a frame, in grey levels, below which nothing is seen."""

SMALLEST_CHANGE = 0.25
"""Mean absolute change, in grey levels, from first to last frame, below which nothing moved."""


@dataclass(frozen=True)
class Case:
    """One clip to render and what it should show."""

    prompt: str
    kind: str
    colour: str
    motion: str
    language: str
    background: str
    seed: int


JUDGED_FRAMES = (0, 6, 12, 18, 24)


@dataclass(frozen=True)
class Seen:
    """What a clip showed."""

    kind: str
    colour: str
    moved: bool
    smooth: bool


@dataclass(frozen=True)
class Verdict:
    """What the model drew for a case."""

    case: Case
    seen: Seen
    seconds: float


@dataclass(frozen=True)
class Drawn:
    """An unseen drawn scene, what its clip showed, and what the autoencoder keeps of it."""

    kind: str
    colour: str
    seen: Seen
    decibels: float
    still_smooth: bool


def held_out_cases(count: int) -> list[Case]:
    """Cases that go round kinds, colours, motions and languages so that every pair comes up in time."""
    kinds, backgrounds = list(KINDS), list(BACKGROUNDS)
    cases = []
    for index in range(count):
        kind, colour = kinds[index % len(kinds)], _colour_of(index)
        motion = MOTIONS[(index + index // len(MOTIONS)) % len(MOTIONS)]
        language = ("zh", "en")[(index // 2) % 2]
        background = backgrounds[(index + index // len(backgrounds)) % len(backgrounds)]
        material = MATERIALS[(index + index // len(MATERIALS)) % len(MATERIALS)]
        which = ("zh", "en").index(language)
        words = [
            table[key][which][0]
            for table, key in (
                (COLOUR_WORDS, colour),
                (MATERIAL_WORDS, material),
                (KIND_WORDS, kind),
                (BACKGROUND_WORDS, background),
                (MOTION_WORDS, motion),
            )
        ]
        if language == "zh":
            prompt = f"一只{words[0]}{words[1]}{words[2]}，{words[3]}，{words[4]}。"
        else:
            prompt = f"A {words[0]} {words[1]} {words[2]} {words[3]}, {words[4]}."
        cases.append(Case(prompt, kind, colour, motion, language, background, 9_000_000 + index))
    return cases


def _colour_of(index: int) -> str:
    """The colour of a case: over sixteen rounds of the seventeen kinds, each kind meets each colour."""
    return list(COLOURS)[(5 * index + 2 * (index // len(KINDS))) % len(COLOURS)]


def written_cases(rows: Sequence[Written], count: int) -> list[Case]:
    """Cases of derive_prompt's own captions, round kinds, colours and languages as far as the rows have them."""
    left: dict[tuple[str, str], list[Written]] = defaultdict(list)
    for row in rows:
        if row.colour is not None:
            left[row.kind, _language(row.text)].append(row)
    kinds, cases = list(KINDS), []
    for index in range(count):
        kind, colour, language = kinds[index % len(kinds)], _colour_of(index), ("zh", "en")[(index // 2) % 2]
        fitting = left[kind, language]
        if not fitting:
            raise ConfigurationError(
                f"the captions have too few of {kind} in {language} for {count} clips; write more of them with "
                "`python -m functions.cli.write_captions`, or ask for fewer --clips"
            )
        row = next((row for row in fitting if row.colour == colour), fitting[0])
        fitting.remove(row)
        told = (row.text, row.kind, str(row.colour), row.motion, language, row.background)
        cases.append(Case(*told, seed=9_500_000 + index))
    return cases


def _language(text: str) -> str:
    return "zh" if any("\u4e00" <= character <= "\u9fff" for character in text) else "en"


def look_at(frames: Frames, judge: Judge) -> Seen:
    """Kind and colour as the judge sees them over the whole clip, and how it moves."""
    chosen = torch.from_numpy(frames[list(JUDGED_FRAMES)]).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        kinds, colours = (scores.log_softmax(-1).sum(0) for scores in judge(chosen))
    moved, smooth = motion_of(frames)
    return Seen(list(KINDS)[int(kinds.argmax())], list(COLOURS)[int(colours.argmax())], moved, smooth)


def motion_of(frames: Frames) -> tuple[bool, bool]:
    """Whether anything moved, and whether it moved without a jump."""
    signed = frames.astype(np.int16)
    steps = np.abs(np.diff(signed, axis=0)).mean(axis=(1, 2, 3)).clip(min=SMALLEST_STEP)
    about = [np.mean([*steps[max(at - 2, 0) : at], *steps[at + 1 : at + 3]]) for at in range(len(steps))]
    moved = float(np.abs(signed[-1] - signed[0]).mean()) >= SMALLEST_CHANGE
    return moved, bool((steps <= LARGEST_JUMP * np.array(about)).all())


def psnr(made: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Peak signal-to-noise ratio in dB of display values 0 to 255."""
    return float(10 * np.log10(255**2 / np.mean((made - true) ** 2)))


def measure_drawn(folder: Path, judge: Judge, count: int, size: Size) -> list[Drawn]:
    """Unseen scenes as they are drawn, and their whole clips through the autoencoder and back."""
    vae = Checkpoint.open(folder).load_vae(torch.device("cpu"), torch.float32)
    found = []
    for index in range(count):
        scene = draw_scene(80_000_000 + index, kind=list(KINDS)[index % len(KINDS)])
        true = render(scene, width=size[0], height=size[1], frames=FRAMES).numpy()
        with torch.inference_mode():
            made = vae.decode_all(vae.encode(as_signed(true)[None]))[0]
        pixels = ((made.permute(1, 2, 3, 0) + 1) * 127.5).double().numpy()
        decibels = psnr(pixels, true.astype(np.float64))
        kept = motion_of(pixels.round().astype(np.uint8))[1]
        found.append(Drawn(scene.kind, scene.colour, look_at(true, judge), decibels, kept))
    return found


def measure_first_frames(engine: Engine, count: int, defaults: ClipNumbers) -> tuple[list[float], list[bool]]:
    """Image to video: dB of the first frame against the photo given, and whether the rest then moves."""
    size = (defaults.width, defaults.height)
    found, moving = [], []
    for index in range(count):
        scene = draw_scene(90_000_000 + index, kind=list(KINDS)[(index * 4) % len(KINDS)], motion="turntable")
        photo = render(scene, width=size[0], height=size[1], frames=FRAMES, only=[0])[0].numpy()
        prompt = f"A {scene.colour} {KIND_WORDS[scene.kind][1][0]}, {MOTION_WORDS['turntable'][1][0]}."
        spec = defaults.clip(prompt, NEGATIVE_PROMPT, seed=index, image=Image.fromarray(photo))
        frames = np.stack(list(engine.generate(spec)))
        found.append(psnr(frames[0].astype(np.float64), photo.astype(np.float64)))
        moving.append(motion_of(frames)[0])
    return found, moving


def evaluate(folder: Path, out: Path, *, clips: int, scenes: int, written: Sequence[Written] = ()) -> dict[str, object]:
    """Render, measure, write the report; the figures are returned as well. `written`: derive_prompt's captions."""
    out.mkdir(parents=True, exist_ok=True)
    logger.info("teaching the judge")
    judge, accuracies = train_judge()
    logger.info("of frames that it has not seen it knows %s", accuracies)
    defaults = read_manifest(folder).defaults
    size = (defaults.width, defaults.height)
    engine = Engine.load(folder)
    verdicts = draw_cases(engine, held_out_cases(clips), defaults, judge, out / "contact_sheet.png")
    asked = written_cases(written, clips) if written else []
    of_written = draw_cases(engine, asked, defaults, judge, out / "contact_sheet_written.png") if asked else []
    drawn = measure_drawn(folder, judge, scenes, size)
    first_frames, first_moving = measure_first_frames(engine, scenes, defaults)
    engine.close()
    report = summarise(verdicts, of_written, drawn, first_frames, first_moving)
    document = {"figures": report, "clips": [asdict(verdict) for verdict in (*verdicts, *of_written)]}
    (out / "report.json").write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    return report


def draw_cases(
    engine: Engine, cases: Sequence[Case], defaults: ClipNumbers, judge: Judge, sheet: Path
) -> list[Verdict]:
    """Render cases at the model's defaults and judge them; three frames of each go on the contact sheet."""
    verdicts, rows = [], []
    for case in cases:
        began = time.perf_counter()
        frames = np.stack(list(engine.generate(defaults.clip(case.prompt, NEGATIVE_PROMPT, seed=case.seed))))
        seconds = time.perf_counter() - began
        verdicts.append(Verdict(case, look_at(frames, judge), seconds))
        rows.append(np.concatenate(list(frames[[0, 12, 24]]), axis=1))
        logger.info("%s -> %s", case.prompt, verdicts[-1].seen)
    write_sheet(rows, sheet)
    return verdicts


def summarise(
    verdicts: Sequence[Verdict],
    of_written: Sequence[Verdict],
    drawn: Sequence[Drawn],
    first_frames: Sequence[float],
    moving: Sequence[bool],
) -> dict[str, object]:
    """The figures with their aims, what failed, and how the measures do on the truth."""
    decibels = [scene.decibels for scene in drawn]
    return {
        "clips": len(verdicts),
        "colour accuracy (aim 0.95)": _share(map(_colour_right, verdicts)),
        "colour accuracy, zh / en": _by_language(_colour_right, verdicts),
        "kind accuracy (aim 0.90)": _share(map(_kind_right, verdicts)),
        "kind accuracy, zh / en": _by_language(_kind_right, verdicts),
        "moves (aim 0.98)": _share(v.seen.moved for v in verdicts),
        "moves without a jump (aim 0.98)": _share(map(_moves_well, verdicts)),
        **(_summary_of_written(of_written) if of_written else {}),
        "autoencoder, dB (aim 28)": round(float(np.mean(decibels)), 2),
        "autoencoder, worst scene, dB": round(float(np.min(decibels)), 2),
        "image to video, first frame, dB (aim 26)": round(float(np.mean(first_frames)), 2),
        "image to video, moves": _share(moving),
        "seconds a clip, median": round(float(np.median([v.seconds for v in verdicts])), 2),
        "kinds below one half": _below_half((v.case.kind, _kind_right(v)) for v in verdicts),
        "colours below one half": _below_half((v.case.colour, _colour_right(v)) for v in verdicts),
        "drawn scenes: colour accuracy": _share(scene.seen.colour == scene.colour for scene in drawn),
        "drawn scenes: kind accuracy": _share(scene.seen.kind == scene.kind for scene in drawn),
        "drawn scenes: move without a jump": _share(scene.seen.moved and scene.seen.smooth for scene in drawn),
        "drawn scenes: no jump after the autoencoder": _share(scene.still_smooth for scene in drawn),
    }


def _summary_of_written(verdicts: Sequence[Verdict]) -> dict[str, object]:
    return {
        "derive_prompt's captions: colour, zh / en": _by_language(_colour_right, verdicts),
        "derive_prompt's captions: kind, zh / en": _by_language(_kind_right, verdicts),
        "derive_prompt's captions: move without a jump": _share(map(_moves_well, verdicts)),
    }


def _kind_right(verdict: Verdict) -> bool:
    return verdict.seen.kind == verdict.case.kind


def _colour_right(verdict: Verdict) -> bool:
    return verdict.seen.colour == verdict.case.colour


def _moves_well(verdict: Verdict) -> bool:
    return verdict.seen.moved and verdict.seen.smooth


def _share(values: Iterable[bool]) -> float:
    return round(float(np.mean(list(values) or [False])), 3)


def _by_language(right: Callable[[Verdict], bool], verdicts: Sequence[Verdict]) -> list[float]:
    return [_share(right(v) for v in verdicts if v.case.language == language) for language in ("zh", "en")]


def _below_half(named: Iterable[tuple[str, bool]]) -> list[str]:
    """The names of which less than half is right."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for name, right in named:
        hits[name].append(right)
    return sorted(name for name, found in hits.items() if np.mean(found) < 0.5)


def write_sheet(rows: Sequence[Frames], path: Path) -> None:
    """Clips as rows of three frames, in three columns."""
    columns = 3
    blank = np.zeros_like(rows[0])
    padded = [*rows, *[blank] * (-len(rows) % columns)]
    lines = [np.concatenate(padded[index : index + columns], axis=1) for index in range(0, len(padded), columns)]
    Image.fromarray(np.concatenate(lines)).save(path)


def main() -> None:
    """Parse the command line, measure, and log the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny", help="name or folder")
    parser.add_argument("--out", type=Path, default=Path("build/tiny-evaluation"))
    parser.add_argument("--clips", type=int, default=102)
    parser.add_argument("--scenes", type=int, default=17)
    parser.add_argument("--captions", type=Path, help="derive_prompt's captions, to be judged as well")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    written = read_rows(arguments.captions) if arguments.captions is not None else ()
    folder, out = model_folder(arguments.model), arguments.out
    report = evaluate(folder, out, clips=arguments.clips, scenes=arguments.scenes, written=written)
    for name, value in report.items():
        logger.info("%-45s %s", name, value)


if __name__ == "__main__":
    main()
