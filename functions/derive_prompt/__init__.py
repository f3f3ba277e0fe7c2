"""derive_prompt: product.created, product.updated -> video.requested | video.ready (already rendered) | video.rejected.

Here: screening, recognition of what can be seen, prompt templates, the render spec. Not here: torch, Kafka, MinIO, and
whatever a clip looks like once it is asked for.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from functions.derive_prompt.answered import AnsweredProducts
from functions.derive_prompt.prompts import caption_of
from functions.derive_prompt.recognise.understanding import VisibleFields, understand, visible_fields
from functions.derive_prompt.remembered import RememberedClips
from functions.derive_prompt.screening import screen
from functions.derive_prompt.templates import templates
from model_store.manifest import Manifest, model_folder, read_manifest
from shared.errors import INVALID_IMAGE, PhotoNotYet, PhotoRefused
from shared.events import (
    Event,
    ModelReference,
    Product,
    Reason,
    RenderSpec,
    VideoRejected,
    VideoRequested,
    answer,
    read_by,
)
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.clips import ClipStore

__all__ = ["SOURCE", "DerivePrompt"]

SOURCE = "/skureel/derive_prompt"
REMEMBERED_SPECS = 4096
REMEMBERED_PRODUCTS = 65_536
"""Some 15 MB, and far more than arrive while a retry waits."""


def build(settings: Settings) -> "DerivePrompt":
    """The function as a trigger runs it."""
    from shared.clips import ClipStore
    from shared.objects import ObjectStore
    from shared.photos import Photos

    objects = ObjectStore(settings.objects)
    photos = Photos(objects, settings.render)
    return DerivePrompt(settings, ClipStore(objects), photo_digest=photos.digest)


class DerivePrompt:
    """The function. One event: screen the product, derive its render spec, and look whether the clip is there already.

    `photo_digest` gives the SHA-256 of a product photo that the clip is to start from, or None; left out, photos are
    not used. `now` is the clock of emitted events.
    """

    name = "derive_prompt"
    consumes = read_by(name)
    deadline_seconds = 120.0
    """Three attempts in place, each with a photo's and a record's own limits of time."""

    def __init__(
        self,
        settings: Settings,
        store: "ClipStore",
        manifest: Manifest | None = None,
        *,
        photo_digest: Callable[[str], str | None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._store = store
        self._clips = RememberedClips(store)
        self._answered = AnsweredProducts(REMEMBERED_PRODUCTS)
        self._manifest = manifest
        self._photo_digest = photo_digest
        self._now = now
        self._specs: SpecMaker | None = None

    def start(self) -> None:
        """Read the templates and the model's manifest, and check the bucket, made here where the settings say so.

        A wrong one is a ConfigurationError, now and not later.
        """
        templates()
        manifest = self._manifest or read_manifest(model_folder(self._settings.model.name))
        specs = SpecMaker(self._settings, manifest)
        self.check()
        clips = self._clips_in_bucket()
        if clips is not None:
            clips.warn_of_closed_urls()
        self._specs = specs

    def check(self) -> None:
        """Ask whether clips can be looked up and, where photos are used, kept.

        Raises Unavailable or ConfigurationError.
        """
        clips = self._clips_in_bucket()
        if clips is None:
            return
        clips.check()
        if self._photo_digest is not None:
            from shared import photos

            clips.objects.check(reads=[photos.FOLDER], writes=[photos.FOLDER])

    def _clips_in_bucket(self) -> "ClipStore | None":
        """The store, unless it is one in memory."""
        from shared.clips import ClipStore  # whoever only derives specs does without an object store's client

        return self._store if isinstance(self._store, ClipStore) else None

    def ready(self) -> bool:
        """Whether `start` has been called."""
        return self._specs is not None

    def stop(self) -> None:
        """Forget what was remembered."""
        self._specs = None

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        """Answer one product, unless a later event of it has been answered: that one raises Superseded."""
        self._answered.check(event)
        answered = self._answer(event)
        self._answered.note(event)
        return [answered]

    def _answer(self, event: Event[Product]) -> Event[Any]:
        """A rejection with reasons, the clip that is already there, or the request for a new one."""
        product = event.data

        reasons = screen(product)
        if reasons:
            return self._rejected(event, reasons)

        try:
            spec = self._spec(product)
        except PhotoRefused as refused:
            return self._without_photo(event, refused)
        except PhotoNotYet as missing:
            if not event.last_round:
                raise
            return self._without_photo(event, missing)
        record = self._clips.find_ready(spec.video_id)
        if record is not None:
            record = self._store.addressed(record)
            ready = record.ready(product.product_id, product.experiment, cache_hit=True)
            return answer(event, ready, source=SOURCE, time=self._now())

        request = VideoRequested(
            product_id=product.product_id,
            video_id=spec.video_id,
            spec=spec,
            channels=product.channels,
            experiment=product.experiment,
        )
        return answer(event, request, source=SOURCE, time=self._now())

    def _without_photo(self, event: Event[Product], why: PhotoRefused | PhotoNotYet) -> Event[Any]:
        return self._rejected(event, [Reason(code=INVALID_IMAGE, message=str(why), field="image")])

    def _rejected(self, event: Event[Product], reasons: Sequence[Reason]) -> Event[Any]:
        product = event.data
        refusal = VideoRejected(
            product_id=product.product_id, stage="screening", reasons=tuple(reasons), experiment=product.experiment
        )
        return answer(event, refusal, source=SOURCE, time=self._now())

    def _spec(self, product: Product) -> RenderSpec:
        if self._specs is None:
            raise RuntimeError("derive_prompt was not started; call start() first")
        photo = self._photo_digest(product.image) if self._photo_digest and product.image else None
        return self._specs.spec(visible_fields(product), photo)


class SpecMaker:
    """Visible fields -> render spec, for one model and one set of settings. Remembers specs, within bounds."""

    def __init__(self, settings: Settings, manifest: Manifest) -> None:
        manifest.must_be(settings.model.revision)
        self._clip = manifest.configured_numbers(settings.render).by_name()
        self._seed = settings.render.seed
        self._label_profile = settings.render.label_profile
        self._model = ModelReference(name=manifest.name, revision=manifest.revision, quantisation=manifest.quantisation)
        self._remembered = lru_cache(maxsize=REMEMBERED_SPECS)(self._make)

    def spec(self, fields: VisibleFields, image_sha256: str | None = None) -> RenderSpec:
        """The spec that films these fields."""
        make = self._remembered if fields.is_short() else self._make
        return make(fields, image_sha256)

    def _make(self, fields: VisibleFields, image_sha256: str | None) -> RenderSpec:
        filled = caption_of(understand(fields))
        return RenderSpec(
            prompt=filled.prompt,
            negative_prompt=filled.negative_prompt,
            negative_prompt_version=filled.negative_prompt_version,
            template=filled.template,
            model=self._model,
            seed=self._seed,
            image_sha256=image_sha256,
            label_profile=self._label_profile,
            **self._clip,
        )
