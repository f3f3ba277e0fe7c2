"""ObjectStore: the verbs that functions use on the bucket. Objects are written once and never changed."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit
from xml.etree import ElementTree

from minio import Minio
from minio.datatypes import Part
from minio.error import S3Error
from minio.helpers import DictType, check_bucket_name, md5sum_hash
from urllib3.response import BaseHTTPResponse

from shared.deadlines import pool_manager
from shared.errors import ConfigurationError, PermanentError, SkureelError, TemporaryError, Unavailable
from shared.objects.failures import denied, is_denied, translated
from shared.objects.keys import check_key, check_prefix
from shared.settings import ObjectSettings

GET_LIMIT_BYTES = 64 * 1024 * 1024
"""What `get` holds in memory unless told otherwise; larger objects are downloaded to files."""
PART_BYTES = 16 * 1024 * 1024
"""Files above this go up in parts of this size: one part is what an upload holds in memory, and S3's limit of 10,000
parts allows 156 GiB."""
LOOK_FIRST_BYTES = 128 * 1024
"""Writes of this size and more ask first whether the object is there. A server that refuses an upload it has not read
keeps the connection for a while (MinIO: 0.5 s), a look-up is under a millisecond."""
CHUNK_BYTES = 1024 * 1024
CONNECTIONS = 64
"""Connections kept open: as many as a worker may have handler threads. They are opened only when used."""

_SAFE_IN_PATHS = "/-_.~"
_TRIAL_NAME = "skureel-trial"
"""Never an object. It is looked for, which asks for the same permission as a get, and an upload of one byte is begun,
which asks for the same permission and the same free space as a put, and given up."""


class ObjectFacts(NamedTuple):
    """What the store knows of an object without reading it. `etag` names the bytes, but not by a promised hash."""

    key: str
    size_bytes: int
    etag: str
    content_type: str | None


class ObjectStore:
    """One bucket of an S3 store. Safe to use from several threads, not across a fork.

    Every method raises Unavailable when the store as such does not answer (it is asked once; whoever calls decides
    about retries), ConfigurationError when it refuses the credentials or lacks the bucket, and PermanentError `bad-key`
    for a key that `check_key` refuses. An object that may not be read, where the bucket is open otherwise, is a
    PermanentError `object-denied`; one that may not be written is Unavailable, since its key is always of our making:
    `check` of its folder tells whether the next would fare better. No call waits longer than `timeout_seconds` for a
    connection or for the next byte, nor reads longer than the `deadlines.within` block it is made in.
    """

    def __init__(self, settings: ObjectSettings) -> None:
        """Connects to nothing yet: `check` does."""
        if settings.endpoint is None:
            raise ConfigurationError("no object store is configured; set SKUREEL_OBJECTS__ENDPOINT to its host:port")
        if (settings.access_key is None) != (settings.secret_key is None):
            raise ConfigurationError("SKUREEL_OBJECTS__ACCESS_KEY and __SECRET_KEY go together; set both or neither")
        if settings.public_url is not None and settings.presign_seconds:
            raise ConfigurationError(
                "SKUREEL_OBJECTS__PUBLIC_URL and __PRESIGN_SECONDS exclude each other, for a public url is not signed; "
                "set one"
            )
        self._settings = settings
        self._bucket = settings.bucket
        self._name = f"object store {settings.endpoint}"
        try:
            self._client = Minio(
                settings.endpoint,
                access_key=settings.access_key,
                secret_key=settings.secret_key.get_secret_value() if settings.secret_key else None,
                secure=settings.secure,
                # Without it every first request asks the store for the bucket's region.
                region=settings.region,
                http_client=pool_manager(
                    timeout_seconds=settings.timeout_seconds, maxsize=CONNECTIONS, tls=settings.secure
                ),
            )
        except ValueError as error:
            raise ConfigurationError(
                f"{self._name}: {error}; SKUREEL_OBJECTS__ENDPOINT is host:port without scheme or path"
            ) from error
        try:
            check_bucket_name(settings.bucket, strict=True, s3_check=self._client._base_url.is_aws_host)
        except ValueError as error:
            raise ConfigurationError(f"{self._name}: {error}; name another in SKUREEL_OBJECTS__BUCKET") from error

    def check(self, *, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> None:
        """Prove that the bucket is there, and that what lies below these folders (`videos/`) may be read or written;
        nothing is left there. Create the bucket where the settings say so.
        """
        self._find_bucket()
        for folder in reads:
            with translated(f"{self._name}, asking to read {folder}*", self._bucket):
                self._try_reading(folder + _TRIAL_NAME)
        for folder in writes:
            with translated(f"{self._name}, asking to write {folder}*", self._bucket):
                self._try_writing(folder + _TRIAL_NAME)

    def _try_reading(self, key: str) -> None:
        try:
            self._client.get_object(self._bucket, key).close()
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise

    def _try_writing(self, key: str) -> None:
        upload_id = self._client._create_multipart_upload(self._bucket, key, {})
        try:
            self._client._upload_part(self._bucket, key, b"x", None, upload_id, part_number=1)
        finally:
            self._give_up(key, upload_id)

    def _find_bucket(self) -> None:
        subject = f"{self._name}, looking for its bucket"
        with translated(subject, self._bucket):
            try:
                # Not HEAD, whose answers give no reason and could be any server's.
                self._client._execute("GET", self._bucket, query_params={"list-type": "2", "max-keys": "1"})
            except S3Error as error:
                if error.code != "NoSuchBucket" or not self._settings.create_bucket:
                    raise
                self._make_bucket()

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            # Another process made it in between.
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def get(self, key: str, *, limit_bytes: int = GET_LIMIT_BYTES) -> bytes | None:
        """An object's bytes, or None where there is none. Over `limit_bytes`: PermanentError `object-too-large`."""
        with self._opened(key) as response:
            if response is None:
                return None
            data = bytearray()
            while chunk := response.read(min(CHUNK_BYTES, limit_bytes + 1 - len(data))):
                data += chunk
                if len(data) > limit_bytes:
                    raise PermanentError(
                        f"object {key} has over {limit_bytes} bytes; put a smaller one there", reason="object-too-large"
                    )
            return bytes(data)

    def head(self, key: str) -> ObjectFacts | None:
        """What the store knows of an object, or None where there is none.

        A bucket that has gone looks like an object that is not there: answers to HEAD carry no reason.
        """
        check_key(key)
        subject = f"{self._name}, looking up {key}"
        with translated(subject, self._bucket):
            try:
                found = self._client.stat_object(self._bucket, key)
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise self._unread(subject, error) from error
        return ObjectFacts(key, found.size or 0, found.etag or "", found.content_type)

    def put_new(self, key: str, data: bytes, content_type: str, *, cache_control: str | None = None) -> bool:
        """Store an object unless there is one of that key; False: there was, and it is unchanged."""
        check_key(key)
        headers: DictType = {"Content-Type": content_type, "If-None-Match": "*"}
        if cache_control is not None:
            headers["Cache-Control"] = cache_control
        with self._storing(key):
            if len(data) >= LOOK_FIRST_BYTES and self._is_there(key):
                return False
            return self._unless_present("PUT", key, data, headers)

    def put_file_new(self, key: str, path: Path, content_type: str, *, cache_control: str | None = None) -> bool:
        """Store a file unless there is an object of that key; False: there was, and it is unchanged.

        Large files go up in parts; nothing is visible before the last one is there, and two uploads of one key have
        one winner.
        """
        check_key(key)
        if path.stat().st_size <= PART_BYTES:
            return self.put_new(key, path.read_bytes(), content_type, cache_control=cache_control)
        headers: DictType = {"Content-Type": content_type}
        if cache_control is not None:
            headers["Cache-Control"] = cache_control
        with self._storing(key):
            if self._is_there(key):
                return False
            upload_id = self._client._create_multipart_upload(self._bucket, key, headers)
            try:
                return self._complete(key, upload_id, self._upload_parts(key, upload_id, path))
            except BaseException:
                self._give_up(key, upload_id)
                raise

    def download(self, key: str, path: Path) -> ObjectFacts:
        """Write an object to `path`, which exists afterwards whole or not at all; an older file there is replaced.

        An object that is not there is a PermanentError `missing-object`.
        """
        with self._opened(key) as response:
            if response is None:
                raise PermanentError(
                    f"{self._name}: there is no object {key}; whatever names it must be made again",
                    reason="missing-object",
                )
            expected = int(response.headers["Content-Length"])
            with _replacing(path) as file:
                received = 0
                while chunk := response.read(CHUNK_BYTES):
                    received += len(chunk)
                    file.write(chunk)
                if received != expected:
                    raise TemporaryError(
                        f"{self._name}, reading {key}: {received} of {expected} bytes came; to be tried again"
                    )
            return ObjectFacts(
                key, received, response.headers.get("ETag", "").strip('"'), response.headers.get("Content-Type")
            )

    def list(self, prefix: str = "") -> Iterator[ObjectFacts]:
        """Every object whose key begins with `prefix`, in the order of their keys, fetched in pages of 1,000."""
        check_prefix(prefix)
        with translated(f"{self._name}, listing {prefix}*", self._bucket):
            for found in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
                yield ObjectFacts(found.object_name or "", found.size or 0, found.etag or "", found.content_type)

    def url(self, key: str) -> str:
        """The address of an object for those who read events: below the public url, signed for a time, or plain."""
        check_key(key)
        settings = self._settings
        if settings.public_url is not None:
            base = urlsplit(settings.public_url)
            path = quote(f"{base.path.rstrip('/')}/", safe=f"{_SAFE_IN_PATHS}%") + quote(key, safe=_SAFE_IN_PATHS)
            return urlunsplit((base.scheme, base.netloc, path, "", ""))
        if settings.presign_seconds:
            return self._client.presigned_get_object(
                self._bucket, key, expires=timedelta(seconds=settings.presign_seconds)
            )
        scheme = "https" if settings.secure else "http"
        return f"{scheme}://{settings.endpoint}/{self._bucket}/{quote(key, safe=_SAFE_IN_PATHS)}"

    @contextmanager
    def _opened(self, key: str) -> Iterator[BaseHTTPResponse | None]:
        """The response whose body is an object, None where there is none; its connection is used again afterwards."""
        check_key(key)
        subject = f"{self._name}, reading {key}"
        with translated(subject, self._bucket):
            try:
                response = self._client.get_object(self._bucket, key)
            except S3Error as error:
                if error.code != "NoSuchKey":
                    raise self._unread(subject, error) from error
                yield None
                return
            try:
                yield response
            except BaseException:
                response.close()  # what is left of it must not reach the connection's next user
                raise
            finally:
                response.release_conn()

    def _unread(self, subject: str, error: S3Error) -> S3Error | PermanentError:
        """What a failed reading says: an object that is denied while the bucket answers is that object's own matter.

        Its key may be a merchant's word, and that must never look like a fault of the set-up.
        """
        if not is_denied(error):
            return error
        self._find_bucket()
        return denied(subject)

    def _is_there(self, key: str) -> bool:
        try:
            self._client.stat_object(self._bucket, key)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return False
            raise
        return True

    @contextmanager
    def _storing(self, key: str) -> Iterator[None]:
        subject = f"{self._name}, storing {key}"
        with translated(subject, self._bucket):
            try:
                yield
            except S3Error as error:
                if error.code != "AccessDenied":
                    raise
                raise Unavailable(
                    f"{subject}: access denied ({error.message}); allow s3:PutObject on {self._bucket}/{key}"
                ) from error

    def _unless_present(
        self, method: str, key: str, body: bytes, headers: DictType, query: DictType | None = None
    ) -> bool:
        """Send a conditional write. False: the condition failed, the object exists.

        The client's public methods turn an If-None-Match header into user metadata, and completing an upload takes no
        headers at all, so its request method, which signs and sends, is called directly. tests/objects would notice
        a release of the client that changes it.
        """
        try:
            response = self._client._execute(method, self._bucket, key, body=body, headers=headers, query_params=query)
        except S3Error as error:
            if error.response.status == 412:
                return False
            raise
        # The completion of an upload may fail after its status 200 has been sent.
        if response.data and ElementTree.fromstring(response.data).tag == "Error":
            raise S3Error.fromxml(response)
        return True

    def _give_up(self, key: str, upload_id: str) -> None:
        """Parts of an upload that nobody completes are paid for and never seen."""
        with suppress(SkureelError), translated(f"{self._name}, giving up {key}", self._bucket):
            self._client._abort_multipart_upload(self._bucket, key, upload_id)

    def _upload_parts(self, key: str, upload_id: str, path: Path) -> Iterator[Part]:
        with path.open("rb") as file:
            number = 0
            while data := file.read(PART_BYTES):
                number += 1
                yield Part(
                    number, self._client._upload_part(self._bucket, key, data, None, upload_id, part_number=number)
                )

    def _complete(self, key: str, upload_id: str, parts: Iterator[Part]) -> bool:
        completion = ElementTree.Element("CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
        for part in parts:
            element = ElementTree.SubElement(completion, "Part")
            ElementTree.SubElement(element, "PartNumber").text = str(part.part_number)
            ElementTree.SubElement(element, "ETag").text = f'"{part.etag}"'
        body = ElementTree.tostring(completion)
        headers: DictType = {
            "Content-Type": "application/xml",
            "Content-MD5": str(md5sum_hash(body)),
            "If-None-Match": "*",
        }
        won = self._unless_present("POST", key, body, headers, {"uploadId": upload_id})
        if not won:
            self._client._abort_multipart_upload(self._bucket, key, upload_id)
        return won


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that becomes `path` when the block ends, and vanishes when it fails."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
