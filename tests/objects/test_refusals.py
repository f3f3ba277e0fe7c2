"""Each way the store can fail is one of our errors, soon, with the next step in its message."""

import time

import pytest
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin
from pydantic import SecretStr

from shared.errors import ConfigurationError, PermanentError, TemporaryError
from shared.objects import ObjectStore
from shared.settings import ObjectSettings
from tests.objects.faulty_server import answering, http_answer
from tests.servers import RealMinio


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
    for use in (foreign.check, lambda: foreign.get("key"), lambda: foreign.put_new("key", b"x", "text/plain")):
        with pytest.raises(ConfigurationError, match=r"access refused.*SKUREEL_OBJECTS__ACCESS_KEY") as refused:
            use()
        assert "not-the-secret" not in str(refused.value)


def test_who_may_write_leaves_nothing_by_asking(store: ObjectStore) -> None:
    store.check(writes=True)
    assert list(store.list()) == []
    assert not store._client._list_multipart_uploads(store._bucket).uploads


READING = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::*"]}


@pytest.mark.connected
def test_who_may_only_read_is_told_so_at_start(real_minio: ObjectSettings) -> None:
    ObjectStore(real_minio).check()
    assert real_minio.endpoint
    assert real_minio.access_key
    assert real_minio.secret_key
    root = StaticProvider(real_minio.access_key, real_minio.secret_key.get_secret_value())
    admin = MinioAdmin(endpoint=real_minio.endpoint, credentials=root, secure=False)
    admin.user_add("reader", "reader-secret")
    admin.policy_add("reading", policy={"Version": "2012-10-17", "Statement": [READING]})
    admin.attach_policy(["reading"], user="reader")
    reader = {"access_key": "reader", "secret_key": SecretStr("reader-secret")}
    store = ObjectStore(real_minio.model_copy(update=reader))
    store.check()
    with pytest.raises(ConfigurationError, match=r"asking to write: access refused.*s3:PutObject"):
        store.check(writes=True)


def test_a_store_that_is_down_is_temporary_at_once() -> None:
    store = ObjectStore(ObjectSettings(endpoint="127.0.0.1:1", secure=False))
    started = time.monotonic()
    for use in (store.check, lambda: store.get("key"), lambda: list(store.list())):
        with pytest.raises(TemporaryError, match=r"object store 127.0.0.1:1.*refused"):
            use()
    assert time.monotonic() - started < 10


def test_a_store_that_says_nothing_is_temporary_after_the_timeout() -> None:
    with answering(b"", timeout_seconds=0.2) as settings:
        started = time.monotonic()
        with pytest.raises(TemporaryError, match="timed out"):
            ObjectStore(settings).get("key")
        assert time.monotonic() - started < 5


@pytest.mark.connected
def test_a_killed_store_is_temporary_and_a_restarted_one_goes_on(breakable_minio: RealMinio) -> None:
    settings = breakable_minio.settings.model_copy(update={"bucket": "killed"})
    store = ObjectStore(settings)
    store.check()
    store.put_new("key", b"kept", "text/plain")
    breakable_minio.kill()
    try:
        started = time.monotonic()
        with pytest.raises(TemporaryError):
            store.get("key")  # on a connection that was open
        with pytest.raises(TemporaryError, match="refused"):
            store.put_new("other", b"x", "text/plain")
        assert time.monotonic() - started < 10
    finally:
        breakable_minio.start()
    assert store.get("key") == b"kept"


@pytest.mark.connected
def test_a_frozen_store_is_temporary_after_the_timeout_and_a_thawed_one_goes_on(breakable_minio: RealMinio) -> None:
    settings = breakable_minio.settings.model_copy(update={"bucket": "frozen"})
    patient, hasty = ObjectStore(settings), ObjectStore(settings.model_copy(update={"timeout_seconds": 0.5}))
    patient.check()
    patient.put_new("key", b"kept", "text/plain")
    breakable_minio.pause()
    try:
        started = time.monotonic()
        with pytest.raises(TemporaryError, match="timed out"):
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
        (http_answer("503 Slow Down", _s3_error("SlowDown"), headers=XML), TemporaryError, "SlowDown"),
        (http_answer("500 Oops", _s3_error("InternalError"), headers=XML), TemporaryError, "InternalError"),
        (http_answer("409 Conflict", _s3_error("ConditionalRequestConflict"), headers=XML), TemporaryError, "Conflict"),
        (http_answer("507 Full", _s3_error("XMinioStorageFull"), headers=XML), TemporaryError, "XMinioStorageFull"),
        (http_answer("429 Wait", _s3_error("Something"), headers=XML), TemporaryError, "Something"),
        (http_answer("502 Bad Gateway", b"<html>proxy</html>", headers=HTML), TemporaryError, "502"),
        (http_answer("503 Busy", b"", headers=XML), TemporaryError, "503"),
        (http_answer("500 Oops", b"<?xml not at all", headers=XML), TemporaryError, "ParseError"),
        (http_answer("403 No", _s3_error("AccessDenied"), headers=XML), ConfigurationError, "AccessDenied: told so"),
        (http_answer("403 No", _s3_error("RequestTimeTooSkewed"), headers=XML), ConfigurationError, "clock"),
        (http_answer("301 There", _s3_error("PermanentRedirect"), headers=XML), ConfigurationError, "REGION"),
        (http_answer("404 No", b"<html>not here</html>", headers=HTML), ConfigurationError, "must name the S3 port"),
        (http_answer("400 Bad", b"Client sent HTTP to HTTPS", headers=HTML), ConfigurationError, "SECURE"),
        (http_answer("400 Bad", _s3_error("EntityTooLarge"), headers=XML), PermanentError, "EntityTooLarge"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", TemporaryError, "BadStatusLine"),
    ],
    ids=lambda value: value[:40].decode(errors="replace") if isinstance(value, bytes) else None,
)  # fmt: skip
def test_every_answer_is_one_of_our_errors(answer: bytes, error: type[Exception], told: str) -> None:
    with answering(answer) as settings:
        store = ObjectStore(settings)
        with pytest.raises(error, match=told) as raised:
            store.get("key")
        assert "object store 127.0.0.1" in str(raised.value)
        with pytest.raises(error, match=told):
            store.put_new("key", b"x", "text/plain")


def test_a_completion_that_fails_after_its_status_200_is_a_failure() -> None:
    with answering(http_answer("200 OK", _s3_error("InternalError"), headers=XML)) as settings:
        with pytest.raises(TemporaryError, match="InternalError"):
            ObjectStore(settings).put_new("key", b"x", "text/plain")


def test_tls_to_a_port_that_speaks_none_names_the_setting(object_store: ObjectSettings) -> None:
    with pytest.raises(ConfigurationError, match="SKUREEL_OBJECTS__SECURE"):
        ObjectStore(object_store.model_copy(update={"secure": True})).check()


@pytest.mark.parametrize("endpoint", ["http://store:9000", "store:9000/bucket", "store:99999", "", "a b:1"])
def test_an_endpoint_that_is_no_host_and_port_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="SKUREEL_OBJECTS__ENDPOINT"):
        ObjectStore(ObjectSettings(endpoint=endpoint, secure=False)).check()


def test_no_endpoint_and_half_a_credential_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="set SKUREEL_OBJECTS__ENDPOINT"):
        ObjectStore(ObjectSettings())
    with pytest.raises(ConfigurationError, match="set both or neither"):
        ObjectStore(ObjectSettings(endpoint="store:9000", access_key="key"))
