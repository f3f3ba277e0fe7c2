"""Product photos, the first frames of clips: fetched once, kept by content, so that a spec names a picture for ever.

A photo is an object key in our own bucket or an https address on an allow-listed host. Whatever it is, a copy is kept
under `photos/<sha256>`; the render spec holds that digest, and render_video reads nothing else.
"""

import hashlib
import re
from collections.abc import Iterable

import urllib3
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from shared.errors import ConfigurationError, PermanentError, PhotoRefused, TemporaryError
from shared.objects import ObjectStore

FOLDER = "photos/"
LIMIT_BYTES = 20 * 1024 * 1024
TIMEOUT_SECONDS = 10.0

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_SIGNATURES = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    # RIFF alone may be sound or film as well.
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


class Photos:
    """Photos by digest. Safe to use from several threads."""

    def __init__(self, objects: ObjectStore, hosts: tuple[str, ...]) -> None:
        self._objects = objects
        self._hosts = allowed_hosts(hosts)
        self._http = urllib3.PoolManager(timeout=TIMEOUT_SECONDS, retries=False)

    def digest(self, image: str) -> str:
        """Keep the photo that a product names; returns its SHA-256, 64 hexadecimal digits.

        Raises PhotoRefused for what can never be a photo (no such object, no key at all, a foreign host, no picture,
        more than 20 MiB) and TemporaryError where the host or the store does not answer.
        """
        photo = self._fetch(image) if "://" in image else self._uploaded(image)
        if photo is None:
            raise PhotoRefused(f"image {image!r} is not in the bucket; upload it first")
        content_type = next((name for name, begins in _SIGNATURES.items() if begins.match(photo)), None)
        if content_type is None:
            raise PhotoRefused(f"image {image!r} is no JPEG, PNG or WebP; send one of these")
        sha256 = hashlib.sha256(photo).hexdigest()
        self._objects.put_new(_key(sha256), photo, content_type)
        return sha256

    def load(self, sha256: str) -> bytes:
        """The bytes of a photo that `digest` kept."""
        photo = self._objects.get(_key(sha256), limit_bytes=LIMIT_BYTES)
        if photo is None:
            raise PhotoRefused(f"photo {sha256[:12]} is no longer in the bucket; publish the product again")
        return photo

    def _uploaded(self, key: str) -> bytes | None:
        try:
            return self._objects.get(key, limit_bytes=LIMIT_BYTES)
        except PermanentError as error:  # no key, or over the limit
            raise PhotoRefused(f"image {key!r}: {error}") from error

    def _fetch(self, address: str) -> bytes:
        if not self._allowed(address):
            raise PhotoRefused(
                f"image {address!r} is not https on a host of SKUREEL_RENDER__IMAGE_HOSTS; allow the host or upload it"
            )
        try:
            # No redirects: they would lead past the allow-list.
            with self._http.request("GET", address, redirect=False, preload_content=False) as response:
                if response.status == 200:
                    photo = response.read(LIMIT_BYTES + 1)
                    if len(photo) > LIMIT_BYTES:
                        raise PhotoRefused(f"image {address!r} has over {LIMIT_BYTES} bytes")
                    return bytes(photo)
                status = response.status
        except urllib3.exceptions.HTTPError as error:
            raise TemporaryError(f"image {address!r} could not be fetched: {error}; trying again") from error
        if status in (408, 425, 429) or status >= 500:
            raise TemporaryError(f"image {address!r} answers {status}; trying again")
        raise PhotoRefused(f"image {address!r} answers {status}; give a picture's address")

    def _allowed(self, address: str) -> bool:
        """Decided on what urllib3 itself reads, since that is whom it connects to: parsers differ on odd addresses."""
        if "\\" in address or not address.isprintable():
            return False
        try:
            url = parse_url(address)
        except LocationParseError:
            return False
        return url.scheme == "https" and url.auth is None and url.host in self._hosts and url.port in (None, 443)


def allowed_hosts(names: Iterable[str]) -> frozenset[str]:
    """Hosts as urllib3 writes those it connects to: in lower case, those beyond ASCII in IDNA's xn-- form.

    Raises ConfigurationError for what is no name of one host.
    """
    return frozenset(map(_host, names))


def _host(name: str) -> str:
    try:
        url = parse_url(f"https://{name}/")
    except LocationParseError:  # also for names beyond ASCII where the idna package is not installed
        url = Url()
    host = url.host or ""
    if url != Url("https", None, host, None, "/") or not _HOST.fullmatch(host):
        raise ConfigurationError(
            f"SKUREEL_RENDER__IMAGE_HOSTS: {name!r} is no host; give names such as img.example.com, "
            "those beyond ASCII in their xn-- form"
        )
    return host


def _key(sha256: str) -> str:
    return f"{FOLDER}{sha256}"
