"""The warm part of render_video: a loaded engine, and everything between its frames and finished, labelled files.

Knows no event, no store and no Kafka: `skureel generate` draws with it as the function does.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from functions.render_video.encoding import EncodedClip, encode_clip, encode_poster, sealed
from functions.render_video.inspection import Inspector, Profile
from functions.render_video.labels import Labeller
from shared.drawing import ClipSpec
from shared.events import Inspection, Label
from shared.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OnStage = Callable[[str, int, int], None]
"""Told a stage (`denoise`, `decode`), what is done of it and its total."""


class Painter(Protocol):
    """What a studio needs of an engine."""

    def generate(
        self, spec: ClipSpec, on_step: Callable[[int, int], None] | None = None
    ) -> "Generator[NDArray[np.uint8], None, None]":
        """Frames [H, W, 3], RGB, as they are decoded; the request is checked before the call returns."""

    def close(self) -> None:
        """Give the device's memory back."""


@dataclass
class Draft:
    """One attempt at a clip, drawn, inspected, labelled and encoded, not yet stored."""

    seed: int
    clip: EncodedClip
    clip_path: Path
    poster: bytes
    inspection: Inspection
    passed: bool
    label: Label
    seconds: dict[str, float] = field(default_factory=dict)


class Studio:
    """The warm part: a loaded engine, and everything between its frames and finished, labelled files.

    `labeller` is the settings': whose name labels bear, and their profile where a clip's own is not given.
    """

    def __init__(self, engine: Painter, profile: Profile, labeller: Labeller) -> None:
        self.engine = engine
        self.profile = profile
        self.labeller = labeller

    def draw(
        self,
        clip: ClipSpec,
        *,
        name: str,
        folder: Path,
        label_profile: str | None = None,
        on_stage: OnStage | None = None,
    ) -> Draft:
        """Draw one clip into `folder`. Frames pass through one at a time: memory does not grow with the clip.

        The stages overlap, so `seconds` splits the time at the first frame: everything up to it is `denoise`.
        """
        report = on_stage or (lambda _stage, _done, _total: None)
        labeller = self.labeller.of_profile(label_profile or self.labeller.profile)
        produce_id = f"{name}-{clip.seed}"
        inspector = Inspector(self.profile, clip.fps)
        poster_index = clip.frames // 2
        poster: list[NDArray[np.uint8]] = []
        seconds: dict[str, float] = {}
        started = time.perf_counter()
        frames = self.engine.generate(clip, lambda done, total: report("denoise", done, total))

        def finished() -> "Iterator[NDArray[np.uint8]]":
            for index, frame in enumerate(frames):
                if index == 0:
                    seconds["denoise"] = time.perf_counter() - started
                # Inspected as drawn: the mark itself would count as text and hide what lies under it.
                inspector.add(frame)
                marked = labeller.mark(frame)
                if index == poster_index:
                    poster.append(marked)
                yield marked
                report("decode", index + 1, clip.frames)

        # Written and proved to play as asked.
        path = folder / f"{produce_id}.mp4"
        tags = labeller.tags(produce_id)
        with closing(frames):  # a clip that is given up must not hold the device's memory until it is collected
            probed = encode_clip(finished(), path, width=clip.width, height=clip.height, fps=clip.fps, tags=tags)
        still = encode_poster(poster[0], tags)

        # Signed: whoever signs the clip and its poster does it here, while their bytes may still change.

        # Read back, and from here on unchanged: the digest names the file in every event.
        labeller.verify(path, produce_id)
        labeller.verify_poster(still, produce_id)
        encoded = sealed(path, probed)
        seconds["decode"] = time.perf_counter() - started - seconds["denoise"]
        return Draft(
            seed=clip.seed,
            clip=encoded,
            clip_path=path,
            poster=still,
            inspection=inspector.result(),
            passed=inspector.passed,
            label=labeller.label(produce_id),
            seconds=seconds,
        )


def open_studio(settings: Settings, folder: Path) -> Studio:
    """Load the model, the inspection profile and the label. Takes seconds, and the device's memory."""
    from model_store.wan.engine import Engine  # only who draws pays for importing torch

    engine = Engine.load(folder, **device_options(settings))
    return Studio(engine, Profile.load(), Labeller(settings.render.label_profile, settings.render.label_producer))


def device_options(settings: Settings) -> dict[str, Any]:
    """The engine's device and dtype, by the settings: `auto` is the GPU in bfloat16 where there is one.

    ConfigurationError: the device is not there.
    """
    import torch  # only who draws pays for importing torch

    from model_store.wan.devices import find_device

    if settings.model.threads:
        torch.set_num_threads(settings.model.threads)
    device = find_device(settings.model.device)
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if settings.model.dtype == "auto":
        return {"device": device, "dtype": torch.bfloat16 if device.type == "cuda" else torch.float32}
    return {"device": device, "dtype": names[settings.model.dtype]}
