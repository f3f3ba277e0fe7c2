"""The render spec: everything that decides a clip's picture, and the video id that names it."""

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from shared.bounds import Seed
from shared.drawing import ClipNumbers, ClipSpec
from shared.events.payload import Identifier, LongText, Payload, Sha256


class ModelReference(Payload):
    """Which weights draw the clip. `revision` is the manifest's digest, so changed weights are another model."""

    name: Identifier
    revision: Identifier
    quantisation: Identifier = "none"


class TemplateReference(Payload):
    """Which prompt template was filled."""

    id: Identifier
    version: Annotated[int, Field(ge=1)]


class RenderSpec(ClipNumbers, Payload):
    """Everything that decides a clip's bytes, and nothing else. Equal specs are one clip.

    `seed` None means the policy "from the video id": equal specs draw equal noise, different specs do not.
    `generation` sets a clip apart that was asked for again although nothing else differs; 0 is the first.
    """

    # A payload's config, where the six numbers' own would refuse fields that are not known yet.
    model_config = ConfigDict(**Payload.model_config)

    prompt: Annotated[LongText, Field(min_length=1)]
    negative_prompt: LongText
    negative_prompt_version: Identifier
    seed: Seed | None = None
    model: ModelReference
    template: TemplateReference
    image_sha256: Sha256 | None = None
    label_profile: Identifier
    generation: Annotated[int, Field(ge=0, lt=2**53)] = 0

    def canonical_json(self) -> bytes:
        """The spec as sorted, compact UTF-8 JSON: the same bytes for equal specs, in any process."""
        document = self.model_dump(mode="json")
        if not self.generation:
            # Ids of first clips are the same as before there were generations.
            del document["generation"]
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    @cached_property
    def video_id(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits. Safe in object keys and URLs."""
        return hashlib.sha256(self.canonical_json()).hexdigest()

    def seed_for(self, attempt: int) -> int:
        """The noise seed of an attempt (0 is the first); a clip that fails inspection is drawn again with the next."""
        first = int(self.video_id[:12], 16) if self.seed is None else self.seed
        return (first + attempt) % 2**63

    def attempt(self, number: int, image: Any = None) -> ClipSpec:
        """What an engine is to draw at an attempt, 0 the first; `image` is the photo of `image_sha256`, opened."""
        return self.clip(self.prompt, self.negative_prompt, seed=self.seed_for(number), image=image)

    @property
    def mode(self) -> Literal["t2v", "ti2v"]:
        """Text to video, or text and first frame to video."""
        return "t2v" if self.image_sha256 is None else "ti2v"
