"""<topic>.retry.<delay> -> <topic>: every due record back to where it came from, so that no GPU wakes or waits for one.

How it is done is the delivery runtime's (`shared.kafka.runtime.carrying`): records are never opened here.
"""

from shared.events import READ_TYPES
from shared.function import Carrier
from shared.settings import Settings


def build(_: Settings) -> Carrier:
    """The function as a trigger runs it."""
    return Carrier("redeliver", carries=READ_TYPES)
