"""An answer is believed only if it is the store's: what a proxy, a portal or a wrong endpoint says stores nothing."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.errors import SkureelError, Unavailable
from shared.objects import ObjectStore, multipart
from tests.objects.faulty_server import answering, http_answer

DATA = b"a clip"
MD5 = hashlib.md5(DATA).hexdigest()
OTHER = hashlib.md5(b"another clip").hexdigest()
PAGE = b"<html><body>Please log in to the network.</body></html>"
HTML = ("Content-Type: text/html",)
XML = ("Content-Type: application/xml",)
ERROR = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>told late</Message></Error>"


def etag(text: str) -> tuple[str, ...]:
    return (f'ETag: "{text}"',)


def put(store: ObjectStore) -> Any:
    return store.put_new("key", DATA, "video/mp4")


def get(store: ObjectStore) -> Any:
    return store.get("key")


def head(store: ObjectStore) -> Any:
    return store.head("key")


def listed(store: ObjectStore) -> Any:
    return list(store.list())


def check(store: ObjectStore) -> Any:
    return store.check()


@pytest.mark.parametrize("ask", [put, get, head, listed, check])
@pytest.mark.parametrize(
    "answer",
    [
        http_answer("200 OK", PAGE, headers=HTML),
        http_answer("200 OK", b"<html xmlns='http://www.w3.org/1999/xhtml'><p/></html>", headers=XML),
        http_answer("200 OK", b"", headers=HTML),
        http_answer("204 No Content", b""),
        http_answer("200 OK", b"", headers=('ETag: ""',)),
    ],
    ids=["a page", "a page that is XML", "nothing", "no content", "no ETag"],
)
def test_a_good_status_alone_is_not_the_stores_answer(answer: bytes, ask: Callable[[ObjectStore], Any]) -> None:
    with answering(answer) as settings, pytest.raises(Unavailable, match=r"not the store's answer.*OBJECTS__ENDPOINT"):
        ask(ObjectStore(settings))


@pytest.mark.parametrize(
    "answer",
    [
        http_answer("200 OK", b"", headers=etag(OTHER)),
        http_answer("200 OK", PAGE, headers=(*HTML, 'ETag: "65f0-2f"')),
        http_answer("200 OK", ERROR, headers=XML),
        http_answer("200 OK", ERROR, headers=(*XML, *etag(MD5))),
    ],
    ids=["other bytes", "a static file", "a late error", "a late error with an ETag"],
)
def test_a_put_is_stored_only_if_the_store_says_so_of_these_bytes(answer: bytes) -> None:
    with answering(answer) as settings, pytest.raises(Unavailable):
        put(ObjectStore(settings))


@pytest.mark.parametrize(
    "headers",
    [
        etag(MD5),
        etag(MD5.upper()),
        (f"ETag: {MD5}",),
        etag(f"{OTHER}-1"),
        (*etag(OTHER), "x-amz-server-side-encryption: aws:kms"),
        (*etag(OTHER), "x-amz-server-side-encryption-customer-algorithm: AES256"),
    ],
    ids=["MD5", "upper case", "bare", "of parts", "KMS", "the customer's key"],
)
def test_etags_of_every_kind_of_store_are_believed(headers: tuple[str, ...]) -> None:
    def respond(request: bytes) -> bytes:
        return http_answer("200 OK", b"" if request.startswith(b"PUT") else DATA, headers=headers)

    with answering(respond) as settings:
        assert put(ObjectStore(settings)) is True
        assert get(ObjectStore(settings)) == DATA


@pytest.mark.parametrize(
    "answer",
    [
        http_answer("200 OK", DATA, headers=etag(OTHER)),
        http_answer("200 OK", DATA, headers=etag(MD5), stated_length=100),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: " + MD5.encode() + b"\r\n\r\n" + DATA,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: x\r\n\r\n6\r\na clip\r\n",
    ],
    ids=["other bytes", "cut off", "no length", "chunks without an end"],
)
def test_what_is_read_is_the_whole_object_or_nothing(answer: bytes, tmp_path: Path) -> None:
    with answering(answer) as settings:
        with pytest.raises(Unavailable):
            get(ObjectStore(settings))
        with pytest.raises(Unavailable):
            ObjectStore(settings).download("key", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_an_object_is_what_is_stored_whatever_it_calls_itself() -> None:
    answer = http_answer("200 OK", DATA, headers=(*etag(MD5), "Content-Encoding: gzip"))
    with answering(answer) as settings:
        assert get(ObjectStore(settings)) == DATA


BEGUN = http_answer(
    "200 OK",
    b"<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>",
    headers=XML,
)
COMPLETED = http_answer(
    "200 OK",
    b"<CompleteMultipartUploadResult><ETag>&quot;x-2&quot;</ETag></CompleteMultipartUploadResult>",
    headers=XML,
)
MISSING = http_answer("404 Not Found", b"")
PART = http_answer("200 OK", b"", headers=etag(hashlib.md5(b"xxxx").hexdigest()))
PORTAL = http_answer("200 OK", PAGE, headers=HTML)


@pytest.mark.parametrize(
    ("begun", "part", "completed"),
    [
        (PORTAL, PART, COMPLETED),
        (BEGUN, PORTAL, COMPLETED),
        (BEGUN, http_answer("200 OK", b"", headers=etag(OTHER)), COMPLETED),
        (BEGUN, PART, PORTAL),
        (BEGUN, PART, http_answer("200 OK", b"", headers=XML)),
        (BEGUN, PART, http_answer("200 OK", b"   " + ERROR, headers=XML)),
        (BEGUN, PART, http_answer("200 OK", ERROR, headers=XML)),
        (BEGUN, PART, BEGUN),
        (BEGUN, PART, COMPLETED),
    ],
    ids=[
        *("no upload", "no part", "another part", "a page", "nothing", "an error after spaces", "an error", "a repeat"),
        "completed",
    ],
)
def test_an_upload_in_parts_is_stored_only_if_each_answer_is_the_stores(
    begun: bytes, part: bytes, completed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def respond(request: bytes) -> bytes:
        method, target, _ = request.decode().split(" ", 2)
        asked.append(method)
        if method == "POST":
            return begun if "uploads=" in target else completed
        return {"HEAD": MISSING, "PUT": part}.get(method, http_answer("204 No Content", b""))

    monkeypatch.setattr(multipart, "PART_BYTES", 4)
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x" * 8)
    with answering(respond) as settings:
        store = ObjectStore(settings)
        if (begun, part, completed) == (BEGUN, PART, COMPLETED):
            assert store.put_file_new("key", path, "video/mp4")
            assert "DELETE" not in asked
            return
        with pytest.raises(SkureelError) as raised:
            store.put_file_new("key", path, "video/mp4")
        assert isinstance(raised.value, Unavailable)
        assert ("DELETE" in asked) == (begun is BEGUN)


@pytest.mark.parametrize(
    "page",
    [
        b"<ListBucketResult/>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>1</NextContinuationToken>"
        b"</ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>many</Size>"
        b"<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>1</Size>"
        b"<LastModified>lately</LastModified></Contents></ListBucketResult>",
    ],
    ids=["empty", "no token", "the same page again", "no size", "no number", "no time"],
)
def test_a_listing_that_tells_half_is_none(page: bytes) -> None:
    """Whoever takes it for an empty bucket would sweep what is in use."""
    with answering(http_answer("200 OK", page, headers=XML)) as settings, pytest.raises(Unavailable):
        listed(ObjectStore(settings))
