"""What is believed of an answer with a good status. No I/O but reading a body.

A proxy, a captive portal or a wrong endpoint answers 200 as well, with a page of its own. An answer is the store's if
it has what only the store could know: the digest of what was sent or read, its length, or the document asked for.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from xml.etree import ElementTree

from minio.error import S3Error
from urllib3.response import BaseHTTPResponse

CHUNK_BYTES = 1024 * 1024

_MD5 = re.compile(r"[0-9a-fA-F]{32}")


class UnbelievableAnswer(Exception):
    """An answer that the store asked would not have given."""


class ObjectFacts(NamedTuple):
    """What the store knows of an object without reading it. `etag` names the bytes, but not by a promised hash.

    Listings say when it was stored (`modified`) and not of what type it is, the other answers the reverse.
    """

    key: str
    size_bytes: int
    etag: str
    content_type: str | None = None
    modified: datetime | None = None


class Body:
    """An object being read: its facts at once, its bytes as they come."""

    def __init__(self, key: str, response: BaseHTTPResponse) -> None:
        self.facts = facts(key, response)
        self._response = response

    def chunks(self) -> Iterator[bytes]:
        """The bytes. After the last one raises UnbelievableAnswer for what is not the whole object."""
        digest = hashlib.md5(usedforsecurity=False)
        received = 0
        # As they are stored: who wrote them may have called them gzip.
        while chunk := self._response.read(CHUNK_BYTES, decode_content=False):
            received += len(chunk)
            digest.update(chunk)
            yield chunk
        if received != self.facts.size_bytes:
            raise UnbelievableAnswer(f"{received} of {self.facts.size_bytes} bytes came")
        _check_digest(self._response.headers, self.facts.etag, digest.hexdigest())


def facts(key: str, response: BaseHTTPResponse) -> ObjectFacts:
    """What an answer to HEAD or GET says of an object."""
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise UnbelievableAnswer("the answer has no length, which an object always has")
    return ObjectFacts(key, int(length), etag(response), response.headers.get("Content-Type"))


def etag(response: BaseHTTPResponse) -> str:
    """The object's ETag without quotes."""
    found = response.headers.get("ETag", "").strip().removeprefix("W/").strip('"')
    if not found:
        shown = response.headers.get("Content-Type", "no content")
        raise UnbelievableAnswer(f"the answer ({shown}) has no ETag, which an object always has")
    return found


def check_stored(response: BaseHTTPResponse, data: bytes) -> str:
    """Prove that the answer to a PUT speaks of `data`; returns the ETag."""
    if response.data.strip():
        document(response)
        raise UnbelievableAnswer("the answer has a body, which the store's has not")
    found = etag(response)
    _check_digest(response.headers, found, hashlib.md5(data, usedforsecurity=False).hexdigest())
    return found


def document(response: BaseHTTPResponse, root: str | None = None) -> ElementTree.Element:
    """The XML of an answer, whose root must be named so. A failure told after status 200 is raised as S3Error."""
    found = ElementTree.fromstring(response.data)
    for element in found.iter():
        element.tag = element.tag.rpartition("}")[2]  # stores differ on the namespace
    if found.tag == "Error":
        raise S3Error.fromxml(response)
    if root is not None and found.tag != root:
        raise UnbelievableAnswer(f"the answer is a document {found.tag}, not {root}")
    return found


def text(element: ElementTree.Element, name: str) -> str:
    """What a document says under that name."""
    found = element.findtext(name)
    if found is None:
        raise UnbelievableAnswer(f"the answer's {element.tag} has no {name}")
    return found


def _check_digest(headers: Mapping[str, str], found: str, digest: str) -> None:
    """An ETag is the MD5 of what was stored in one piece and not under a key of the customer's or of KMS."""
    kind = headers.get("x-amz-server-side-encryption", "")
    if "kms" in kind or "x-amz-server-side-encryption-customer-algorithm" in headers or not _MD5.fullmatch(found):
        return
    if found.lower() != digest:
        raise UnbelievableAnswer(f"the bytes have MD5 {digest}, the answer says {found.lower()}")
