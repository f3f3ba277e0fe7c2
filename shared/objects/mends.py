"""Every touch of the MinIO client's private places, each with its reason. Nothing else reaches into it."""

import inspect
from importlib.metadata import version
from typing import Final

from minio import Minio
from minio.error import InvalidResponseError
from minio.helpers import DictType
from urllib3.response import BaseHTTPResponse

from shared.errors import ConfigurationError

_SENT: Final = ("method", "bucket_name", "object_name", "body", "headers", "query_params", "preload_content")


def check_release() -> None:
    """Raises ConfigurationError where the installed client takes other arguments than those sent here."""
    if not set(_SENT) <= set(inspect.signature(Minio._execute).parameters):
        raise ConfigurationError(
            f"minio {version('minio')} sends requests in another way than skureel knows; install one that "
            "pyproject.toml allows, or prove shared/objects/mends.py anew"
        )


check_release()


def send(
    client: Minio,
    method: str,
    bucket: str,
    key: str | None = None,
    *,
    body: bytes | None = None,
    headers: DictType | None = None,
    query: DictType | None = None,
    stream: bool = False,
) -> BaseHTTPResponse:
    """Sign and send one request. What is no status 200, 204 or 206 is raised as one of the client's errors.

    The client's public methods turn an If-None-Match header into user metadata, take no headers at all where an upload
    is completed, and keep most of the answer to themselves, so nobody could tell the store's from another server's.
    """
    return client._execute(
        method,
        bucket_name=bucket,
        object_name=key,
        body=body,
        headers=headers,
        query_params=query,
        preload_content=not stream,
    )


def status_of(error: InvalidResponseError) -> int:
    """The HTTP status of an answer that was no XML. The error says it in its message alone."""
    return error._code
