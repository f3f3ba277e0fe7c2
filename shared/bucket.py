"""The folders of the bucket, and which function reads and writes which: what its policy has to allow.

Functions prove it when they start and while something is away, and `skureel doctor` asks for the same.
"""

from typing import NamedTuple

from shared.settings import Settings

CLIPS = "videos/"
PHOTOS = "photos/"
READINGS = "readings/"


class Access(NamedTuple):
    """Folders below which objects are read, and below which they are written."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


def access_of(function: str, settings: Settings) -> Access:
    """What a function needs with these settings; nothing for one that knows no bucket."""
    readings = (READINGS,) if settings.reader.is_set else ()
    needs = {
        "derive_prompt": Access((CLIPS, PHOTOS, settings.render.image_prefix, *readings), (PHOTOS, *readings)),
        "render_video": Access((CLIPS, PHOTOS), (CLIPS,)),
    }
    return needs.get(function, Access())
