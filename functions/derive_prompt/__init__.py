"""derive_prompt: product.created, product.updated -> video.requested | video.ready (already rendered) | video.rejected.

Here: screening, recognition of what can be seen (`recognise`, `reader`), prompt templates, the render spec (`spec`).
Not here: Kafka, MinIO, torch (but for a reader on this machine), and whatever a clip looks like once it is asked for.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from functions.derive_prompt.answered import AnsweredProducts
from functions.derive_prompt.recognise import read_vocabulary
from functions.derive_prompt.remembered import RememberedClips
from functions.derive_prompt.spec import PhotoDigest, Requests, SpecMaker
from functions.derive_prompt.templates import templates
from model_store.manifest import Manifest, model_folder, read_manifest
from shared.bucket import access_of
from shared.events import Event, Product, VideoRejected, answer, read_by
from shared.settings import Settings

if TYPE_CHECKING:
    from functions.derive_prompt.reader.reading import Reader
    from shared.clips import ClipStore

__all__ = ["SOURCE", "DerivePrompt", "Requests", "SpecMaker"]

SOURCE = "/skureel/derive_prompt"
REMEMBERED_PRODUCTS = 65_536
"""Some 15 MB, and far more than arrive while a retry waits."""


def build(settings: Settings) -> "DerivePrompt":
    """The function as a trigger runs it."""
    from shared.clips import ClipStore
    from shared.objects import ObjectStore
    from shared.photos import Photos

    objects = ObjectStore(settings.objects)
    photos = Photos(objects, settings.render)
    reader = None
    if settings.reader.is_set:
        from functions.derive_prompt.reader.reading import reader_of

        reader = reader_of(settings.reader, objects)
    return DerivePrompt(settings, ClipStore(objects), photo_digest=photos.digest, reader=reader)


class DerivePrompt:
    """The function. One event: screen the product, derive its render spec, and look whether the clip is there already.

    `photo_digest` gives the SHA-256 of a product photo that the clip is to start from, or None; left out, photos are
    not used. `reader` reads products that the rules are not sure of. `now` is the clock of emitted events.
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
        photo_digest: PhotoDigest | None = None,
        reader: "Reader | None" = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._store = store
        self._clips = RememberedClips(store)
        self._answered = AnsweredProducts(REMEMBERED_PRODUCTS)
        self._manifest = manifest
        self._photo_digest = photo_digest
        self._reader = reader
        self._now = now
        self._requests: Requests | None = None

    def start(self) -> None:
        """Read the vocabulary, the templates and the model's manifest, and check the bucket, made here where the
        settings say so.

        A wrong one is a ConfigurationError, now and not later.
        """
        templates()
        read_vocabulary()
        manifest = self._manifest or read_manifest(model_folder(self._settings.model.name))
        specs = SpecMaker(self._settings, manifest)
        self._check_store()
        if self._reader is not None:
            self._reader.start()
        clips = self._clips_in_bucket()
        if clips is not None:
            clips.warn_of_closed_urls()
        self._requests = Requests(specs, self._photo_digest, self._reader)

    def check(self) -> None:
        """Ask whether clips can be looked up, uploads read, and photos and the reader's answers kept; and whether the
        reader answers, where products wait for it.

        Raises Unavailable or ConfigurationError.
        """
        self._check_store()
        if self._reader is not None:
            self._reader.check()

    def _check_store(self) -> None:
        clips = self._clips_in_bucket()
        if clips is not None:
            needed = access_of(self.name, self._settings)
            clips.objects.check(reads=needed.reads, writes=needed.writes)

    def _clips_in_bucket(self) -> "ClipStore | None":
        """The store, unless it is one in memory."""
        from shared.clips import ClipStore  # whoever only derives specs does without an object store's client

        return self._store if isinstance(self._store, ClipStore) else None

    def ready(self) -> bool:
        """Whether `start` has been called."""
        return self._requests is not None

    def stop(self) -> None:
        """Forget what was remembered."""
        self._requests = None

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        """Answer one product, unless a later event of it has been answered: that one raises Superseded."""
        self._answered.check(event)
        answered = self._answer(event)
        self._answered.note(event)
        return [answered]

    def _answer(self, event: Event[Product]) -> Event[Any]:
        """A rejection with reasons, the clip that is already there, or the request for a new one."""
        if self._requests is None:
            raise RuntimeError("derive_prompt was not started; call start() first")
        request = self._requests.of(event)
        if isinstance(request, VideoRejected):
            return answer(event, request, source=SOURCE, time=self._now())

        # A clip that a person is to see first is handed on by whoever would have drawn it.
        record = None if request.review else self._clips.find_ready(request.video_id)
        if record is not None:
            record = self._store.addressed(record)
            ready = record.ready(request.product_id, request.experiment, cache_hit=True)
            return answer(event, ready, source=SOURCE, time=self._now())

        return answer(event, request, source=SOURCE, time=self._now())
