"""Product photos, the first frames of clips: fetched once, kept by content, so that a spec names a picture for ever.

A photo is an upload in our own bucket or an https address on an allow-listed host. Whatever it is, a copy is kept
under `photos/<sha256>`; the render spec holds that digest, and render_video reads nothing else.

What a merchant names ends as that product's matter, never as the process's, and is told in a merchant's words. All that
may not be named sounds alike, and so does all that cannot be read below the prefix of uploads: nobody learns from
answers what the bucket holds.
"""

import hashlib
import logging
import re
from collections.abc import Iterable
from typing import NoReturn

import urllib3
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from shared.bucket import CLIPS, PHOTOS, READINGS
from shared.deadlines import pool_manager, within
from shared.errors import ConfigurationError, PermanentError, PhotoNotYet, PhotoRefused, Unavailable
from shared.objects import ObjectStore
from shared.objects.failures import DENIED_REASON
from shared.objects.keys import fault_of
from shared.printable import one_line
from shared.settings import RenderSettings

log = logging.getLogger(__name__)

LIMIT_BYTES = 20 * 1024 * 1024
FETCH_SECONDS = 15.0
"""For one photo, from connecting to its last byte. It holds a handler's thread: who needs longer for 20 MiB than a line
of 11 Mbit/s is as good as away."""
TIMEOUT_SECONDS = 10.0
CONNECTIONS = 64
"""Kept open to one host: as many as a worker may have handler threads."""

_OURS = (CLIPS, PHOTOS, READINGS)
_SHOWN_CHARACTERS = 120
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
# Whether it can be decoded, render_video finds out, and rejects the product as well: derive_prompt needs no Pillow.
_SIGNATURES = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    # RIFF alone may be sound or film as well.
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


