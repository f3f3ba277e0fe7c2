"""`skureel doctor`: what is configured, what answers, what is missing. Changes nothing, but that the
store's check makes a missing bucket where the settings say so."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from importlib.util import find_spec
from typing import NamedTuple

from functions.derive_prompt import SpecMaker
from model_store.manifest import model_folder, read_manifest, verify
from shared.errors import ConfigurationError, SkureelError, TemporaryError
from shared.settings import Settings

RENDER_PACKAGES = ("torch", "tokenizers", "safetensors", "numpy", "PIL", "imageio_ffmpeg", "ftfy")
KAFKA_SECONDS = 20.0
"""How long Kafka may take to answer; its clients would try longer where only the transport is set wrongly."""


OK = "ok"
WRONG = "WRONG"
UNTRIED = "-"


class Finding(NamedTuple):
    """One thing looked at. `verdict` is OK, WRONG, or UNTRIED, whose fact says why."""

    subject: str
    verdict: str
    fact: str


class Untried(Exception):
    """What was looked for can be said to be neither right nor wrong; the message says why."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything skureel stands on, one finding each."""
    yield _finding("kafka", lambda: _kafka(settings))
    yield _finding("codecs", _codecs)
    objects = _finding("objects", lambda: _objects(settings))
    yield objects
    if settings.objects.endpoint is not None:
        # Without the store no url can be looked for: it would be the same fault once more.
        yield _finding("urls", lambda: _urls(settings, reached=objects.verdict == OK))
    if settings.render.image_hosts:
        yield _finding("photo hosts", lambda: _photo_hosts(settings))
    yield _finding("model", lambda: _model(settings))
    if settings.reader.is_set:
        yield _finding("reader", lambda: _reader(settings))
    yield _packages("render packages", RENDER_PACKAGES, "render")
    yield _finding("device", lambda: _device(settings))


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, OK, look())
    except Untried as reason:
        return Finding(subject, UNTRIED, str(reason))
    except SkureelError as error:
        return Finding(subject, WRONG, str(error))


def _kafka(settings: Settings) -> str:
    if settings.kafka.bootstrap_servers is None:
        return f"not configured (SKUREEL_KAFKA__BOOTSTRAP_SERVERS); demo {_embedded()}"
    from shared.kafka import check

    return _within(
        KAFKA_SECONDS,
        lambda: check(settings.kafka),
        f"Kafka at {settings.kafka.bootstrap_servers} gave no answer in {KAFKA_SECONDS:.0f} s; check the address, and "
        "that its listener speaks what SKUREEL_KAFKA__SECURITY_PROTOCOL says",
    )


def _codecs() -> str:
    from shared.kafka import missing_codecs

    missing = missing_codecs()
    if missing:
        raise ConfigurationError(
            f"{', '.join(missing)} missing, and a partition holds where a producer packs with it; install skureel anew"
        )
    return "records packed in any way that Kafka has can be read"


def _within(seconds: float, look: Callable[[], str], too_late: str) -> str:
    """What `look` finds, or a TemporaryError; a look that does not end keeps nobody waiting, nor the process alive."""
    found: Future[str] = Future()

    def run() -> None:
        try:
            found.set_result(look())
        except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
            found.set_exception(error)

    threading.Thread(target=run, name="doctor", daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError as error:
        raise TemporaryError(too_late) from error


def _objects(settings: Settings) -> str:
    if settings.objects.endpoint is None:
        return f"not configured (SKUREEL_OBJECTS__ENDPOINT); demo {_embedded()}"
    from shared import clips, photos
    from shared.objects import ObjectStore

    folders = [clips.FOLDER, photos.FOLDER]
    if settings.reader.is_set:
        from functions.derive_prompt.reader.kept import FOLDER

        folders.append(FOLDER)
    ObjectStore(settings.objects).check(reads=folders, writes=folders)
    return f"{settings.objects.endpoint} answers, bucket {settings.objects.bucket} is there and may be written to"


def _urls(settings: Settings, *, reached: bool) -> str:
    from shared.clips import ClipStore, closed_url
    from shared.objects import ObjectStore

    if not reached:
        raise Untried("not tried, for the object store has to be right first")
    trial = ClipStore(ObjectStore(settings.objects)).try_url()
    if trial is None:
        raise Untried(f"not tried, for {settings.objects.bucket} holds no clip yet")
    told = closed_url(trial)
    if told is not None:
        raise ConfigurationError(told)
    if trial.unreachable is not None:
        raise Untried(f"not tried, for {trial.url} cannot be reached from here: {trial.unreachable}")
    return f"{trial.url} opens"


def _photo_hosts(settings: Settings) -> str:
    from shared.photos import allowed_hosts

    return ", ".join(sorted(allowed_hosts(settings.render.image_hosts)))


def _embedded() -> str:
    from shared.embedded import missing_wheels

    missing = missing_wheels()
    return f"lacks {', '.join(missing)}: install skureel[embedded]" if missing else "starts an embedded one"


def _model(settings: Settings) -> str:
    folder = model_folder(settings.model.name)
    manifest = read_manifest(folder)
    verify(folder, manifest)
    SpecMaker(settings, manifest)
    size_mib = sum(file.size_bytes for file in manifest.files) / 2**20
    return (
        f"{manifest.name} {manifest.version}, revision {manifest.revision[:12]}, {size_mib:.1f} MiB, "
        f"every byte as its manifest says"
    )


def _reader(settings: Settings) -> str:
    from functions.derive_prompt.reader.reading import reader_of

    reader = reader_of(settings.reader, None)
    assert reader is not None  # it is set
    reader.start()
    reader.try_once()
    return f"{reader.name} answers as it is asked to"


def _packages(subject: str, names: tuple[str, ...], extra: str) -> Finding:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        return Finding(subject, WRONG, f"{', '.join(missing)} missing; install skureel[{extra}] where clips are drawn")
    return Finding(subject, OK, "all there")


def _device(settings: Settings) -> str:
    if find_spec("torch") is None:
        return "none: without torch this machine draws no clips"
    from functions.render_video.studio import device_options

    options = device_options(settings)
    return f"{options['device']} in {str(options['dtype']).removeprefix('torch.')}"
