"""The store under test: the embedded one and, marked connected, MinIO."""

import pytest

from shared.objects import ObjectStore, listing
from shared.objects.multipart import OpenUpload
from shared.settings import ObjectSettings


@pytest.fixture
def store(object_store: ObjectSettings) -> ObjectStore:
    """A store whose own empty bucket is there."""
    checked = ObjectStore(object_store)
    checked.check()
    return checked


def open_uploads(store: ObjectStore, prefix: str = "") -> list[OpenUpload]:
    """Uploads in parts that nobody completed or gave up."""
    return list(listing.uploads(store._client, store._bucket, prefix))


def removed(store: ObjectStore, key: str) -> None:
    """Remove an object, as somebody with the bucket in hand does."""
    store._client.remove_object(store._bucket, key)
