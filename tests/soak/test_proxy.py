"""The mixed run's proxy does to the store what it says."""

from collections.abc import Iterator

import pytest

from shared.errors import PermanentError, TemporaryError
from shared.objects import ObjectStore
from shared.settings import ObjectSettings
from tests.soak.proxy import StoreProxy, Weather


@pytest.fixture
def proxy(embedded_objects: ObjectSettings) -> Iterator[StoreProxy]:
    ObjectStore(embedded_objects).check()
    assert embedded_objects.endpoint is not None
    with StoreProxy(int(embedded_objects.endpoint.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: StoreProxy, embedded_objects: ObjectSettings) -> ObjectStore:
    changed = {"endpoint": f"127.0.0.1:{proxy.port}", "timeout_seconds": 0.5}
    return ObjectStore(embedded_objects.model_copy(update=changed))


def test_a_clear_day_changes_nothing(store: ObjectStore) -> None:
    store.put_new("videos/x", b"all of it" * 100_000, "text/plain")
    assert store.get("videos/x") == b"all of it" * 100_000


@pytest.mark.parametrize("weather", [Weather.REFUSES, Weather.HANGS, Weather.UNAVAILABLE])
def test_bad_weather_is_felt_and_passes(weather: Weather, proxy: StoreProxy, store: ObjectStore) -> None:
    store.put_new("videos/x", b"x", "text/plain")
    proxy.weather = weather
    with pytest.raises(TemporaryError):
        store.get("videos/x")
    proxy.weather = Weather.CLEAR
    assert store.get("videos/x") == b"x"


def test_a_store_that_refuses_writes_can_be_read(proxy: StoreProxy, store: ObjectStore) -> None:
    store.put_new("videos/x", b"x", "text/plain")
    proxy.weather = Weather.READ_ONLY
    assert store.get("videos/x") == b"x"
    with pytest.raises(TemporaryError):
        store.put_new("videos/y", b"y", "text/plain")


def test_a_key_that_is_denied_is_denied(store: ObjectStore) -> None:
    with pytest.raises(PermanentError, match="denied-1"):
        store.get("uploads/denied-1.png")


def test_a_key_that_drips_does_not_come(store: ObjectStore) -> None:
    store.put_new("uploads/drip.png", b"x" * 1000, "image/png")
    with pytest.raises(TemporaryError):
        store.get("uploads/drip.png")
