"""Which object keys may exist. No I/O.

Keys become paths in more than one server, in file downloads and in urls, so only those pass that mean the same in all.
"""

import re

from shared.errors import PermanentError

LIMIT_BYTES = 1024
"""S3's own limit of a key; all characters allowed here are one byte."""
SEGMENT_LIMIT_BYTES = 255
"""What a file name may have on the stores' disks."""

_ALLOWED = re.compile(r"[\x20-\x5b\x5d-\x7e]+")  # printable ASCII without backslash


def check_key(key: str) -> None:
    """Refuse a key that is empty, too long, not printable ASCII, absolute, or not the plain path it looks like.

    Raises PermanentError `bad-key`.
    """
    if not _ALLOWED.fullmatch(key):
        raise _refused(key, "has characters other than printable ASCII without backslash")
    if len(key) > LIMIT_BYTES:
        raise _refused(key, f"has {len(key)} characters")
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            raise _refused(key, f"has the segment {segment!r}")
        if len(segment) > SEGMENT_LIMIT_BYTES:
            raise _refused(key, f"has a segment of {len(segment)} characters")


def check_prefix(prefix: str) -> None:
    """Refuse a prefix that no allowed key can begin with. Empty is every key. Raises PermanentError `bad-key`."""
    if prefix:
        check_key(prefix.removesuffix("/"))


def _refused(key: str, fact: str) -> PermanentError:
    shown = key if len(key) <= 80 else f"{key[:80]}..."
    return PermanentError(
        f"object key {shown!a} {fact}; a key is a relative path of at most {LIMIT_BYTES} characters, "
        f"segments of 1 to {SEGMENT_LIMIT_BYTES} each",
        reason="bad-key",
    )
