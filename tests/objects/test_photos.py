"""Product photos: from where they may come, and what is refused so that the merchant hears of it."""

import hashlib
import io
import sys

import pytest
import urllib3

from shared.errors import ConfigurationError, PermanentError, PhotoNotYet, PhotoRefused, Unavailable
from shared.objects import ObjectStore
from shared.photos import Photos, allowed_hosts
from shared.settings import ObjectSettings, RenderSettings
from tests.objects.faulty_server import answering, http_answer
from tests.servers import UserOf

HOST = "img.example.com"
PNG = b"\x89PNG\r\n\x1a\n, the rest is the engine's business"


@pytest.fixture
def photos(embedded_objects: ObjectSettings) -> Photos:
    """With one host allowed, and no network."""
    store = ObjectStore(embedded_objects)
    store.check()
    return Photos(store, RenderSettings(image_hosts=("Img.Example.com",)))


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
    with pytest.raises(PhotoRefused, match=r"nowhere that photos are taken from; .* address on img.example.com"):
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
        Photos(ObjectStore(embedded_objects), RenderSettings.model_construct(image_hosts=(host,), image_prefix="u/"))


@pytest.mark.parametrize(
    "image",
    [
        "uploads/../photos/x",
        "uploads/a//b.jpg",
        "uploads/" + "x" * 1017,
        "uploads/\x00",
        "uploads/a\nb",
        "uploads/a\\..\\b",
        "uploads/" + "\u200b" * 400,
        "uploads/" + "品" * 86,
    ],
)
def test_a_photo_under_a_name_that_is_no_key_is_refused_in_a_merchants_words(image: str, photos: Photos) -> None:
    told = "^image '.*' is no name that an upload can have, for it has .*; upload the picture under another name"
    with pytest.raises(PhotoRefused, match=told) as refused:
        photos.digest(image)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 350
    assert not any(word in str(refused.value) for word in ("object", "key", "segment", "''"))


@pytest.mark.parametrize("image", ["uploads/上传/商品.jpg", "uploads/e\u0301te\u0301 👩\u200d👧.jpg"])
def test_a_photo_may_have_a_name_in_any_script(image: str, photos: Photos) -> None:
    photos._objects.put_new(image, PNG, "image/png")
    assert photos.load(photos.digest(image)) == PNG


@pytest.mark.parametrize(
    "image",
    [
        "videos/0/record.json",
        "photos/{kept}",
        "x.jpg",
        "/uploads/x.jpg",
        "../uploads/x.jpg",
        "Uploads/x",
        "uploads",
        "",
    ],
)
def test_only_uploads_may_be_named_and_what_else_there_is_is_not_told(
    image: str, photos: Photos, embedded_objects: ObjectSettings
) -> None:
    store = ObjectStore(embedded_objects)
    store.put_new("videos/0/record.json", PNG, "image/png")
    store.put_new("x.jpg", PNG, "image/png")
    store.put_new("uploads/x.jpg", PNG, "image/png")
    image = image.format(kept=photos.digest("uploads/x.jpg"))
    said = set()
    for named in (image, "photos/none"):
        with pytest.raises(PhotoRefused, match="begins with uploads/") as refused:
            photos.digest(named)
        said.add(str(refused.value).replace(repr(named), "it"))
    assert len(said) == 1


@pytest.mark.parametrize("prefix", ["photos/", "videos/0/"])
def test_uploads_do_not_lie_among_our_own_objects(prefix: str, embedded_objects: ObjectSettings) -> None:
    with pytest.raises(ConfigurationError, match="SKUREEL_RENDER__IMAGE_PREFIX"):
        Photos(ObjectStore(embedded_objects), RenderSettings(image_prefix=prefix))


