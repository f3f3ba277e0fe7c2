"""What skureel says of a video: asked for, ready, to be looked at by a person, or refused."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.events.payload import Identifier, LongText, Payload, Sha256, ShortText
from shared.events.product import Experiment, Texts
from shared.events.spec import ModelReference, RenderSpec, TemplateReference

Count = Annotated[int, Field(ge=0)]
Score = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]


class Reason(Payload):
    """One reason, for machines (`code`) and for people (`message`)."""

    code: Identifier
    message: LongText
    field: Identifier | None = None


class Clip(Payload):
    """One playable file in the object store."""

    url: ShortText
    key: ShortText
    sha256: Sha256
    size_bytes: Count
    width: Count
    height: Count
    frames: Count
    fps: Count
    duration_ms: Count
    codec: Identifier


class Rendition(Clip):
    """The master cut for one sales channel."""

    channel: Identifier


class Poster(Payload):
    """The still that stands in for the clip until it plays: JPEG."""

    url: ShortText
    key: ShortText
    sha256: Sha256
    size_bytes: Count
    width: Count
    height: Count


class Inspection(Payload):
    """What the clip's inspection measured. Scores are in [0, 1], 1 is flawless."""

    profile: Identifier
    profile_version: Count
    scores: dict[Identifier, Score]
    reasons: tuple[Reason, ...] = ()


class Label(Payload):
    """How the clip says that it was generated. `produce_id` is the number in its AIGC metadata."""

    profile: Identifier
    produce_id: Identifier


class VideoRequested(Payload):
    """The data of `video.requested`: draw this spec, for this product."""

    product_id: Identifier
    video_id: Sha256
    spec: RenderSpec
    channels: Texts = ()
    experiment: Experiment | None = None
    review: tuple[Reason, ...] = Field(
        (), description="Why a person is to see the clip before it is shown for this product, however good it is."
    )

    @model_validator(mode="after")
    def _id_names_the_spec(self) -> Self:
        if self.video_id != self.spec.video_id:
            raise ValueError(f"video_id {self.video_id} does not name this spec, which hashes to {self.spec.video_id}")
        return self


class BulkVideoRequested(VideoRequested):
    """The data of `video.requested.bulk`: the same, from regeneration."""


class VideoReady(Payload):
    """The data of `video.ready`: everything a consumer needs, without a call back."""

    product_id: Identifier
    video_id: Sha256
    master: Clip
    renditions: tuple[Rendition, ...] = ()
    poster: Poster
    prompt: LongText
    negative_prompt_version: Identifier
    template: TemplateReference
    model: ModelReference
    seed: Count
    steps: Count
    guidance: Annotated[float, Field(ge=0)]
    mode: Literal["t2v", "ti2v"]
    inspection: Inspection
    label: Label
    cache_hit: bool
    source_video_id: Sha256
    experiment: Experiment | None = None
    timings_seconds: dict[Identifier, Seconds] = Field(default_factory=dict)


class VideoReview(Payload):
    """The data of `video.review`: a clip that inspection will not pass by itself, or of a product for which somebody is
    to see it first (`reasons`); a person decides."""

    product_id: Identifier
    video_id: Sha256
    spec: RenderSpec
    master: Clip
    poster: Poster
    seed: Count
    attempts: Count
    inspection: Inspection
    label: Label
    channels: Texts = ()
    experiment: Experiment | None = None
    reasons: tuple[Reason, ...] = ()


class VideoRejected(Payload):
    """The data of `video.rejected`: no clip for this product, and why, for merchant tools."""

    product_id: Identifier
    stage: Literal["screening", "understanding", "review"]
    reasons: Annotated[tuple[Reason, ...], Field(min_length=1)]
    video_id: Sha256 | None = None
    experiment: Experiment | None = None
