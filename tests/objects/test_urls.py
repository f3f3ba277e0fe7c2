"""The addresses in events: plain, signed for a time, or below a public base."""

import socket
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import urllib3

from shared.errors import ConfigurationError, SkureelError
from shared.objects import ObjectStore
from shared.settings import ObjectSettings, load_settings
from tests.objects.test_keys import ODD


@pytest.mark.parametrize("key", ["videos/1.mp4", ODD])
def test_a_presigned_url_opens_the_object_for_anyone(object_store: ObjectSettings, key: str) -> None:
    store = ObjectStore(object_store.model_copy(update={"presign_seconds": 60}))
    store.check()
    store.put_new(key, "夜空黑".encode(), "text/plain; charset=utf-8", cache_control="public, max-age=60")
    answer = urllib3.request("GET", store.url(key), retries=False)
    assert answer.status == 200
    assert answer.data.decode() == "夜空黑"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=60"


def test_a_presigned_url_opens_nothing_else(object_store: ObjectSettings) -> None:
    store = ObjectStore(object_store.model_copy(update={"presign_seconds": 60}))
    store.check()
    for key in ("videos/1.mp4", "videos/2.mp4"):
        store.put_new(key, b"x", "video/mp4")
    other = store.url("videos/1.mp4").replace("/1.mp4?", "/2.mp4?")
    assert urllib3.request("GET", other, retries=False).status == 403


def test_a_plain_url_names_the_object_and_gives_no_access(object_store: ObjectSettings) -> None:
    store = ObjectStore(object_store)
    store.check()
    store.put_new("videos/1.mp4", b"x", "video/mp4")
    url = store.url("videos/1.mp4")
    assert url == f"http://{object_store.endpoint}/{object_store.bucket}/videos/1.mp4"
    assert urllib3.request("GET", url, retries=False).status == 403


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        ("https://cdn.example.com", "https://cdn.example.com/a%20b/1.mp4"),
        ("https://cdn.example.com/", "https://cdn.example.com/a%20b/1.mp4"),
        ("https://cdn.example.com/video/", "https://cdn.example.com/video/a%20b/1.mp4"),
        ("https://cdn.example.com/视频", "https://cdn.example.com/%E8%A7%86%E9%A2%91/a%20b/1.mp4"),
        ("https://cdn.example.com/a%2Fb", "https://cdn.example.com/a%2Fb/a%20b/1.mp4"),
    ],
)
def test_a_public_url_is_the_base_and_the_quoted_key(public_url: str, expected: str) -> None:
    store = ObjectStore(ObjectSettings(endpoint="store:9000", public_url=public_url))
    assert store.url("a b/1.mp4") == expected


def test_tls_shows_in_plain_urls() -> None:
    store = ObjectStore(ObjectSettings(endpoint="store:9000", bucket="clips"))
    assert store.url(ODD).startswith("https://store:9000/clips/videos/a%20b%2Bc%252f%252e%252e%26%3D%3F%23")
    assert urlsplit(store.url(ODD)).query == ""


def test_a_public_and_signed_url_at_once_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="exclude each other"):
        ObjectStore(ObjectSettings(endpoint="store:9000", public_url="https://cdn", presign_seconds=60))


@pytest.mark.parametrize("path", ["", "/", "//"])
def test_a_slash_after_the_endpoint_is_no_part_of_it(path: str) -> None:
    store = ObjectStore(ObjectSettings(endpoint=f"store:9000{path}", bucket="clips"))
    assert store.url("1.mp4") == "https://store:9000/clips/1.mp4"


@pytest.mark.parametrize(
    ("endpoint", "addressing", "expected"),
    [
        ("store:9000", "auto", "https://store:9000/clips/1.mp4"),
        ("store:9000", "virtual", "https://clips.store:9000/1.mp4"),
        ("oss-cn-hangzhou.aliyuncs.com", "auto", "https://clips.oss-cn-hangzhou.aliyuncs.com/1.mp4"),
        ("oss-cn-hangzhou.aliyuncs.com", "path", "https://oss-cn-hangzhou.aliyuncs.com/clips/1.mp4"),
        ("cos.ap-shanghai.myqcloud.com", "auto", "https://clips.cos.ap-shanghai.myqcloud.com/1.mp4"),
        ("notaliyuncs.com", "auto", "https://notaliyuncs.com/clips/1.mp4"),
    ],
)
@pytest.mark.parametrize("presign_seconds", [0, 60])
def test_the_bucket_is_named_where_the_store_looks_for_it(
    endpoint: str, addressing: str, expected: str, presign_seconds: int
) -> None:
    settings = {"endpoint": endpoint, "addressing": addressing, "bucket": "clips", "presign_seconds": presign_seconds}
    keys = {"access_key": "key", "secret_key": "secret"}
    url = ObjectStore(ObjectSettings.model_validate({**settings, **keys})).url("1.mp4")
    assert url.split("?")[0] == expected
    assert ("X-Amz-Signature=" in url) == bool(presign_seconds)


def test_requests_name_the_bucket_in_the_host_where_the_settings_say_so(
    object_store: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every name of the test's domain is this machine; a store that is asked by path there says so in its answer."""
    host, _, port = str(object_store.endpoint).partition(":")
    resolve = socket.getaddrinfo

    def resolved(name: str, *arguments: object, **more: object) -> object:
        return resolve(host if name.endswith("store.test") else name, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    asked: list[tuple[str, str]] = []
    open_url = urllib3.PoolManager.urlopen

    def noted(self: urllib3.PoolManager, method: str, url: str, **more: object) -> object:
        asked.append((method, url.split("?")[0]))
        return open_url(self, method, url, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(urllib3.PoolManager, "urlopen", noted)
    changes = {"endpoint": f"store.test:{port}", "addressing": "virtual"}
    with suppress(SkureelError):
        ObjectStore(object_store.model_copy(update=changes)).get("a/1.mp4")
    assert asked[0] == ("GET", f"http://{object_store.bucket}.store.test:{port}/a/1.mp4")


def test_a_presigned_url_opens_at_the_host_it_was_made_for(object_store: ObjectSettings) -> None:
    """Both names are this machine's, and the signature is good for one of them."""
    port = str(object_store.endpoint).partition(":")[2]
    changes = {"presign_seconds": 60, "presign_endpoint": f"http://localhost:{port}/"}
    store = ObjectStore(ObjectSettings.model_validate({**object_store.model_dump(), **changes}))
    store.check()
    store.put_new("videos/1.mp4", b"x", "video/mp4")
    url = store.url("videos/1.mp4")
    assert url.startswith(f"http://localhost:{port}/{object_store.bucket}/videos/1.mp4?")
    assert urllib3.request("GET", url, retries=False).data == b"x"
    assert urllib3.request("GET", url.replace("localhost", "127.0.0.1"), retries=False).status == 403


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("public_url", "https://user:hunter2@cdn.example.com", "user name or password"),
        ("public_url", "https://cdn.example.com/?token=hunter2", "without user name, query"),
        ("public_url", "cdn.example.com", "not a url"),
        ("public_url", "ftp://cdn.example.com", "not a url"),
        ("presign_endpoint", "https://user:hunter2@media.example.com", "user name or password"),
        ("presign_endpoint", "https://media.example.com/video", "without a path"),
        ("endpoint", "user:hunter2@store:9000", "without user name"),
    ],
)
def test_an_address_that_would_tell_secrets_or_lead_nowhere_is_refused_without_showing_it(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SKUREEL_OBJECTS__{name.upper()}", value)
    with pytest.raises(ConfigurationError, match=f"SKUREEL_OBJECTS__{name.upper()}: .*{told}") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)
