"""The private places of the MinIO client that are touched are where they were proved to be."""

import pytest
from minio import Minio
from minio.error import InvalidResponseError

from shared.errors import ConfigurationError
from shared.objects import ObjectStore, mends
from shared.objects.connecting import connect
from shared.settings import ObjectSettings
from tests.objects.faulty_server import answering, http_answer


def test_a_client_that_sends_in_another_way_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(self: Minio, method: str, bucket: str) -> None: ...

    monkeypatch.setattr(Minio, "_execute", moved)
    with pytest.raises(ConfigurationError, match=r"minio 7\.\S+ sends requests in another way.*pyproject\.toml"):
        mends.check_release()


def test_a_request_goes_out_with_the_headers_it_was_given(object_store: ObjectSettings) -> None:
    """The public put_object makes x-amz-meta-if-none-match of it, and both writes pass."""
    ObjectStore(object_store).check()
    client = connect(object_store)
    condition = {"If-None-Match": "*"}
    assert mends.send(client, "PUT", object_store.bucket, "key", body=b"x", headers={**condition}).status == 200
    with pytest.raises(Exception, match="PreconditionFailed"):
        mends.send(client, "PUT", object_store.bucket, "key", body=b"y", headers={**condition})


def test_the_status_of_a_foreign_answer_is_known() -> None:
    with answering(http_answer("418 Teapot", b"<html/>", headers=("Content-Type: text/html",))) as settings:
        with pytest.raises(InvalidResponseError) as raised:
            mends.send(connect(settings), "GET", settings.bucket, "key")
    assert mends.status_of(raised.value) == 418