def test_a_photo_in_the_bucket_over_the_limit_is_refused(
    photos: Photos, embedded_objects: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.photos.LIMIT_BYTES", 100)
    store = ObjectStore(embedded_objects)
    store.put_new("uploads/just.png", PNG.ljust(100), "image/png")
    store.put_new("uploads/over.png", PNG.ljust(101), "image/png")
    assert photos.digest("uploads/just.png")
    with pytest.raises(PhotoRefused, match="send a smaller file"):
        photos.digest("uploads/over.png")


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
    ObjectStore(embedded_objects).put_new("uploads/a", content, "image/webp")
    if is_photo:
        assert photos.digest("uploads/a") == hashlib.sha256(content).hexdigest()
    else:
        with pytest.raises(PhotoRefused, match="no JPEG, PNG or WebP"):
            photos.digest("uploads/a")


def test_a_photo_is_proved_by_its_digest(photos: Photos, embedded_objects: ObjectSettings) -> None:
    digest = hashlib.sha256(PNG).hexdigest()
    ObjectStore(embedded_objects).put_new(f"photos/{digest}", PNG + b"!", "image/png")
    with pytest.raises(PermanentError, match="not the one in its name") as altered:
        photos.load(digest)
    assert altered.value.reason == "photo-altered"


def test_a_photo_that_is_not_there_yet_is_waited_for(photos: Photos, embedded_objects: ObjectSettings) -> None:
    with pytest.raises(PhotoNotYet, match="upload it and publish the product again"):
        photos.digest("uploads/soon.png")
    ObjectStore(embedded_objects).put_new("uploads/soon.png", PNG, "image/png")
    assert photos.digest("uploads/soon.png") == hashlib.sha256(PNG).hexdigest()


@pytest.mark.connected
def test_a_key_that_the_policy_denies_sounds_as_one_that_is_not_there(
    real_minio: ObjectSettings, user_of: UserOf
) -> None:
    owner = ObjectStore(real_minio)
    owner.check()
    owner.put_new("uploads/denied.png", PNG, "image/png")
    settings = user_of(("Allow", "s3:*", ""), ("Allow", "s3:*", "/*"), ("Deny", "s3:GetObject", "/uploads/denied.png"))
    assert said_of("denied.png", settings) == said_of("absent.png", settings)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("403 Forbidden", "AccessDenied"),
        ("403 Forbidden", "InvalidObjectState"),
        ("403 Forbidden", "AllAccessDisabled"),
        ("400 Bad Request", "InvalidRequest"),  # encrypted with a key of the uploader's own
        ("400 Bad Request", "InvalidArgument"),
        ("405 Method Not Allowed", "MethodNotAllowed"),  # a delete marker
        ("410 Gone", "NoSomething"),
        ("416 Requested Range Not Satisfiable", "InvalidRange"),
    ],
)
def test_whatever_the_store_refuses_of_one_key_is_that_products_matter(status: str, code: str) -> None:
    def answer(request: bytes) -> bytes:
        if b"/uploads/" not in request.split(b"\r\n", 1)[0]:
            return http_answer("200 OK", b"<ListBucketResult/>")
        refused, told = ("404 Not Found", "NoSuchKey") if b"skureel-trial" in request else (status, code)
        error = f"<Error><Code>{told}</Code><Message>no</Message></Error>".encode()
        return http_answer(refused, error, headers=("Content-Type: application/xml",))

    with answering(answer) as settings:
        assert said_of("denied.png", settings) == "image it is not there or may not be read; " + UPLOAD_IT


@pytest.mark.connected
def test_uploads_that_are_all_denied_are_the_operators_matter_and_no_merchants(
    real_minio: ObjectSettings, user_of: UserOf
) -> None:
    ObjectStore(real_minio).put_new("uploads/a.png", PNG, "image/png")
    user = user_of(("Allow", "s3:GetObject", "/photos/*"), ("Allow", "s3:PutObject", "/photos/*"))
    for name in ("a", "absent"):
        with pytest.raises(Unavailable, match=r"asking to read uploads/\*: access refused"):
            Photos(ObjectStore(user), RenderSettings()).digest(f"uploads/{name}.png")


def test_a_refusal_of_the_whole_bucket_is_the_process_s_matter() -> None:
    error = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    with answering(http_answer("403 Forbidden", error, headers=("Content-Type: application/xml",))) as settings:
        photos = Photos(ObjectStore(settings), RenderSettings())
        with pytest.raises(ConfigurationError, match="access refused"):
            photos.digest("uploads/a.png")


UPLOAD_IT = "upload it and publish the product again"


def said_of(name: str, settings: ObjectSettings) -> str:
    """What is said of an upload, without its name."""
    image = f"uploads/{name}"
    with pytest.raises(PhotoNotYet) as missing:
        Photos(ObjectStore(settings), RenderSettings()).digest(image)
    return str(missing.value).replace(repr(image), "it")
