"""Which object keys may exist. No I/O.

Keys become paths in more than one server, in file downloads and in urls, so only those pass that mean the same in all:
names in any script, as S3 takes them, in folders of such.
"""

import re

from shared.errors import PermanentError
from shared.printable import one_line

LIMIT_BYTES = 1024
"""S3's own limit of a key, in UTF-8."""
SEGMENT_LIMIT_BYTES = 255
"""What a file name may have on the stores' disks."""

# Controls, line ends of Unicode, halves of characters, and what no XML can list. A backslash parts folders elsewhere.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff\\\\]")
_SHOWN_CHARACTERS = 80


def check_key(key: str) -> None:
    """Refuse a key that no store can hold, or that is not the plain relative path it looks like.

    Raises PermanentError `bad-key`.
    """
    fault = fault_of(key)
    if fault is not None:
        raise PermanentError(
            f"object key {one_line(key, _SHOWN_CHARACTERS)!a} {fault}; a key is a relative path of at most "
            f"{LIMIT_BYTES} bytes, parts of 1 to {SEGMENT_LIMIT_BYTES} bytes each",
            reason="bad-key",
        )


def fault_of(key: str) -> str | None:
    """What is wrong with a key, in words for whoever gave it, as what "it" is followed by; None: nothing."""
    if _REFUSED.search(key):
        return "has a backslash, or a character that no name can have, in it"
    if len(key.encode()) > LIMIT_BYTES:
        return f"has {len(key.encode())} bytes, more than {LIMIT_BYTES}"
    segments = key.split("/")
    if "" in segments:
        return "has a slash at its beginning or end, or two in a row"
    if not {".", ".."}.isdisjoint(segments):
        return "has a part that is . or .."
    longest = max(len(segment.encode()) for segment in segments)
    if longest > SEGMENT_LIMIT_BYTES:
        return f"has a part of {longest} bytes, more than {SEGMENT_LIMIT_BYTES}, which are 85 Chinese characters"
    return None


def check_prefix(prefix: str) -> None:
    """Refuse a prefix that no allowed key can begin with. Empty is every key. Raises PermanentError `bad-key`."""
    if prefix:
        check_key(prefix.removesuffix("/"))
