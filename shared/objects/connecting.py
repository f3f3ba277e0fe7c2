"""The MinIO client as settings describe it, and the addresses of objects for those who read events."""

from datetime import timedelta
from typing import NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import urllib3
from minio import Minio
from minio.helpers import check_bucket_name

from shared.deadlines import pool_manager, within
from shared.errors import ConfigurationError
from shared.objects.silence import why_silent
from shared.settings import ObjectSettings

CONNECTIONS = 64
"""Connections kept open: as many as a worker may have handler threads. They are opened only when used."""

TRIAL_SECONDS = 5.0
"""How long it may take to try a url as its readers do."""

_SAFE_IN_PATHS = "/-_.~"
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")
_NAMED_BY_HOST = (*_AMAZON, ".aliyuncs.com", ".myqcloud.com")
"""Stores that know buckets by host name alone, or would rather."""


def connect(settings: ObjectSettings) -> Minio:
    """A client that has asked for nothing yet. Settings that fit together in no way are a ConfigurationError."""
    if settings.endpoint is None:
        raise ConfigurationError("no object store is configured; set SKUREEL_OBJECTS__ENDPOINT to its host:port")
    if (settings.access_key is None) != (settings.secret_key is None):
        raise ConfigurationError("SKUREEL_OBJECTS__ACCESS_KEY and __SECRET_KEY go together; set both or neither")
    client = _client(settings, settings.endpoint, signs=True, secure=settings.secure)
    try:
        check_bucket_name(settings.bucket, strict=True, s3_check=_host(settings.endpoint).endswith(_AMAZON))
    except ValueError as error:
        raise ConfigurationError(
            f"object store {settings.endpoint}: {error}; name another in SKUREEL_OBJECTS__BUCKET"
        ) from error
    return client


class UrlTrial(NamedTuple):
    """What came of trying a url. Neither `refused` nor `unreachable`: it opens."""

    url: str
    """Without its signature."""
    refused: str | None = None
    """What it answers, where nobody can open it."""
    unreachable: str | None = None
    """Why it could not be tried from here."""


class Addresses:
    """The urls of a bucket's objects: below the public url, signed for a time, or plain."""

    def __init__(self, settings: ObjectSettings) -> None:
        if settings.public_url is not None and settings.presign_seconds:
            raise ConfigurationError(
                "SKUREEL_OBJECTS__PUBLIC_URL and __PRESIGN_SECONDS exclude each other, for a public url is not signed; "
                "set one"
            )
        self._bucket = settings.bucket
        self._life = timedelta(seconds=settings.presign_seconds)
        endpoint, secure = settings.endpoint or "", settings.secure
        if settings.presign_endpoint is not None:
            # Signatures are for the host that they are sent to.
            public = urlsplit(settings.presign_endpoint)
            endpoint, secure = public.netloc, public.scheme == "https"
        self._client = _client(settings, endpoint, signs=bool(settings.presign_seconds), secure=secure)
        self._visitor = pool_manager(timeout_seconds=TRIAL_SECONDS, maxsize=1, tls=True)
        self._base = self._public(settings.public_url) if settings.public_url is not None else self._signed("x")[:-1]

    def of(self, key: str) -> str:
        """The url of an object."""
        return self._signed(key) if self._life else self._base + quote(key, safe=_SAFE_IN_PATHS)

    def tried(self, key: str) -> UrlTrial:
        """What the url of an object that is there answers to whoever has no credentials."""
        url = self.of(key)
        shown = url.split("?")[0]
        try:
            with within(TRIAL_SECONDS):
                answer = self._visitor.request("GET", url, headers={"Range": "bytes=0-0"}, preload_content=False)
                answer.close()
        except urllib3.exceptions.HTTPError as error:
            return UrlTrial(shown, unreachable=why_silent(error))
        told = f"answers {answer.status}"
        if answer.status in (401, 403, 404, 410):
            return UrlTrial(shown, refused=told)
        return UrlTrial(shown, unreachable=None if answer.status < 300 else told)

    def _signed(self, key: str) -> str:
        """The client without credentials signs nothing, and knows where the bucket's name belongs."""
        return self._client.presigned_get_object(self._bucket, key, expires=self._life or timedelta(days=1))

    def _public(self, url: str) -> str:
        base = urlsplit(url)
        path = quote(f"{base.path.rstrip('/')}/", safe=f"{_SAFE_IN_PATHS}%")
        return urlunsplit((base.scheme, base.netloc, path, "", ""))


def _client(settings: ObjectSettings, endpoint: str, *, signs: bool, secure: bool) -> Minio:
    try:
        client = Minio(
            endpoint,
            access_key=settings.access_key if signs else None,
            secret_key=settings.secret_key.get_secret_value() if signs and settings.secret_key else None,
            secure=secure,
            # Without it every first request asks the store for the bucket's region.
            region=settings.region,
            http_client=pool_manager(timeout_seconds=settings.timeout_seconds, maxsize=CONNECTIONS, tls=secure),
        )
    except ValueError as error:
        raise ConfigurationError(
            f"object store {endpoint}: {error}; give SKUREEL_OBJECTS__ENDPOINT host:port without http:// and path"
        ) from error
    virtual = settings.addressing == "virtual"
    if virtual or (settings.addressing == "auto" and _host(endpoint).endswith(_NAMED_BY_HOST)):
        client.enable_virtual_style_endpoint()
    else:
        client.disable_virtual_style_endpoint()
    return client


def _host(endpoint: str) -> str:
    return (urlsplit(f"//{endpoint}").hostname or "").lower()
