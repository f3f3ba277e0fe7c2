"""What lies in a bucket, in pages of 1,000: memory does not grow with the bucket."""

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from minio import Minio
from minio.helpers import DictType

from shared.objects.answers import ObjectFacts, UnbelievableAnswer, document, text
from shared.objects.mends import send
from shared.objects.multipart import OpenUpload

PAGE = "1000"


def first_page(client: Minio, bucket: str, prefix: str = "", *, most: str = PAGE) -> ElementTree.Element:
    """The document that lists the first objects of a bucket."""
    return _objects(client, bucket, {"prefix": prefix, "max-keys": most})


def objects(client: Minio, bucket: str, prefix: str) -> Iterator[ObjectFacts]:
    """Every object whose key begins with `prefix`."""
    page = first_page(client, bucket, prefix)
    while True:
        for found in page.iter("Contents"):
            yield _listed(found)
        if text(page, "IsTruncated") != "true":
            return
        token = text(page, "NextContinuationToken")
        page = _objects(client, bucket, {"prefix": prefix, "max-keys": PAGE, "continuation-token": token})
        if page.findtext("NextContinuationToken") == token:
            raise UnbelievableAnswer("the listing does not go on where it stopped")


def uploads(client: Minio, bucket: str) -> Iterator[OpenUpload]:
    """Every upload in parts that is open."""
    marker: DictType = {}
    while True:
        query: DictType = {"uploads": "", "encoding-type": "url", "max-uploads": PAGE, **marker}
        page = document(send(client, "GET", bucket, query=query), "ListMultipartUploadsResult")
        for found in page.iter("Upload"):
            yield OpenUpload(unquote_plus(text(found, "Key")), text(found, "UploadId"), _time(found, "Initiated"))
        if text(page, "IsTruncated") != "true":
            return
        following: DictType = {
            "key-marker": unquote_plus(text(page, "NextKeyMarker")),
            "upload-id-marker": text(page, "NextUploadIdMarker"),
        }
        if following == marker:
            raise UnbelievableAnswer("the listing does not go on where it stopped")
        marker = following


def _listed(found: ElementTree.Element) -> ObjectFacts:
    size = text(found, "Size")
    if not size.isdecimal():
        raise UnbelievableAnswer(f"an object's size is {size!r}")
    return ObjectFacts(
        key=unquote_plus(text(found, "Key")),
        size_bytes=int(size),
        etag=(found.findtext("ETag") or "").strip('"'),
        modified=_time(found, "LastModified"),
    )


def _time(found: ElementTree.Element, name: str) -> datetime:
    told = text(found, name)
    try:
        moment = datetime.fromisoformat(told)
    except ValueError:
        raise UnbelievableAnswer(f"{name} is {told!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _objects(client: Minio, bucket: str, query: DictType) -> ElementTree.Element:
    answer = send(client, "GET", bucket, query={"list-type": "2", "delimiter": "", "encoding-type": "url", **query})
    return document(answer, "ListBucketResult")
