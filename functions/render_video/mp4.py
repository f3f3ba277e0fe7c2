"""What an MP4 file says of itself: its boxes and its tags, read straight from the bytes. No decoding, no writing.

An MP4 is a sequence of boxes, each a size, a four-letter name and a body, some of which hold further boxes (ISO/IEC
14496-12, section 4.2). Tags lie in `moov/udta/meta` as a list of `keys` and a list `ilst` of values that point at them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.errors import PermanentError

_LARGEST_INDEX = 64 * 1024 * 1024
"""A `moov` above this, in bytes, is not read: three seconds of video need a few kilobytes."""

_TEXT = 1
"""The type of an `ilst` value that is UTF-8 text (QuickTime File Format, "Well-known types")."""


@dataclass(frozen=True)
class Container:
    """The facts of a container that a decoder does not show."""

    boxes: tuple[str, ...]
    """Names of the outermost boxes, in file order."""
    has_edit_list: bool
    frame_rates: tuple[float, ...]
    """Frames a second of each run of equal frame durations in the video track; one entry: a constant frame rate."""
    tags: tuple[tuple[str, str], ...]
    """Keys and values, in file order. A key may be there twice, which a mapping would hide."""

    @property
    def is_faststart(self) -> bool:
        """Whether a player can start before it has the whole file."""
        return "moov" in self.boxes and "mdat" in self.boxes and self.boxes.index("moov") < self.boxes.index("mdat")


def read_container(path: Path) -> Container:
    """Walk the boxes of a finished file. A file that is no MP4 is a PermanentError (`unplayable-clip`)."""
    try:
        outer = list(_outer_boxes(path))
        moov = next((body for name, body in outer if name == "moov"), None)
        if moov is None:
            raise ValueError("there is no moov box")
        return Container(
            boxes=tuple(name for name, _body in outer),
            has_edit_list=any(True for _box in _find(moov, "trak", "edts", "elst")),
            frame_rates=_frame_rates(moov),
            tags=tuple(_tags(moov)),
        )
    except (ValueError, IndexError, struct.error) as error:
        raise PermanentError(
            f"{path.name}: not a readable MP4: {error}; render it again", reason="unplayable-clip"
        ) from error


def _outer_boxes(path: Path) -> Iterator[tuple[str, bytes]]:
    """Outermost boxes; only the index (`moov`) is read, whatever the pictures weigh."""
    end = path.stat().st_size
    with path.open("rb") as file:
        while (start := file.tell()) < end:
            size, name, header = _header(file.read(16), end - start)
            file.seek(start + header)
            if name == "moov" and size > _LARGEST_INDEX:
                raise ValueError(f"its moov box claims {size} bytes")
            yield name, file.read(size - header) if name == "moov" else b""
            file.seek(start + size)


def _boxes(body: bytes) -> Iterator[tuple[str, bytes]]:
    start = 0
    while start + 8 <= len(body):
        size, name, header = _header(body[start : start + 16], len(body) - start)
        yield name, body[start + header : start + size]
        start += size


def _header(first: bytes, room: int) -> tuple[int, str, int]:
    """Size, name and header length of the box that begins with these bytes and has `room` bytes to the end."""
    size, name = struct.unpack_from(">I4s", first)
    header = 8
    if size == 0:  # to the end of what holds it
        size = room
    elif size == 1:
        (size,) = struct.unpack_from(">Q", first, 8)
        header = 16
    text = name.decode("latin-1")
    if not header <= size <= room:
        raise ValueError(f"its {text!r} box claims {size} bytes where {room} are left")
    return size, text, header


def _find(body: bytes, *names: str) -> Iterator[bytes]:
    """Bodies of every box at this path of names."""
    for name, inner in _boxes(body):
        if name == names[0]:
            yield from [inner] if len(names) == 1 else _find(inner, *names[1:])


def _frame_rates(moov: bytes) -> tuple[float, ...]:
    for media in _find(moov, "trak", "mdia"):
        (handler,) = (struct.unpack_from(">4s", body, 8)[0] for body in _find(media, "hdlr"))
        if handler != b"vide":
            continue
        (header,) = _find(media, "mdhd")
        (timescale,) = struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)
        (times,) = _find(media, "minf", "stbl", "stts")
        (count,) = struct.unpack_from(">I", times, 4)
        deltas = [struct.unpack_from(">I", times, 12 + 8 * entry)[0] for entry in range(count)]
        if 0 in deltas:
            raise ValueError("it holds frames of no duration")
        return tuple(timescale / delta for delta in deltas)
    raise ValueError("there is no video track")


def _tags(moov: bytes) -> Iterator[tuple[str, str]]:
    for meta in _find(moov, "udta", "meta"):
        # ISO writes a version and flags before the first box, QuickTime does not.
        body = meta if meta[4:8] == b"hdlr" else meta[4:]
        keys = [key for table in _find(body, "keys") for key in _keys(table)]
        for values in _find(body, "ilst"):
            for name, item in _boxes(values):
                number = int.from_bytes(name.encode("latin-1"), "big")
                if not 1 <= number <= len(keys):
                    continue  # an iTunes name such as ©too, not one of the keys
                for data in _find(item, "data"):
                    if struct.unpack_from(">I", data)[0] == _TEXT:
                        yield keys[number - 1], data[8:].decode()


def _keys(table: bytes) -> Iterator[str]:
    (count,) = struct.unpack_from(">I", table, 4)
    start = 8
    for _entry in range(count):
        (size,) = struct.unpack_from(">I", table, start)
        if not 8 <= size <= len(table) - start:
            raise ValueError(f"a key claims {size} bytes where {len(table) - start} are left")
        yield table[start + 8 : start + size].decode()
        start += size
