"""ObjectStore: the verbs that functions use on the bucket. Objects are written once and never changed."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minio.error import S3Error
from minio.helpers import DictType

from shared.deadlines import time_for, within
from shared.errors import PermanentError, SkureelError, Unavailable
from shared.objects import listing, multipart
from shared.objects.answers import Body, ObjectFacts, check_stored, facts
from shared.objects.connecting import Addresses, UrlTrial, connect
from shared.objects.failures import denied, is_denied, translated
from shared.objects.keys import check_key, check_prefix
from shared.objects.mends import send
from shared.objects.multipart import OpenUpload, Upload
from shared.settings import ObjectSettings

GET_LIMIT_BYTES = 64 * 1024 * 1024
"""What `get` holds in memory unless told otherwise; larger objects are downloaded to files."""
LOOK_FIRST_BYTES = 128 * 1024
"""Writes of this size and more ask first whether the object is there. A server that refuses an upload it has not read
keeps the connection for a while (MinIO: 0.5 s), a look-up is under a millisecond."""

_TRIAL_NAME = "skureel-trial"
"""Never an object. It is looked for, which asks for the same permission as a get, and an upload in parts is begun and
given up, which asks for the same permission as a put, and of the disk for the same room."""
_TRIAL_BYTES = 4 * 1024 * 1024
"""Room for a clip: on a disk that is full for clips small objects are still stored."""
_NEW: DictType = {"If-None-Match": "*"}


class ObjectStore:
    """One bucket of an S3 store. Safe to use from several threads, not across a fork.

    Every method raises Unavailable when the store as such does not answer (it is asked once; whoever calls decides
    about retries), ConfigurationError when it refuses the credentials or lacks the bucket, and PermanentError `bad-key`
    for a key that `check_key` refuses. An object that may not be read, where the bucket is open otherwise, is a
    PermanentError `object-denied`; one that may not be written is Unavailable, since its key is always of our making:
    `check` of its folder tells whether the next would fare better. No call waits longer than `timeout_seconds` for a
    connection or for the next byte, no request takes longer than `deadlines.time_for` its bytes in all, and none reads
    longer than the `deadlines.within` block it is made in.
    """

    def __init__(self, settings: ObjectSettings) -> None:
        """Connects to nothing yet: `check` does."""
        self._client = connect(settings)
        self._addresses = Addresses(settings)
        self._bucket = settings.bucket
        self._timeout_seconds = settings.timeout_seconds
        self._create_bucket = settings.create_bucket
        self._name = f"object store {settings.endpoint}"

    def check(self, *, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> None:
        """Prove that the bucket is there, and that what lies below these folders (`videos/`) may be read or written;
        nothing is left there. Create the bucket where the settings say so.
        """
        self._find_bucket()
        for folder in reads:
            with self._translated(f"asking to read {folder}*"):
                self._try_reading(folder + _TRIAL_NAME)
        for folder in writes:
            # An empty one first: who may not give it up would leave the other's weight behind at every check.
            for data in (b"", bytes(_TRIAL_BYTES)):
                self._try_writing(folder, data)

    def _try_reading(self, key: str) -> None:
        with _suppressed("NoSuchKey"):
            send(self._client, "GET", self._bucket, key)

    def _try_writing(self, folder: str, data: bytes) -> None:
        with self._translated(f"asking to write {folder}*"):
            upload = Upload.begin(self._client, self._bucket, folder + _TRIAL_NAME, {"Content-Type": "text/plain"})
            try:
                if data:
                    upload.add(data)
            except BaseException:
                self._give_up(upload)
                raise
        with self._translated(f"asking to give up an upload to {folder}*"):
            upload.give_up()

    def _find_bucket(self) -> None:
        with self._translated("looking for its bucket"):
            try:
                # Not HEAD, whose answers give no reason and could be any server's.
                listing.first_page(self._client, self._bucket, most="1")
            except S3Error as error:
                if error.code != "NoSuchBucket" or not self._create_bucket:
                    raise
                # Another process may have made it in between.
                with _suppressed("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    self._client.make_bucket(self._bucket)

    def get(self, key: str, *, limit_bytes: int = GET_LIMIT_BYTES) -> bytes | None:
        """An object's bytes, or None where there is none. Over `limit_bytes`: PermanentError `object-too-large`."""
        with self._opened(key) as body:
            if body is None:
                return None
            if body.facts.size_bytes > limit_bytes:
                raise PermanentError(
                    f"object {key} has over {limit_bytes} bytes; put a smaller one there", reason="object-too-large"
                )
            return b"".join(body.chunks())

    def head(self, key: str) -> ObjectFacts | None:
        """What the store knows of an object, or None where there is none.

        A bucket that has gone looks like an object that is not there: answers to HEAD carry no reason.
        """
        check_key(key)
        with self._reading(f"looking up {key}"):
            return self._facts(key)

    def put_new(self, key: str, data: bytes, content_type: str, *, cache_control: str | None = None) -> bool:
        """Store an object unless there is one of that key; False: there was, and it is unchanged."""
        check_key(key)
        with self._storing(key):
            if len(data) >= LOOK_FIRST_BYTES and self._facts(key) is not None:
                return False
            return self._stored(key, data, {**_headers(content_type, cache_control), **_NEW})

    def replace(self, key: str, data: bytes, content_type: str, *, etag: str) -> bool:
        """Store an object in the place of the one that `etag` names; False: that one is no longer there."""
        check_key(key)
        headers: DictType = {"Content-Type": content_type, "If-Match": f'"{etag}"'}
        with self._storing(key):
            return self._stored(key, data, headers)

    def put_file_new(self, key: str, path: Path, content_type: str, *, cache_control: str | None = None) -> bool:
        """Store a file unless there is an object of that key; False: there was, and it is unchanged.

        Large files go up in parts; nothing is visible before the last one is there, and two uploads of one key have
        one winner.
        """
        check_key(key)
        if path.stat().st_size <= multipart.PART_BYTES:
            return self.put_new(key, path.read_bytes(), content_type, cache_control=cache_control)
        with self._storing(key):
            if self._facts(key) is not None:
                return False
            upload = Upload.begin(self._client, self._bucket, key, _headers(content_type, cache_control))
            try:
                upload.add_file(path)
                upload.complete(_NEW)
            except BaseException as error:
                self._give_up(upload)
                if _is_condition(error):
                    return False
                raise
            return True

    def download(self, key: str, path: Path) -> ObjectFacts:
        """Write an object to `path`, which exists afterwards whole or not at all; an older file there is replaced.

        An object that is not there is a PermanentError `missing-object`.
        """
        with self._opened(key) as body:
            if body is None:
                raise PermanentError(
                    f"{self._name}: there is no object {key}; whatever names it must be made again",
                    reason="missing-object",
                )
            with _replacing(path) as file:
                file.writelines(body.chunks())
            return body.facts

    def list(self, prefix: str = "") -> Iterator[ObjectFacts]:
        """Every object whose key begins with `prefix`, in the order of their keys, fetched in pages of 1,000."""
        check_prefix(prefix)
        with self._translated(f"listing {prefix}*"):
            yield from listing.objects(self._client, self._bucket, prefix)

    def open_uploads(self) -> Iterator[OpenUpload]:
        """Every upload in parts that nobody has completed or given up."""
        with self._translated("listing unfinished uploads"):
            # All keys: MinIO takes a prefix for the whole key.
            yield from listing.uploads(self._client, self._bucket)

    def delete(self, key: str) -> None:
        """Delete an object. One that is not there is deleted already."""
        check_key(key)
        with self._translated(f"deleting {key}"):
            send(self._client, "DELETE", self._bucket, key)

    def give_up(self, key: str, upload_id: str) -> None:
        """Delete the parts of an upload. One that is not open has none."""
        check_key(key)
        with self._translated(f"giving up an upload of {key}"), _suppressed("NoSuchUpload"):
            Upload(self._client, self._bucket, key, upload_id).give_up()

    def url(self, key: str) -> str:
        """The address of an object for those who read events: below the public url, signed for a time, or plain."""
        check_key(key)
        return self._addresses.of(key)

    def try_url(self, key: str) -> UrlTrial:
        """Open the url of an object that is there, as those who read events do."""
        check_key(key)
        return self._addresses.tried(key)

    def _stored(self, key: str, data: bytes, headers: DictType) -> bool:
        """Whether the object was stored; False: the condition in its headers does not hold."""
        try:
            answer = send(self._client, "PUT", self._bucket, key, body=data, headers=headers)
        except S3Error as error:
            if not _is_condition(error):
                raise
            return False
        check_stored(answer, data)
        return True

    def _facts(self, key: str) -> ObjectFacts | None:
        try:
            return facts(key, send(self._client, "HEAD", self._bucket, key))
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise
            return None

    @contextmanager
    def _opened(self, key: str) -> Iterator[Body | None]:
        """An object to be read, None where there is none; its connection is used again afterwards."""
        check_key(key)
        with self._reading(f"reading {key}"):
            try:
                response = send(self._client, "GET", self._bucket, key, stream=True)
            except S3Error as error:
                if error.code != "NoSuchKey":
                    raise
                yield None
                return
            try:
                body = Body(key, response)
                with within(time_for(body.facts.size_bytes, timeout_seconds=self._timeout_seconds)):
                    yield body
            except BaseException:
                response.close()  # what is left of it must not reach the connection's next user
                raise
            finally:
                response.release_conn()

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        with translated(f"{self._name}, {doing}", self._bucket):
            yield

    @contextmanager
    def _reading(self, doing: str) -> Iterator[None]:
        """An object that is denied while the bucket answers is that object's own matter.

        Its key may be a merchant's word, and that must never look like a fault of the set-up.
        """
        with self._translated(doing):
            try:
                yield
            except S3Error as error:
                if not is_denied(error):
                    raise
                self._find_bucket()
                raise denied(f"{self._name}, {doing}") from error

    @contextmanager
    def _storing(self, key: str) -> Iterator[None]:
        with self._translated(f"storing {key}"):
            try:
                yield
            except S3Error as error:
                if error.code != "AccessDenied":
                    raise
                raise Unavailable(
                    f"{self._name}, storing {key}: access denied ({error.message}); allow s3:PutObject on "
                    f"{self._bucket}/{key}"
                ) from error

    def _give_up(self, upload: Upload) -> None:
        """What fails here leaves parts behind that `skureel store sweep` collects."""
        with suppress(SkureelError), self._translated("giving up an upload"):
            upload.give_up()


def _headers(content_type: str, cache_control: str | None) -> DictType:
    return {"Content-Type": content_type, **({} if cache_control is None else {"Cache-Control": cache_control})}


def _is_condition(error: BaseException) -> bool:
    """Whether a conditional write was refused for its condition, one on an object that is not there included."""
    return isinstance(error, S3Error) and (error.response.status == 412 or error.code == "NoSuchKey")


@contextmanager
def _suppressed(*codes: str) -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        if error.code not in codes:
            raise


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
