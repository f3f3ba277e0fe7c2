"""The denoiser's training set: clips drawn to fit captions, passed through the trained autoencoder, kept as latents.

A group holds one shape in every motion, as in `clips`, with `LOOKS` looks a motion. Half of the looks are from
written captions of that kind and motion, so that the words of derive_prompt meet the scenes they ask for; the rest are
free. Files: `<g>.safetensors`, float16 latents [clip, z, F', H', W'] before normalisation, and `<g>.json`, each clip's
scene and written captions.
"""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_store.tiny.captions import Written
from model_store.tiny.clips import FRAMES, LARGE, as_signed
from model_store.tiny.scenes import MOTIONS, Scene, draw_scene, shade, trace, with_look
from model_store.tiny.shapes import KINDS
from model_store.wan.vae import VAE

LOOKS = 4
FIRST_GROUP = 10_000
"""Groups of latents are numbered from here, away from those that the autoencoder has seen."""

FIRST_STILLS = 20_000
"""Groups from here on are stills: first frames of clips, many more shapes for the same time."""


@dataclass(frozen=True)
class LatentClip:
    """One training example."""

    latents: Tensor  # float16 [z, F', H', W'], before normalisation
    scene: Scene
    written: tuple[str, ...]


def captions_by_scene(rows: list[Written]) -> dict[tuple[str, str], list[Written]]:
    """Written captions by kind and motion."""
    found: dict[tuple[str, str], list[Written]] = defaultdict(list)
    for row in rows:
        found[row.kind, row.motion].append(row)
    return found


def scene_for(row: Written, base: Scene, seed: int) -> Scene:
    """The traced scene `base` in the looks that a written caption asks for; what it leaves open is drawn."""
    look = draw_scene(seed, colour=row.colour, material=row.material, background=row.background)
    return with_look(base, look)


def draw_described(
    group: int, rows: dict[tuple[str, str], list[Written]]
) -> Iterator[tuple[Tensor, dict[str, object]]]:
    """A group's clips, uint8 [F, H, W, 3], each with its scene and the written captions that fit it."""
    kinds = list(KINDS)
    kind = kinds[group % len(kinds)]
    shape = draw_scene(group * 100, kind=kind)
    generator = np.random.default_rng(group)
    takes = list(enumerate(MOTIONS)) if group < FIRST_STILLS else list(enumerate(MOTIONS * 2))
    for index, motion in takes:
        base = dataclasses.replace(
            draw_scene(group * 100 + index, kind=kind, motion=motion), proportions=shape.proportions
        )
        only = range(FRAMES) if group < FIRST_STILLS else [0]
        geometry = trace(base, width=LARGE[0], height=LARGE[1], frames=FRAMES, only=only)
        fitting = rows.get((kind, motion), [])
        for look in range(LOOKS):
            seed = group * 100 + 10 + LOOKS * index + look
            written: tuple[str, ...] = ()
            if look % 2 == 0 and fitting:
                row = fitting[int(generator.integers(len(fitting)))]
                scene, written = scene_for(row, base, seed), fitting_texts(row, fitting)
            else:
                scene = with_look(base, draw_scene(seed))
            yield shade(scene, geometry), {"scene": dataclasses.asdict(scene), "written": written}


def fitting_texts(row: Written, rows: list[Written]) -> tuple[str, ...]:
    """A caption, and the first five of all that ask for the same scene; it may be one of them."""
    asked = (row.colour, row.background, row.material)
    same = [other.text for other in rows if (other.colour, other.background, other.material) == asked]
    return (row.text, *same[:5])


@torch.inference_mode()
def encode_group(group: int, folder: Path, vae: VAE, rows: dict[tuple[str, str], list[Written]]) -> None:
    """Draw a group's clips and encode them, unless they are there."""
    target = folder / f"{group:07d}.safetensors"
    if not target.exists():
        keep(target, vae, draw_described(group, rows))


@torch.inference_mode()
def keep(target: Path, vae: VAE, clips: Iterable[tuple[Tensor, dict[str, object]]]) -> None:
    """Encode clips into a group's two files; the latents are written last, under their name in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    latents, described = [], []
    for pixels, description in clips:
        mean, _ = vae.encode_moments(as_signed(pixels.numpy())[None], latents_per_chunk=2)
        latents.append(mean[0].to(torch.float16))
        described.append(description)
    target.with_suffix(".json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    unfinished = target.with_suffix(".part")
    save_file({"latents": torch.stack(latents)}, unfinished)
    unfinished.replace(target)


def read_latents(folder: Path) -> list[LatentClip]:
    """The clips of all groups, in the order of their numbers."""
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        rows = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        for latents, row in zip(load_file(path)["latents"], rows, strict=True):
            scene = Scene(
                **{
                    **row["scene"],
                    "proportions": tuple(row["scene"]["proportions"]),
                    "rgb": tuple(row["scene"]["rgb"]),
                }
            )
            found.append(LatentClip(latents, scene, tuple(row["written"])))
    return found
