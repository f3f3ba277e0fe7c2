"""Uploads in parts: nothing is visible before the last part is there, and two uploads of one key have one winner."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from minio import Minio
from minio.helpers import DictType, md5sum_hash

from shared.objects.answers import check_stored, document, text
from shared.objects.mends import send

PART_BYTES = 16 * 1024 * 1024
"""One part is what an upload holds in memory, and S3's limit of 10,000 parts allows 156 GiB."""

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class OpenUpload(NamedTuple):
    """An upload that nobody has completed or given up."""

    key: str
    upload_id: str
    begun: datetime


class Upload:
    """One upload in parts. Whoever begins one completes it or gives it up: parts are paid for and never seen."""

    def __init__(self, client: Minio, bucket: str, key: str, upload_id: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._id = upload_id
        self._parts: list[tuple[int, str]] = []

    @classmethod
    def begin(cls, client: Minio, bucket: str, key: str, headers: DictType) -> "Upload":
        """Begin one; nothing is visible yet."""
        answer = document(
            send(client, "POST", bucket, key, headers=headers, query={"uploads": ""}), "InitiateMultipartUploadResult"
        )
        return cls(client, bucket, key, text(answer, "UploadId"))

    def add(self, data: bytes) -> None:
        """Upload the next part."""
        number = len(self._parts) + 1
        query: DictType = {"partNumber": str(number), "uploadId": self._id}
        answer = send(self._client, "PUT", self._bucket, self._key, body=data, query=query)
        self._parts.append((number, check_stored(answer, data)))

    def add_file(self, path: Path) -> None:
        """Upload all parts of a file."""
        with path.open("rb") as file:
            while data := file.read(PART_BYTES):
                self.add(data)

    def complete(self, conditions: DictType) -> None:
        """Make the object of the parts, under these conditions; whether it failed may be told after a status 200."""
        completion = ElementTree.Element("CompleteMultipartUpload", xmlns=_NAMESPACE)
        for number, part_etag in self._parts:
            part = ElementTree.SubElement(completion, "Part")
            ElementTree.SubElement(part, "PartNumber").text = str(number)
            ElementTree.SubElement(part, "ETag").text = f'"{part_etag}"'
        body = ElementTree.tostring(completion)
        headers: DictType = {"Content-Type": "application/xml", "Content-MD5": str(md5sum_hash(body)), **conditions}
        answer = send(
            self._client, "POST", self._bucket, self._key, body=body, headers=headers, query={"uploadId": self._id}
        )
        text(document(answer, "CompleteMultipartUploadResult"), "ETag")

    def give_up(self) -> None:
        """Have its parts deleted."""
        send(self._client, "DELETE", self._bucket, self._key, query={"uploadId": self._id})
