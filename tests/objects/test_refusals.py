"""Each way the store can fail is one of our errors, soon, with the next step in its message."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.clips import ClipStore
from shared.errors import ConfigurationError, PermanentError, TemporaryError, Unavailable
from shared.objects import ObjectStore
from shared.objects import store as store_module
from shared.photos import Photos
from shared.settings import ObjectSettings, RenderSettings
from tests.objects.faulty_server import answering, http_answer
from tests.servers import RealMinio, UserOf


def test_a_missing_bucket_is_said_at_start_with_what_to_do(object_store: ObjectSettings) -> None:
    store = ObjectStore(object_store.model_copy(update={"create_bucket": False}))
    with pytest.raises(ConfigurationError, match=r"does not exist; create it.*SKUREEL_OBJECTS__CREATE_BUCKET=true"):
        store.check()


def test_a_bucket_is_made_where_the_settings_say_so_and_kept(object_store: ObjectSettings) -> None:
    ObjectStore(object_store).check()
    ObjectStore(object_store).put_new("key", b"kept", "text/plain")
    second = ObjectStore(object_store)
    second.check()
    assert second.get("key") == b"kept"


def test_a_bucket_that_vanished_is_no_missing_object(object_store: ObjectSettings) -> None:
    store = ObjectStore(object_store)  # its bucket was never made
    for use in (lambda: store.get("key"), lambda: store.put_new("key", b"", "text/plain"), lambda: list(store.list())):
        with pytest.raises(ConfigurationError, match=f"bucket {object_store.bucket} does not exist"):
            use()


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_key": SecretStr("not-the-secret")},
        {"access_key": "not-the-key"},
        {"access_key": None, "secret_key": None},
    ],
    ids=["wrong secret", "wrong key", "anonymous"],
)
def test_refused_credentials_are_said_at_start_with_what_to_check(
    store: ObjectStore, object_store: ObjectSettings, changes: dict[str, object]
) -> None:
    foreign = ObjectStore(object_store.model_copy(update=changes))
    for use in (foreign.check, lambda: foreign.get("key"), lambda: foreign.head("key")):
        with pytest.raises(ConfigurationError, match=r"access refused.*SKUREEL_OBJECTS__ACCESS_KEY") as refused:
            use()
        assert "not-the-secret" not in str(refused.value)
    with pytest.raises((ConfigurationError, Unavailable), match=r"access (refused|denied)"):
        foreign.put_new("key", b"x", "text/plain")


def test_who_may_write_leaves_nothing_by_asking(store: ObjectStore) -> None:
    store.check(reads=["videos/"], writes=["videos/", ""])
    assert list(store.list()) == []
    assert list(store.open_uploads()) == []


def test_a_bucket_is_open_to_who_owns_it(store: ObjectStore) -> None:
    store.put_new("videos/skureel-trial", b"", "text/plain")
    store.check(reads=["videos/"], writes=["videos/"])


READS = ("Allow", "s3:GetObject", "/*")


@pytest.mark.connected
def test_who_may_only_read_is_told_so_at_start(user_of: UserOf) -> None:
    store = ObjectStore(user_of(READS))
    store.check(reads=["videos/"])
    with pytest.raises(ConfigurationError, match=r"asking to write videos/\*: access refused.*s3:PutObject"):
        store.check(writes=["videos/"])


@pytest.mark.connected
def test_who_may_read_and_write_in_its_folders_only_needs_no_more(user_of: UserOf) -> None:
    allowed = [("Allow", "s3:GetObject", "/videos/*"), ("Allow", "s3:PutObject", "/videos/*")]
    store = ObjectStore(user_of(*allowed, ("Allow", "s3:AbortMultipartUpload", "/videos/*")))
    store.check(reads=["videos/"], writes=["videos/"])
    with pytest.raises(ConfigurationError, match=r"asking to read photos/\*: access refused"):
        store.check(reads=["photos/"])
    with pytest.raises(ConfigurationError, match=r"asking to write photos/\*: access refused"):
        store.check(writes=["photos/"])


@pytest.mark.connected
def test_an_object_that_may_not_be_read_is_its_own_matter(
    real_minio: ObjectSettings, user_of: UserOf, tmp_path: Path
) -> None:
    store = ObjectStore(user_of(READS, ("Deny", "s3:GetObject", "/private/*")))
    ObjectStore(real_minio).put_new("private/photo.jpg", b"x", "image/jpeg")
    for key in ("private/photo.jpg", "private/nothing.jpg"):
        for use in (store.get, store.head, lambda key: store.download(key, tmp_path / "file")):
            with pytest.raises(PermanentError, match=f"{key}: access denied to this object alone") as refused:
                use(key)
            assert refused.value.reason == "object-denied"
    store.check()


@pytest.mark.connected
def test_an_object_that_may_not_be_written_holds_the_work_on_it(user_of: UserOf) -> None:
    """Keys that are written are of our making: the next one would be denied as well."""
    store = ObjectStore(user_of(READS))
    for data in (b"x", b"x" * store_module.LOOK_FIRST_BYTES):
        with pytest.raises(Unavailable, match=r"storing videos/1.mp4: access denied.*allow s3:PutObject"):
            store.put_new("videos/1.mp4", data, "video/mp4")
    with pytest.raises(ConfigurationError):
        store.check(writes=["videos/"])


@pytest.mark.connected
def test_records_that_may_not_be_read_are_no_fault_of_an_event(user_of: UserOf) -> None:
    clips = ClipStore(ObjectStore(user_of(READS, ("Deny", "s3:GetObject", "/videos/*"))))
    with pytest.raises(Unavailable, match=r"record\.json: access denied"):
        clips.find("a" * 64)
    with pytest.raises(ConfigurationError, match=r"asking to read videos"):
        clips.check()


def test_a_store_that_is_down_is_unavailable_at_once() -> None:
    store = ObjectStore(ObjectSettings(endpoint="127.0.0.1:1", secure=False))
    started = time.monotonic()
    for use in (store.check, lambda: store.get("key"), lambda: list(store.list())):
        with pytest.raises(Unavailable, match=r"object store 127.0.0.1:1.*refused"):
            use()
    assert time.monotonic() - started < 10


def test_a_store_that_says_nothing_is_unavailable_after_the_timeout() -> None:
    with answering(b"", timeout_seconds=0.2) as settings:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="timed out"):
            ObjectStore(settings).get("key")
        assert time.monotonic() - started < 5


_HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nETag: "x"\r\n'
_NO_END = b"x" * 400
"""Eight seconds of drops, where three waits of a fifth of a second are allowed."""


@pytest.mark.parametrize("begun", [b"", _HEAD + b"X-Long: ", _HEAD + b"\r\n"], ids=["status", "headers", "body"])
@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.check(),
        lambda store: store.get("key"),
        lambda store: store.put_new("key", b"x", "text/plain"),
        lambda store: list(store.list()),
        lambda store: ClipStore(store).recorded("a" * 64),
    ],
    ids=["check", "get", "put", "list", "recorded"],
)
def test_a_store_that_drips_is_unavailable_in_bounded_time(use: Callable[[ObjectStore], object], begun: bytes) -> None:
    with answering(begun, timeout_seconds=0.2, drips=_NO_END) as settings:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            use(ObjectStore(settings))
        assert time.monotonic() - started < 5


@pytest.mark.connected
def test_a_killed_store_is_unavailable_and_a_restarted_one_goes_on(breakable_minio: RealMinio) -> None:
    settings = breakable_minio.settings.model_copy(update={"bucket": "killed"})
    store = ObjectStore(settings)
    store.check()
    store.put_new("key", b"kept", "text/plain")
    breakable_minio.kill()
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            store.get("key")  # on a connection that was open
        with pytest.raises(Unavailable, match="refused"):
            store.put_new("other", b"x", "text/plain")
        assert time.monotonic() - started < 10
    finally:
        breakable_minio.start()
    assert store.get("key") == b"kept"


@pytest.mark.connected
def test_a_frozen_store_is_unavailable_after_the_timeout_and_a_thawed_one_goes_on(breakable_minio: RealMinio) -> None:
    settings = breakable_minio.settings.model_copy(update={"bucket": "frozen"})
    patient, hasty = ObjectStore(settings), ObjectStore(settings.model_copy(update={"timeout_seconds": 0.5}))
    patient.check()
    patient.put_new("key", b"kept", "text/plain")
    breakable_minio.pause()
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="timed out"):
            hasty.get("key")
        assert time.monotonic() - started < 5
    finally:
        breakable_minio.resume()
    assert patient.get("key") == b"kept"


def _s3_error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told so</Message></Error>".encode()


XML = ("Content-Type: application/xml",)
HTML = ("Content-Type: text/html",)


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (http_answer("503 Slow Down", _s3_error("SlowDown"), headers=XML), Unavailable, "SlowDown"),
        (http_answer("500 Oops", _s3_error("InternalError"), headers=XML), Unavailable, "InternalError"),
        (http_answer("500 Oops", _s3_error("NobodyKnows"), headers=XML), Unavailable, "NobodyKnows"),
        (http_answer("507 Full", _s3_error("XMinioStorageFull"), headers=XML), Unavailable, "XMinioStorageFull"),
        (http_answer("400 Full", _s3_error("QuotaExceeded"), headers=XML), Unavailable, "QuotaExceeded"),
        (http_answer("400 Slow", _s3_error("RequestTimeout"), headers=XML), Unavailable, "RequestTimeout"),
        (http_answer("429 Wait", _s3_error("Something"), headers=XML), Unavailable, "Something"),
        (http_answer("502 Bad Gateway", b"<html>proxy</html>", headers=HTML), Unavailable, "502"),
        (http_answer("504 Gateway Timeout", b"", headers=HTML), Unavailable, "504"),
        (http_answer("503 Busy", b"", headers=XML), Unavailable, "503"),
        (http_answer("500 Oops", b"<?xml not at all", headers=XML), Unavailable, "not the store.s answer"),
        (http_answer("404 No", b"<html>not here</html>", headers=HTML), Unavailable, "must name the S3 port"),
        (http_answer("403 No", b"<html>log in first</html>", headers=HTML), Unavailable, "no S3 answer"),
        (http_answer("400 Bad", b"Client sent HTTP to HTTPS", headers=HTML), Unavailable, "SECURE"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Unavailable, "BadStatusLine"),
        (http_answer("403 No", _s3_error("InvalidAccessKeyId"), headers=XML), ConfigurationError, "told so"),
        (http_answer("403 No", _s3_error("UserDisable"), headers=XML), ConfigurationError, "UserDisable"),
        (http_answer("403 No", _s3_error("RequestTimeTooSkewed"), headers=XML), ConfigurationError, "clock"),
        (http_answer("301 There", _s3_error("PermanentRedirect"), headers=XML), ConfigurationError, "REGION"),
        (http_answer("501 What", _s3_error("NotImplemented"), headers=XML), ConfigurationError, "conditional writes"),
        (http_answer("409 Conflict", _s3_error("ConditionalRequestConflict"), headers=XML), TemporaryError, "Conflict"),
        (http_answer("400 Bad", _s3_error("EntityTooLarge"), headers=XML), PermanentError, "EntityTooLarge"),
    ],
    ids=lambda value: value[:40].decode(errors="replace") if isinstance(value, bytes) else None,
)  # fmt: skip
def test_every_answer_is_one_of_our_errors(answer: bytes, error: type[Exception], told: str) -> None:
    with answering(answer) as settings:
        store = ObjectStore(settings)
        with pytest.raises(error, match=told) as raised:
            store.get("key")
        assert type(raised.value) is error
        assert "object store 127.0.0.1" in str(raised.value)
        with pytest.raises(error, match=told) as raised:
            store.put_new("key", b"x", "text/plain")
        assert type(raised.value) is error


def test_a_completion_that_fails_after_its_status_200_is_a_failure() -> None:
    with answering(http_answer("200 OK", _s3_error("InternalError"), headers=XML)) as settings:
        with pytest.raises(Unavailable, match="InternalError"):
            ObjectStore(settings).put_new("key", b"x", "text/plain")


def test_a_disk_that_has_no_room_for_a_clip_is_full_though_small_objects_are_stored() -> None:
    """As MinIO answers on a disk of which a megabyte is left: the check decides whether work is held."""

    def answer(request: bytes) -> bytes:
        if request.startswith(b"PUT") and len(request) > 1_000_000:
            return http_answer("507 Full", _s3_error("XMinioStorageFull"), headers=XML)
        if request.startswith(b"POST"):
            begun = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            return http_answer("200 OK", begun, headers=XML)
        return http_answer("200 OK", b"<ListBucketResult/>", headers=(*XML, "ETag: x-1"))

    with (
        answering(answer) as settings,
        pytest.raises(Unavailable, match=r"asking to write videos/\*: XMinioStorageFull"),
    ):
        ObjectStore(settings).check(writes=["videos/"])


@pytest.mark.connected
def test_kept_photos_that_may_not_be_read_are_no_fault_of_a_product(user_of: UserOf) -> None:
    photos = Photos(ObjectStore(user_of(READS, ("Deny", "s3:GetObject", "/photos/*"))), RenderSettings())
    with pytest.raises(Unavailable, match="access denied"):
        photos.load("a" * 64)


def test_tls_to_a_port_that_speaks_none_names_the_setting(object_store: ObjectSettings) -> None:
    with pytest.raises(Unavailable, match="SKUREEL_OBJECTS__SECURE"):
        ObjectStore(object_store.model_copy(update={"secure": True})).check()


@pytest.mark.parametrize("endpoint", ["store:9000/bucket", "store:99999", ""])
def test_an_endpoint_that_is_no_host_and_port_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="SKUREEL_OBJECTS__ENDPOINT"):
        ObjectStore(ObjectSettings(endpoint=endpoint, secure=False)).check()


def test_no_endpoint_and_half_a_credential_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="set SKUREEL_OBJECTS__ENDPOINT"):
        ObjectStore(ObjectSettings())
    with pytest.raises(ConfigurationError, match="set both or neither"):
        ObjectStore(ObjectSettings(endpoint="store:9000", access_key="key"))
