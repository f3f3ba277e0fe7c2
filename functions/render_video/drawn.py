"""Clips that are drawn and not yet stored, kept on the disk: a store that is away costs no second drawing."""

import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from functions.render_video.studio import Draft
from shared.errors import TemporaryError

MOST = 8
"""Clips kept at once, a few megabytes each; of more the one that waits longest is drawn again."""


@dataclass(frozen=True)
class Drawn:
    """The last draft of a clip, whose files lie in `folder`, and how many it took."""

    draft: Draft
    attempts: int
    folder: Path


class DrawnClips:
    """Drawn clips by video id. Safe to use from several threads; what a process leaves behind ends with its disk."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._waiting: OrderedDict[str, Drawn] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def drawn_once(self, video_id: str, draw: Callable[[Path], Drawn]) -> Iterator[Drawn]:
        """The clip that an earlier attempt could not store, or what `draw` makes in an empty folder.

        Where the block raises TemporaryError the clip is kept for the next attempt, otherwise its files are deleted.
        """
        with self._lock:
            clip = self._waiting.pop(video_id, None)
        if clip is None:
            folder = Path(tempfile.mkdtemp(prefix="skureel-"))
            try:
                clip = draw(folder)
            except BaseException:
                shutil.rmtree(folder)
                raise
        try:
            yield clip
        except TemporaryError:
            self._keep(video_id, clip)
            raise
        except BaseException:
            shutil.rmtree(clip.folder)
            raise
        shutil.rmtree(clip.folder)

    def forget(self) -> None:
        """Delete what is kept."""
        with self._lock:
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for clip in waiting:
            shutil.rmtree(clip.folder)

    def _keep(self, video_id: str, clip: Drawn) -> None:
        with self._lock:
            dropped = [self._waiting.pop(video_id)] if video_id in self._waiting else []
            self._waiting[video_id] = clip
            if len(self._waiting) > self._most:
                dropped.append(self._waiting.popitem(last=False)[1])
        for old in dropped:
            shutil.rmtree(old.folder)
