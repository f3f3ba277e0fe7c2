"""`skureel doctor`: what is configured, what answers, what is missing. Changes nothing, but that the
store's check makes a missing bucket where the settings say so."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from importlib.util import find_spec
from typing import NamedTuple

from functions.derive_prompt import SpecMaker
from functions.registry import FUNCTIONS
from model_store.manifest import model_folder, read_manifest, verify
from shared.bucket import access_of
from shared.errors import ConfigurationError, SkureelError, TemporaryError
from shared.settings import Settings

RENDER_PACKAGES = ("torch", "tokenizers", "safetensors", "numpy", "PIL", "imageio_ffmpeg", "ftfy")
KAFKA_SECONDS = 20.0
"""How long Kafka may take to answer; its clients would try longer where only the transport is set wrongly."""


OK = "ok"
WRONG = "WRONG"
UNTRIED = "-"


class Finding(NamedTuple):
    """One thing looked at. `verdict` is OK, WRONG, or UNTRIED, whose fact says why it is neither."""

    subject: str
    verdict: str
    fact: str


class Untried(Exception):
    """What was looked for can be said to be neither right nor wrong; the message says why."""


def examine(settings: Settings, named: Sequence[str] = ()) -> Iterator[Finding]:
    """Look at everything that these functions stand on, one finding each; at that of all where none is named."""
    functions = named or tuple(FUNCTIONS)
    yield _finding("kafka", lambda: _kafka(settings))
    yield _finding("codecs", _codecs)
    if any(access_of(name, settings).reads for name in functions):
        yield from _store(settings, functions, strictly=bool(named))
    if "derive_prompt" in functions and settings.render.image_hosts:
        yield _finding("photo hosts", lambda: _photo_hosts(settings))
    if "derive_prompt" in functions or "render_video" in functions:
        yield _finding("model", lambda: _model(settings))
    if "derive_prompt" in functions and settings.reader.is_set:
        yield _finding("reader", lambda: _reader(settings))
    if "render_video" in functions:
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
        raise Untried(f"not configured (SKUREEL_KAFKA__BOOTSTRAP_SERVERS); demo {_embedded()}")
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


def _store(settings: Settings, functions: Sequence[str], *, strictly: bool) -> Iterator[Finding]:
    found = _finding("objects", lambda: _objects(settings))
    yield found
    if found.verdict == OK:  # else the same fault would be told once more for each
        yield from _accesses(settings, functions, strictly=strictly)
        yield _finding("urls", lambda: _urls(settings))
    elif found.verdict == WRONG:
        yield Finding("urls", UNTRIED, "not tried, for the object store has to be right first")


def _objects(settings: Settings) -> str:
    if settings.objects.endpoint is None:
        raise Untried(f"not configured (SKUREEL_OBJECTS__ENDPOINT); demo {_embedded()}")
    from shared.objects import ObjectStore

    ObjectStore(settings.objects).check()
    return f"{settings.objects.endpoint} answers, bucket {settings.objects.bucket} is there"


def _accesses(settings: Settings, functions: Sequence[str], *, strictly: bool) -> Iterator[Finding]:
    """What each function may do in the bucket. Each may have credentials of its own: unless it was asked for by name
    (`strictly`), one that these are not for is no fault, as long as they are for another.
    """
    errors = {name: _refused(settings, name) for name in functions if access_of(name, settings).reads}
    for name, error in errors.items():
        reads, writes = (", ".join(f"{folder}*" for folder in folders) for folders in access_of(name, settings))
        subject = f"bucket for {name}"
        if error is None:
            yield Finding(subject, OK, f"these credentials may read {reads} and write {writes}")
        elif isinstance(error, ConfigurationError) and None in errors.values() and not strictly:
            yield Finding(subject, UNTRIED, f"not with these credentials: {error}")
        else:
            yield Finding(subject, WRONG, str(error))


def _refused(settings: Settings, function: str) -> SkureelError | None:
    from shared.objects import ObjectStore

    needed = access_of(function, settings)
    try:
        ObjectStore(settings.objects).check(reads=needed.reads, writes=needed.writes)
    except SkureelError as error:
        return error
    return None


def _urls(settings: Settings) -> str:
    from shared.clips import ClipStore, closed_url
    from shared.objects import ObjectStore

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
