"""A product -> what to film of it -> its render spec, or why nothing can be filmed. Pure, but for what is handed in:
the photo's digest and the reader."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from functions.derive_prompt.prompts import Caption, caption_of, caption_of_photo
from functions.derive_prompt.reader.answer import Answer
from functions.derive_prompt.reader.support import Refused, Supported, supported
from functions.derive_prompt.recognise.understanding import Understanding, VisibleFields, understand, visible_fields
from functions.derive_prompt.refusals import licence_wanted, prohibited, refusal
from functions.derive_prompt.screening import licensed, screen
from model_store.manifest import Manifest
from shared.errors import INVALID_IMAGE, PHOTO_HELP, PhotoNotYet, PhotoRefused
from shared.events import Event, ModelReference, Product, Reason, RenderSpec, VideoRejected, VideoRequested
from shared.settings import Settings

if TYPE_CHECKING:
    from functions.derive_prompt.reader.reading import Reader

REMEMBERED = 4096

PhotoDigest = Callable[[str], str | None]
"""The SHA-256 of a product photo that the clip is to start from, or None. Raises PhotoRefused and PhotoNotYet."""


class Scene(NamedTuple):
    """What is to be filmed of a product. Without a caption nothing is, for `reasons`. `refused` is what the product's
    text does not support of a reader's answer."""

    understood: Understanding
    caption: Caption | None
    reasons: tuple[Reason, ...] = ()
    refused: tuple[Refused, ...] = ()


class Derived(NamedTuple):
    """A scene and its render spec, which is None where there is nothing to film."""

    scene: Scene
    spec: RenderSpec | None


class SpecMaker:
    """Visible fields -> render spec, for one model and one set of settings. Remembers what it made, within bounds."""

    def __init__(self, settings: Settings, manifest: Manifest) -> None:
        manifest.must_be(settings.model.revision)
        self._clip = manifest.configured_numbers(settings.render).by_name()
        self._seed = settings.render.seed
        self._label_profile = settings.render.label_profile
        self._films_unsure = settings.prompt.when_unsure == "film"
        self._model = ModelReference(name=manifest.name, revision=manifest.revision, quantisation=manifest.quantisation)
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._derive)

    def derive(self, fields: VisibleFields, image_sha256: str | None = None, answer: Answer | None = None) -> Derived:
        """What is filmed of these fields, from a photo if there is one, and its spec. `answer` is a reader's."""
        derive = self._remembered if fields.is_short() else self._derive
        return derive(fields, image_sha256, answer)

    def scene(self, fields: VisibleFields, *, from_photo: bool, answer: Answer | None = None) -> Scene:
        """What is filmed of these fields. What is not known is filmed from its photo, or not at all."""
        read = Supported(understand(fields), ())
        if answer is not None:
            read = supported(answer, fields, read.understood)
        understood, refused = read
        caption, reasons = self._caption(understood, from_photo=from_photo)
        return Scene(understood, caption, reasons, refused)

    def _caption(self, understood: Understanding, *, from_photo: bool) -> tuple[Caption | None, tuple[Reason, ...]]:
        if understood.problem is None:
            return caption_of(understood, from_photo=from_photo), ()
        if from_photo:
            return caption_of_photo(understood), ()
        if self._films_unsure:
            return caption_of(understood), ()
        return None, (refusal(understood),)

    def _derive(self, fields: VisibleFields, image_sha256: str | None, answer: Answer | None) -> Derived:
        scene = self.scene(fields, from_photo=image_sha256 is not None, answer=answer)
        return Derived(scene, None if scene.caption is None else self._spec(scene.caption, image_sha256))

    def _spec(self, caption: Caption, image_sha256: str | None) -> RenderSpec:
        return RenderSpec(
            prompt=caption.prompt,
            negative_prompt=caption.negative_prompt,
            negative_prompt_version=caption.negative_prompt_version,
            template=caption.template,
            model=self._model,
            seed=self._seed,
            image_sha256=image_sha256,
            label_profile=self._label_profile,
            **self._clip,
        )


class Requests:
    """A product's request for a clip, whether the clip is there or not. Without `photo_digest` photos are not used;
    without a `reader` the rules decide alone."""

    def __init__(
        self, specs: SpecMaker, photo_digest: PhotoDigest | None = None, reader: "Reader | None" = None
    ) -> None:
        self._specs = specs
        self._photo_digest = photo_digest
        self._reader = reader

    def of(self, event: Event[Product]) -> VideoRequested | VideoRejected:
        """The request, or the rejection with its reasons.

        Raises PhotoNotYet while a photo may still come, and what `photo_digest` and `reader` raise where something is
        away.
        """
        product = event.data
        found = screen(product)
        if found:
            return _rejection(product, [prohibited(finding) for finding in found])
        try:
            photo = self._photo_digest(product.image) if self._photo_digest and product.image else None
        except PhotoRefused as refused:
            return _rejection(product, [_without_photo(refused)])
        except PhotoNotYet as missing:
            if not event.last_round:
                raise
            return _rejection(product, [_without_photo(missing)])
        scene, spec = self._derived(visible_fields(product), photo, last_round=event.last_round)
        if spec is None:
            return _rejection(product, scene.reasons, "understanding")
        return VideoRequested(
            product_id=product.product_id,
            video_id=spec.video_id,
            spec=spec,
            channels=product.channels,
            experiment=product.experiment,
            review=tuple(licence_wanted(finding) for finding in licensed(product)),
        )

    def _derived(self, fields: VisibleFields, photo: str | None, *, last_round: bool) -> Derived:
        """By the rules, and by the reader where they are not sure."""
        derived = self._specs.derive(fields, photo)
        if self._reader is None or not self._reader.is_needed(derived.scene.understood):
            return derived
        answer = self._reader.answer(fields, last_round=last_round)
        if answer is None:
            return derived
        derived = self._specs.derive(fields, photo, answer)
        self._reader.count(derived.scene.refused)
        return derived


def _without_photo(why: PhotoRefused | PhotoNotYet) -> Reason:
    return Reason(code=INVALID_IMAGE, message=f"{why} / {PHOTO_HELP}", field="image")


def _rejection(
    product: Product, reasons: Sequence[Reason], stage: Literal["screening", "understanding"] = "screening"
) -> VideoRejected:
    return VideoRejected(
        product_id=product.product_id, stage=stage, reasons=tuple(reasons), experiment=product.experiment
    )
