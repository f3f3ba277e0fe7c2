"""Every touch of kafka-python's private places, each with its reason. Nothing else in the package reaches into it.

The client is mended for the one release that these mends were proved with; another one may have moved what they touch,
or mended it. Tests show the trouble without each of them.
"""

from importlib.metadata import version
from typing import Any, Final

from kafka.record.default_records import DefaultRecordBatch

from shared.errors import ConfigurationError

PROVED: Final = "3.0.12"
"""The release of kafka-python whose private places are known here."""


def check_release(installed: str) -> None:
    """Raises ConfigurationError where another release is installed than the one that is mended here."""
    if installed != PROVED:
        raise ConfigurationError(
            f"kafka-python {installed} is installed, and delivery is proved with {PROVED} alone; "
            f"install kafka-python=={PROVED}, or prove shared/kafka/mends.py anew"
        )


check_release(version("kafka-python"))


# Records.


class GarbledName(str):
    """A header's name that is not UTF-8. It reads with escapes, and is sent again with its own bytes."""

    _raw: bytes

    def __new__(cls, raw: bytes) -> "GarbledName":
        name = super().__new__(cls, raw.decode("utf-8", "backslashreplace"))
        name._raw = raw
        return name

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The bytes it came with."""
        return self._raw


class _Bytes(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        try:
            return super().decode(encoding, errors)
        except UnicodeDecodeError:
            return GarbledName(self)


class _Buffer(bytearray):
    """The reader takes names out as slices and decodes those; keys and values it copies as they are."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Bytes(found) if isinstance(place, slice) else found


_read_strictly = DefaultRecordBatch._read_msg


def _read(batch: Any) -> Any:
    """A header whose name is not UTF-8, which every broker takes, is no corrupt batch that is polled again for ever."""
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        # Nothing is noted of a record before it is read to its end, so it can be read anew; the batch's other records
        # come out of the same buffer.
        batch._buffer = _Buffer(batch._buffer)
        return _read_strictly(batch)


DefaultRecordBatch._read_msg = _read


# Producers.


def give_up_sending(producer: Any) -> None:
    """End the thread of a producer that has something left to send. Its own `close` gives up before that, and the
    thread would try on for ever."""
    producer._sender.force_close()


def never_split(producer: Any) -> None:
    """Keep a refused batch whole: the client splits it, and then loses sight of some of its records."""
    producer._sender._can_split = lambda batch, error: False


# Members of a group.


def rejoin(consumer: Any) -> None:
    """Go on with a join that outlasted a poll. If a change of the topics' metadata began it, the client finds no reason
    to go on with it at the next poll, and the member waits for ever, without heartbeats."""
    consumer._coordinator.request_rejoin()


def is_unheard(consumer: Any) -> bool:
    """Whether a session has passed without an answer from the group, as when the broker is away: the client does not
    say so, and goes on as a member until the group answers."""
    expired: bool = consumer._coordinator.heartbeat.session_timeout_expired()
    return expired


def cluster_of(consumer: Any) -> Any:
    """What the client knows of the cluster. It reads the topics that are there, and says nothing of the others."""
    return consumer._cluster


def forget_answers(consumer: Any) -> None:
    """Let no committed offset be believed that was asked for before an assignment.

    The client keeps the answer to a request that timed out, for whoever asks for the same partitions next. If they
    were lost meanwhile, that is their next assignment, and they would be read from there again.
    """
    consumer._coordinator._offset_fetch_futures.clear()


def tell_losses_while_joining(consumer: Any) -> None:
    """Have a membership that ends in the middle of a join end as any other does: its partitions are lost.

    The client looks for that once, before it begins to join. A member that learns only from the answer that it was
    expelled would join anew and keep its partitions, with what was taken from them, while others have worked on them.
    """
    coordinator = consumer._coordinator
    reset = coordinator.reset_generation

    def reset_and_prepare_again(*arguments: Any, **named: Any) -> None:
        reset(*arguments, **named)
        coordinator.rejoining = False

    coordinator.reset_generation = reset_and_prepare_again
