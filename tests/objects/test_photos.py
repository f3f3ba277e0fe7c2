"""Product photos: from where they may come, and what is refused so that the merchant hears of it."""

import hashlib
import io
import sys

import pytest
import urllib3

from shared.errors import ConfigurationError, PhotoRefused
from shared.objects import ObjectStore
from shared.photos import Photos, allowed_hosts
from shared.settings import ObjectSettings

HOST = "img.example.com"
PNG = b"\x89PNG\r\n\x1a\n, the rest is the engine's business"


@pytest.fixture
def photos(embedded_objects: ObjectSettings) -> Photos:
    """With one host allowed, and no network."""
    store = ObjectStore(embedded_objects)
    store.check()
    return Photos(store, ("Img.Example.com",))


@pytest.fixture
def asked(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that were asked for a photo, as they are connected to; every one answers with the same."""
    hosts: list[str] = []

    class Pool:
        def __init__(self, host: str, **_: object) -> None:
            hosts.append(host)

        def urlopen(self, *_: object, **__: object) -> urllib3.HTTPResponse:
            return urllib3.HTTPResponse(io.BytesIO(PNG), status=200, preload_content=False)

    monkeypatch.setattr(photos._http, "connection_from_host", Pool)
    return hosts


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("https://img.example.com/杯子 1.png?size=2", HOST),
        ("HTTPS://IMG.example.com:443/a", HOST),
    ],
)
def test_a_photo_on_an_allowed_host_is_kept_by_its_content(
    image: str, host: str, photos: Photos, asked: list[str]
) -> None:
    digest = photos.digest(image)
    assert digest == hashlib.sha256(PNG).hexdigest()
    assert photos.load(digest) == PNG
    assert asked == [host]


@pytest.mark.parametrize(
    "image",
    [
        "https://other.example/a.jpg",
        "http://img.example.com/a",
        "file:///etc/passwd",
        "https://[",
        "https://img.example.com:8443/a.jpg",
        "https://img.example.com.evil.example/a.jpg",
        # urlsplit reads img.example.com here, and urllib3 connects to evil.example.
        "https://evil.example\\@img.example.com/x.jpg",
        "https://img.example.com\\@evil.example/x.jpg",
        "https://img.example.com/a\\b.jpg",
        "https://img.example.com@evil.example/x.jpg",
        "https://user:secret@img.example.com/x.jpg",
        "https://img.example.com/a\r\nHost: evil.example",
        "https://img\t.example.com/a.jpg",
        "https://\u202eimg.example.com/a.jpg",
    ],
)
def test_only_allowed_hosts_are_asked(image: str, photos: Photos, asked: list[str]) -> None:
    with pytest.raises(PhotoRefused, match="SKUREEL_RENDER__IMAGE_HOSTS"):
        photos.digest(image)
    assert asked == []


@pytest.mark.parametrize("allowed", ["图片.example", "xn--wcsw84d.example", "XN--WCSW84D.EXAMPLE"])
@pytest.mark.parametrize("named", ["图片.example", "xn--wcsw84d.example"])
def test_a_host_beyond_ascii_is_compared_in_its_ascii_form(
    allowed: str, named: str, photos: Photos, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("idna", reason="urllib3 reads such names with the idna package alone")
    monkeypatch.setattr(photos, "_hosts", allowed_hosts((allowed,)))
    photos.digest(f"https://{named}/a.png")
    assert asked == ["xn--wcsw84d.example"]
    with pytest.raises(PhotoRefused):
        photos.digest("https://图书.example/a.png")


def test_a_host_beyond_ascii_ends_the_start_where_it_could_not_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "idna", None)
    assert allowed_hosts(("xn--wcsw84d.example",)) == {"xn--wcsw84d.example"}
    with pytest.raises(ConfigurationError, match=r"'图片.example' is no host; .* xn-- form"):
        allowed_hosts(("图片.example",))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "[",
        "*.example.com",
        "a?b",
        "a#b",
        "a\\b",
        "a@b",
        "a:443",
        "a/b",
        "a%2fb",
        "a..b",
        "a.",
        "\u202ea",
        "ｉｍｇ.a",
    ],
)
def test_an_allowed_host_that_is_none_ends_the_start(host: str, embedded_objects: ObjectSettings) -> None:
    with pytest.raises(ConfigurationError, match="SKUREEL_RENDER__IMAGE_HOSTS"):
        Photos(ObjectStore(embedded_objects), (host,))


@pytest.mark.parametrize("image", ["上传/杯子.jpg", "../x.jpg", "/abs.jpg", "a//b.jpg", "x" * 1025])
def test_a_photo_under_a_name_that_is_no_key_is_refused(image: str, photos: Photos) -> None:
    with pytest.raises(PhotoRefused, match="a key is a relative path"):
        photos.digest(image)


def test_a_photo_in_the_bucket_over_the_limit_is_refused(
    photos: Photos, embedded_objects: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.photos.LIMIT_BYTES", 100)
    store = ObjectStore(embedded_objects)
    store.put_new("just.png", PNG.ljust(100), "image/png")
    store.put_new("over.png", PNG.ljust(101), "image/png")
    assert photos.digest("just.png")
    with pytest.raises(PhotoRefused, match="over 100 bytes"):
        photos.digest("over.png")


@pytest.mark.parametrize(
    ("content", "is_photo"),
    [
        (b"RIFF\n\x00\x00\x00WEBPVP8 ", True),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", False),
        (b"RIFF", False),
        (b"GIF89a", False),
        (b" \xff\xd8\xff", False),
        (b"", False),
    ],
)
def test_only_jpeg_png_and_webp_are_photos(
    content: bytes, is_photo: bool, photos: Photos, embedded_objects: ObjectSettings
) -> None:
    ObjectStore(embedded_objects).put_new("upload", content, "image/webp")
    if is_photo:
        assert photos.digest("upload") == hashlib.sha256(content).hexdigest()
    else:
        with pytest.raises(PhotoRefused, match="no JPEG, PNG or WebP"):
            photos.digest("upload")


def test_a_photo_that_nobody_uploaded_is_refused(photos: Photos) -> None:
    with pytest.raises(PhotoRefused, match="upload it first"):
        photos.digest("nowhere.jpg")
