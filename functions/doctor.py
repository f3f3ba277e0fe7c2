"""`skureel doctor`: what is configured, what answers, what is missing. Changes nothing."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import NamedTuple

from model_store.manifest import model_folder, read_manifest, verify
from shared.errors import SkureelError
from shared.settings import Settings

RENDER_PACKAGES = ("torch", "tokenizers", "safetensors", "numpy", "PIL", "imageio_ffmpeg", "ftfy")


class Finding(NamedTuple):
    """One thing looked at."""

    subject: str
    good: bool
    fact: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything skureel stands on, one finding each."""
    yield _finding("kafka", lambda: _kafka(settings))
    yield _finding("objects", lambda: _objects(settings))
    yield _finding("model", lambda: _model(settings))
    yield _packages("render packages", RENDER_PACKAGES, "render")
    yield _finding("device", lambda: _device(settings))


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except SkureelError as error:
        return Finding(subject, False, str(error))


def _kafka(settings: Settings) -> str:
    if settings.kafka.bootstrap_servers is None:
        return f"not configured (SKUREEL_KAFKA__BOOTSTRAP_SERVERS); demo {_embedded()}"
    from shared.kafka import check

    return check(settings.kafka)


def _objects(settings: Settings) -> str:
    if settings.objects.endpoint is None:
        return f"not configured (SKUREEL_OBJECTS__ENDPOINT); demo {_embedded()}"
    from shared.objects import ObjectStore

    ObjectStore(settings.objects).check()
    return f"{settings.objects.endpoint} answers, bucket {settings.objects.bucket} is there"


def _embedded() -> str:
    from shared.embedded import missing_wheels

    missing = missing_wheels()
    return f"lacks {', '.join(missing)}: install skureel[embedded]" if missing else "starts an embedded one"


def _model(settings: Settings) -> str:
    folder = model_folder(settings.model.name)
    manifest = read_manifest(folder)
    verify(folder, manifest)
    size_mib = sum(file.size_bytes for file in manifest.files) / 2**20
    return (
        f"{manifest.name} {manifest.version}, revision {manifest.revision[:12]}, {size_mib:.1f} MiB, "
        f"every byte as its manifest says"
    )


def _packages(subject: str, names: tuple[str, ...], extra: str) -> Finding:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        return Finding(subject, False, f"{', '.join(missing)} missing; install skureel[{extra}] where clips are drawn")
    return Finding(subject, True, "all there")


def _device(settings: Settings) -> str:
    if find_spec("torch") is None:
        return "none: without torch this machine draws no clips"
    from functions.render_video import device_options

    options = device_options(settings)
    return f"{options['device']} in {str(options['dtype']).removeprefix('torch.')}"
