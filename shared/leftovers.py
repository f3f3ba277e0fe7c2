"""What lost races and crashes leave in the store: files of clips that no record names, uploads that nobody completes.

Photos stay: a request that waits in Kafka may need one that was kept long ago for another.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from shared.bucket import CLIPS
from shared.clips import ClipStore
from shared.errors import TemporaryError, Unavailable

_FILE = re.compile(CLIPS + r"(?P<video>[0-9a-f]{64})/[0-9a-f]{64}\.[a-z0-9]+")
"""How clips' files are named. Whatever else lies there is somebody else's."""


class Leftover(NamedTuple):
    """One object, or one open upload in parts, whose parts the store does not tell the size of."""

    key: str
    since: datetime
    size_bytes: int | None = None
    upload_id: str | None = None


class Leftovers:
    """Finds and removes them. Memory does not grow with the bucket."""

    def __init__(self, clips: ClipStore) -> None:
        self._clips = clips
        self.unreadable: list[str] = []
        """Video ids whose record cannot be read, at most a hundred: nothing of theirs counts as left over."""

    def find(self, before: datetime) -> Iterator[Leftover]:
        """Everything left over that is older than `before`: a worker at work stores files some time before the record.

        A record is read while its video's files are listed, so remove each at once or look again.
        """
        video = ""
        named: frozenset[str] | None = None
        for found in self._clips.objects.list(CLIPS):
            file = _FILE.fullmatch(found.key)
            if file is None or found.modified is None or found.modified >= before:
                continue
            if file["video"] != video:
                video, named = file["video"], self._named(file["video"])
            if named is not None and found.key not in named:
                yield Leftover(found.key, found.modified, size_bytes=found.size_bytes)
        for upload in self._clips.objects.open_uploads():
            if upload.key.startswith(CLIPS) and upload.begun < before:
                yield Leftover(upload.key, upload.begun, upload_id=upload.upload_id)

    def remove(self, leftover: Leftover) -> None:
        """Delete the object, or give the upload up. Twice is once."""
        if leftover.upload_id is None:
            self._clips.objects.delete(leftover.key)
        else:
            self._clips.objects.give_up(leftover.key, leftover.upload_id)

    def _named(self, video_id: str) -> frozenset[str] | None:
        """The files that a record names; None where that cannot be known."""
        try:
            record = self._clips.recorded(video_id)
        except Unavailable:
            raise
        except TemporaryError:
            if len(self.unreadable) < 100:
                self.unreadable.append(video_id)
            return None
        return frozenset() if record is None else frozenset(record.keys())
