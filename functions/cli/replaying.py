"""How `skureel replay` is put together: the replay, with the derivation that derive_prompt uses."""

from collections.abc import Iterator
from contextlib import contextmanager

from functions.derive_prompt import Requests, SpecMaker
from functions.derive_prompt.reader.reading import reader_of
from functions.replay_events import Replay, Selection
from model_store.manifest import Manifest, model_folder, read_manifest
from shared.bucket import access_of
from shared.clips import ClipStore
from shared.objects import ObjectStore
from shared.photos import Photos
from shared.settings import Settings


def with_model(settings: Settings, name: str | None) -> Settings:
    """The settings with this model, if one is named."""
    if name is None:
        return settings
    # The revision that the settings pin belongs to the model that they name.
    other = settings.model.model_copy(update={"name": name, "revision": None})
    return settings.model_copy(update={"model": other})


def model_of(settings: Settings) -> Manifest:
    """What will be drawn with."""
    return read_manifest(model_folder(settings.model.name))


@contextmanager
def opened_replay(settings: Settings, manifest: Manifest, selection: Selection) -> Iterator[Replay]:
    """A replay of the selection, with the requests that derive_prompt makes."""
    objects = ObjectStore(settings.objects)
    photos = Photos(objects, settings.render)
    clips = ClipStore(objects)
    needed = access_of("derive_prompt", settings)  # whose requests are made here
    objects.check(reads=needed.reads, writes=needed.writes)
    reader = reader_of(settings.reader, objects)
    if reader is not None:
        reader.start()
    requests = Requests(SpecMaker(settings, manifest), photos.digest, reader)
    with Replay(settings.kafka, selection, derive=requests.of, find=clips.find) as replay:
        yield replay