class Photos:
    """Photos by digest. Safe to use from several threads."""

    def __init__(self, objects: ObjectStore, settings: RenderSettings) -> None:
        self._objects = objects
        self._hosts = allowed_hosts(settings.image_hosts)
        self._prefix = settings.image_prefix
        if self._prefix.startswith(_OURS):
            raise ConfigurationError(
                f"SKUREEL_RENDER__IMAGE_PREFIX: below {self._prefix} lie objects of skureel's own; name another"
            )
        self._http = pool_manager(timeout_seconds=TIMEOUT_SECONDS, maxsize=CONNECTIONS, tls=True)

    def digest(self, image: str) -> str:
        """Keep the photo that a product names; returns its SHA-256, 64 hexadecimal digits.

        PhotoRefused: it can never be a photo (a foreign host, no upload's key, no picture, more than 20 MiB).
        PhotoNotYet: it is not there, may not be read, or its host does not give it. TemporaryError: the store does not
        answer. Reading takes `FETCH_SECONDS` at most.
        """
        with within(FETCH_SECONDS):
            photo = self._fetched(image) if "://" in image else self._uploaded(image)
        content_type = next((name for name, begins in _SIGNATURES.items() if begins.match(photo)), None)
        if content_type is None:
            raise PhotoRefused(f"image {_shown(image)} is no JPEG, PNG or WebP; send one of these")
        sha256 = hashlib.sha256(photo).hexdigest()
        self._objects.put_new(_key(sha256), photo, content_type)
        return sha256

    def load(self, sha256: str) -> bytes:
        """The bytes of a photo that `digest` kept, proved. PermanentError `photo-altered`: they are others now."""
        key = _key(sha256)
        try:
            photo = self._objects.get(key, limit_bytes=LIMIT_BYTES)
        except PermanentError as error:
            # The key is of our own making: whatever is wrong with it is no fault of the product, and can be mended.
            raise Unavailable(str(error)) from error
        if photo is None:
            raise PhotoRefused("the product's photo is no longer kept; publish the product again")
        found = hashlib.sha256(photo).hexdigest()
        if found != sha256:
            raise PermanentError(
                f"object {key} has the digest {found} and not the one in its name, so somebody changed it; remove it, "
                "look at who may write there, and publish the product again",
                reason="photo-altered",
            )
        return photo

    def _uploaded(self, key: str) -> bytes:
        if not key.startswith(self._prefix):
            self._refuse_place(key)
        fault = fault_of(key)
        if fault is not None:
            raise PhotoRefused(
                f"image {_shown(key)} is no name that an upload can have, for it {fault}; upload the picture under "
                "another name and publish the product again"
            )
        refusal: Exception | None = None
        try:
            photo = self._objects.get(key, limit_bytes=LIMIT_BYTES)
        except PermanentError as error:
            if error.reason == "object-too-large":
                raise _too_large(key) from error
            if error.reason == DENIED_REASON:
                self._check_uploads()
            refusal, photo = error, None  # denied, archived, encrypted with a key of somebody's own
        if photo is None:
            # One answer for all of these: a store may itself say "denied" of what is not there.
            log.info("image %s cannot be read: %s", _shown(key), refusal or "there is no such object")
            raise PhotoNotYet(
                f"image {_shown(key)} is not there or may not be read; upload it and publish the product again"
            ) from refusal
        return photo

    def _check_uploads(self) -> None:
        """Where the policy shuts all uploads, no merchant is told to upload anew. Raises Unavailable."""
        try:
            self._objects.check(reads=[self._prefix])
        except ConfigurationError as error:
            raise Unavailable(str(error)) from error

    def _fetched(self, address: str) -> bytes:
        if not self._allowed(address):
            self._refuse_place(address)
        try:
            # No redirects: they would lead past the allow-list. Not compressed: what is read is what is bounded.
            with self._http.request(
                "GET",
                address,
                headers={"Accept-Encoding": "identity"},
                redirect=False,
                preload_content=False,
                decode_content=False,
            ) as response:
                if response.status == 200:
                    photo = bytearray()
                    # To its end: only the read that finds it learns that less came than was promised.
                    while chunk := response.read(LIMIT_BYTES + 1 - len(photo)):
                        photo += chunk
                        if len(photo) > LIMIT_BYTES:
                            raise _too_large(address)
                    return bytes(photo)
                status = response.status
        except urllib3.exceptions.HTTPError as error:
            log.info("image %s cannot be fetched: %s: %s", _shown(address), type(error).__name__, error)
            raise PhotoNotYet(
                f"image {_shown(address)} could not be fetched: {_in_words(error)}; publish the product again when "
                "the picture opens in a browser"
            ) from error
        if 300 <= status < 400:
            raise PhotoRefused(f"image {_shown(address)} leads to another address ({status}); give that one")
        raise PhotoNotYet(
            f"image {_shown(address)} could not be fetched: its host answers {status}; publish the product again when "
            "the picture opens in a browser"
        )

    def _allowed(self, address: str) -> bool:
        """Decided on what urllib3 itself reads, since that is whom it connects to: parsers differ on odd addresses.

        The name suffices, whatever it resolves to: before a byte of the request is sent, TLS has proved that the other
        side holds a certificate of that name from an authority trusted here. A metadata service or another machine of
        this network cannot show one, and a picture host of one's own may well have a private address.
        """
        if "\\" in address or not address.isprintable():
            return False
        try:
            url = parse_url(address)
        except LocationParseError:
            return False
        return url.scheme == "https" and url.auth is None and url.host in self._hosts and url.port in (None, 443)

    def _refuse_place(self, image: str) -> NoReturn:
        hosts = f", or an https address on {' or '.join(sorted(self._hosts))}" if self._hosts else ""
        raise PhotoRefused(
            f"image {_shown(image)} is nowhere that photos are taken from; give an upload's key, which begins with "
            f"{self._prefix}{hosts}"
        )


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
    return f"{PHOTOS}{sha256}"


def _shown(image: str) -> str:
    shown = one_line(image)
    return f"'{shown if len(shown) <= _SHOWN_CHARACTERS else f'{shown[:_SHOWN_CHARACTERS]}...'}'"


def _too_large(image: str) -> PhotoRefused:
    return PhotoRefused(f"image {_shown(image)} has over {LIMIT_BYTES // 2**20} MiB; send a smaller file")


def _in_words(error: urllib3.exceptions.HTTPError) -> str:
    match error:
        case urllib3.exceptions.SSLError():
            return "its host cannot prove its name by a certificate"
        case urllib3.exceptions.NameResolutionError():
            return "its host's name is not known"
        case urllib3.exceptions.NewConnectionError():  # before its base, TimeoutError
            return "its host cannot be reached"
        case urllib3.exceptions.TimeoutError():
            return "its host did not send it in time"
        case _:
            return "its host's answer breaks off or is no answer"
