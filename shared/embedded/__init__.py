"""A broker and an object store that start in seconds from wheels, for `skureel demo` and for tests.

Context managers that yield the settings of what they started. Here belongs how the stand-ins start, stop and differ
from the real thing; nothing in production imports this package, and nothing here knows of events or functions.
"""

from shared.embedded.broker import embedded_broker
from shared.embedded.store import embedded_store

__all__ = ["embedded_broker", "embedded_store"]
