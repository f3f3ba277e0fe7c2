"""The store under test: the embedded one and, marked connected, MinIO."""

import pytest

from shared.objects import ObjectStore
from shared.settings import ObjectSettings


@pytest.fixture
def store(object_store: ObjectSettings) -> ObjectStore:
    """A store whose own empty bucket is there."""
    checked = ObjectStore(object_store)
    checked.check()
    return checked
