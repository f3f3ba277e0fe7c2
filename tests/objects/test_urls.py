"""The addresses in events: plain, signed for a time, or below a public base."""

from urllib.parse import urlsplit

import pytest
import urllib3

from shared.errors import ConfigurationError
from shared.objects import ObjectStore
from shared.settings import ObjectSettings
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
