"""What producers may pack their batches with, unpacked a chunk at a time and never beyond a bound.

What a packed batch says of its own size is not believed: a few kilobytes can unpack to gigabytes.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Final

NAMES: Final = ("none", "gzip", "snappy", "lz4", "zstd")
"""The codecs of Kafka, each at the number that stands for it in a batch."""

_PACKAGES: Final = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}
"""What reads them, where Python itself does not."""
_MODULES: Final = {"snappy": "snappy", "lz4": "lz4", "zstd": "zstandard"}

_CHUNK_BYTES = 64 * 1024
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16


class Damaged(Exception):
    """These bytes do not say what they should. The message goes on after "it" or a record's name."""


class CodecMissing(Exception):
    """The bytes may be well; what would unpack them is not installed."""


def missing_codecs() -> tuple[str, ...]:
    """The packages to install so that batches of every codec can be read; none where all are there."""
    return tuple(_PACKAGES[name] for name, module in _MODULES.items() if find_spec(module) is None)


def unpack(codec: int, packed: memoryview, most_bytes: int) -> Iterator[Any]:
    """What `packed` holds, in chunks of bytes.

    Raises Damaged where it cannot be unpacked or comes to more than `most_bytes`, and CodecMissing.
    """
    if codec >= len(NAMES):
        raise Damaged(f"is packed with codec {codec}, which Kafka does not have")
    name = NAMES[codec]
    size = 0
    try:
        for chunk in _UNPACKERS[name](packed, most_bytes):
            size += len(chunk)
            if size > most_bytes:
                raise _too_large(most_bytes)
            yield chunk
    except ImportError as error:
        raise CodecMissing(f"it is packed with {name}; install {_PACKAGES[name]}") from error
    except _damages() as error:
        raise Damaged(f"is packed with {name} and cannot be unpacked ({error or type(error).__name__})") from error


def _too_large(most_bytes: int) -> Damaged:
    return Damaged(f"unpacks to more than {most_bytes} bytes")


def _damages() -> tuple[type[Exception], ...]:
    """What the codecs raise for bytes that are none of theirs."""
    kinds: list[type[Exception]] = [zlib.error, RuntimeError, EOFError, ValueError, struct.error]
    if find_spec("snappy") is not None:
        from snappy import UncompressError

        kinds.append(UncompressError)
    if find_spec("zstandard") is not None:
        from zstandard import ZstdError

        kinds.append(ZstdError)
    return tuple(kinds)


def _none(packed: memoryview, most_bytes: int) -> Iterator[Any]:
    yield packed


def _gzip(packed: memoryview, most_bytes: int) -> Iterator[bytes]:
    rest = packed
    # Members may follow one another, as in a file.
    while len(rest):
        decoder = zlib.decompressobj(wbits=31)
        read = 0
        while not decoder.eof:
            piece: Any = rest[read : read + _CHUNK_BYTES]
            if not piece:
                raise EOFError("it ends too early")
            read += len(piece)
            more = True
            while more and not decoder.eof:
                chunk = decoder.decompress(piece, _CHUNK_BYTES)
                piece = decoder.unconsumed_tail
                more = bool(piece) or len(chunk) == _CHUNK_BYTES
                if chunk:
                    yield chunk
        rest = rest[read - len(decoder.unused_data) :]


def _lz4(packed: memoryview, most_bytes: int) -> Iterator[bytes]:
    from lz4.frame import LZ4FrameDecompressor

    decoder = LZ4FrameDecompressor()
    read = 0
    while not decoder.eof:
        # In pieces: the decoder copies what it was given and has not used yet, each time.
        piece: Any = packed[read : read + _CHUNK_BYTES]
        if not piece:
            raise EOFError("it ends too early")
        read += len(piece)
        more = True
        while more and not decoder.eof:
            chunk = decoder.decompress(piece, max_length=_CHUNK_BYTES)
            piece = b""
            more = not decoder.needs_input
            if chunk:
                yield chunk


def _zstd(packed: memoryview, most_bytes: int) -> Iterator[bytes]:
    from zstandard import ZstdDecompressor

    with ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
        while chunk := reader.read(_CHUNK_BYTES):
            yield chunk


def _snappy(packed: memoryview, most_bytes: int) -> Iterator[bytes]:
    """Blocks in the frame of the Java client (xerial's), or one bare block, as librdkafka writes it."""
    if packed[: len(_XERIAL)] != _XERIAL:
        yield _snappy_block(packed, most_bytes)
        return
    place = _XERIAL_HEADER_BYTES
    while place < len(packed):
        (size,) = struct.unpack_from(">i", packed, place)
        place += 4
        if not 0 < size <= len(packed) - place:
            raise ValueError(f"a block of {size} bytes where {len(packed) - place} are left")
        yield _snappy_block(packed[place : place + size], most_bytes)
        place += size


def _snappy_block(packed: memoryview, most_bytes: int) -> bytes:
    from snappy import decompress

    # The decoder takes what the block says of its size, first thing, from the memory there is.
    size = shift = 0
    for byte in packed[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > most_bytes:
        raise _too_large(most_bytes)
    unpacked: bytes = decompress(bytes(packed))
    return unpacked


_UNPACKERS: Final[dict[str, Callable[[memoryview, int], Iterator[Any]]]] = {
    "none": _none,
    "gzip": _gzip,
    "snappy": _snappy,
    "lz4": _lz4,
    "zstd": _zstd,
}
