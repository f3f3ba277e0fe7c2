"""Every touch of kafka-python's private places, each with its reason. Nothing else in the package reaches into it.

The client is mended for the one release that these mends were proved with; another one may have moved what they touch,
or mended it. Tests show the trouble without each of them.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, NamedTuple, TypeVar

from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import AuthorizationError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.net.transport import KafkaSSLTransport

from shared.errors import ConfigurationError
from shared.kafka.batches import Fetched, Limits

log = logging.getLogger(__name__)

T = TypeVar("T")

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


# Fetching.

_HOLD_SECONDS = 60.0
"""How long a held partition is left alone at most, before it is asked for again and told of again."""
_SILENCE_SECONDS = 10.0
"""How long a broker may give nothing of a partition of which it has more, before that is told."""
_SILENCE_ANSWERS = 3
"""And how often it must have answered meanwhile."""
_TRANSACTION_SECONDS = 120.0
"""How long a transaction may be open before that is told: twice what producers grant theirs by default."""


def read_patiently(consumer: Any, limits: Limits) -> None:
    """Have a new consumer read its fetches as `_PatientFetcher` does."""
    consumer._fetcher = _PatientFetcher(
        consumer._client,
        consumer._subscription,
        limits=limits,
        **{**consumer.config, "metrics": None},
    )


def held_partitions(consumer: Any) -> Mapping[TopicPartition, str]:
    """The partitions that cannot be read on, each with the reason. They are asked for again at least every minute."""
    held: Mapping[TopicPartition, str] = consumer._fetcher.held()
    return held


def open_transactions(consumer: Any) -> Mapping[TopicPartition, str]:
    """The partitions of which no more can be had for minutes, for a transaction that somebody opened and does not end,
    each with what to do."""
    told: Mapping[TopicPartition, str] = consumer._fetcher.open_transactions()
    return told


def readable_end(consumer: Any, partition: TopicPartition) -> int | None:
    """Below which offset records can be had of a partition, as last heard: of committed ones below the last stable
    offset. None: nobody has said so yet, or the partition is held."""
    end: int | None = consumer._fetcher.readable_end(partition)
    return end


class Silence(Exception):
    """A broker gives nothing of a partition, although it has more of it."""


@dataclass(slots=True)
class _Hold:
    offset: int
    why: str
    times: int
    until: float


class _Wait(NamedTuple):
    offset: int
    since: float
    answers: int


@dataclass(slots=True)
class _OpenTransaction:
    offset: int
    since: float
    told: bool = False


class _PatientFetcher(Fetcher):  # type: ignore[misc]  # kafka-python is untyped
    """A fetcher that no batch can stop, and that gives no more than it is asked for, of each partition in its turn.

    kafka-python's own raises for a batch that it cannot read, keeps what is left of it, and from then on runs round
    inside `poll` for ever. It unpacks without a bound. And a batch that was half read when its partition was paused is
    never returned to, if another partition was read meanwhile: its place is looked for in a slot that is empty, not in
    one that is used up. Here every partition's fetch waits in a place of its own, and one that cannot be read on is
    held: left alone for a while and told of, while the others go on.
    """

    def __init__(self, *arguments: Any, limits: Limits, clock: Callable[[], float] = time.monotonic, **more: Any):
        super().__init__(*arguments, **more)
        self._limits = limits
        self._clock = clock
        self._holds: dict[TopicPartition, _Hold] = {}
        self._ends: dict[TopicPartition, int] = {}
        """Below which offset there is something to be had of each partition, as last heard."""
        self._log_ends: dict[TopicPartition, int] = {}
        """How far the log of each goes: beyond that by the transactions that are open."""
        self._waits: dict[TopicPartition, _Wait] = {}
        self._open_transactions: dict[TopicPartition, _OpenTransaction] = {}
        self._answers = 0

    def held(self) -> dict[TopicPartition, str]:
        """The held partitions and why."""
        return {partition: hold.why for partition, hold in list(self._holds.items())}

    def open_transactions(self) -> dict[TopicPartition, str]:
        """The partitions that wait for a transaction's end for long, and what to do."""
        return {
            partition: f"a transaction has been open for {self._clock() - found.since:.0f} s at offset {found.offset}"
            for partition, found in list(self._open_transactions.items())
            if found.told
        }

    def readable_end(self, partition: TopicPartition) -> int | None:
        """Below which offset there is something to be had of a partition; None where it is held, or unheard of."""
        return None if partition in self._holds else self._ends.get(partition)

    def fetched_records(self, max_records: int | None = None, update_offsets: bool = True) -> tuple[Any, bool]:
        """At most so many records, the least lately served partition's first.

        Raises AuthorizationError alone; says always that fetches may be sent, for partitions of which nothing is here.
        """
        left = max_records or self.config["max_poll_records"]
        self._open_fetches()
        self._forget_holds()
        self._notice_silence()
        self._notice_open_transactions()
        drained: dict[TopicPartition, list[Any]] = defaultdict(list)
        for partition in list(self._unread):
            if left == 0:
                break
            if self._subscriptions.is_paused(partition):
                continue
            part = self._unread.pop(partition)
            try:
                left -= self._append(drained, part, left, update_offsets)
            except Exception as error:  # noqa: BLE001 - whatever a broker's bytes lead to must stop no other partition
                self._hold(partition, part.next_fetch_offset, error)
                continue
            if part:
                self._unread[partition] = part
        return dict(drained), False

    @property
    def _unread(self) -> dict[TopicPartition, Any]:
        """What is here and not given yet. The base keeps such parts of paused partitions, and fetches none of them."""
        parts: dict[TopicPartition, Any] = self._paused_partition_records
        return parts

    def _open_fetches(self) -> None:
        for _ in range(len(self._completed_fetches)):
            fetch = self._completed_fetches.popleft()
            partition = fetch.topic_partition
            data = fetch.partition_data
            self._ends[partition] = data.last_stable_offset if self._isolation_level else data.high_watermark
            self._log_ends[partition] = data.high_watermark
            if self._subscriptions.is_paused(partition):
                # What comes for a paused partition would be thrown away.
                self._completed_fetches.append(fetch)
                continue
            try:
                part = self._parse_fetched_data(fetch)
            except AuthorizationError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self._hold(partition, fetch.fetched_offset, error)
                continue
            if part is not None:
                part.limits = self._limits
                part.high_watermark = data.high_watermark
                self._unread[partition] = part

    def _fetchable_partitions(self) -> list[TopicPartition]:
        now = self._clock()
        holds = self._holds
        return [
            partition
            for partition in super()._fetchable_partitions()
            if partition not in holds or holds[partition].until <= now
        ]

    def _create_fetch_requests(self) -> Any:
        requests = super()._create_fetch_requests()
        if any(not self._subscriptions.is_paused(partition) for partition in self._unread):
            # A broker that waits for records of the other partitions would keep these from being fetched next.
            for request, _ in requests.values():
                request.max_wait_ms = 0
        return requests

    def _hold(self, partition: TopicPartition, offset: int, error: Exception) -> None:
        before = self._holds.get(partition)
        times = before.times + 1 if before is not None and before.offset == offset else 1
        seconds = min(2.0**times, _HOLD_SECONDS)
        self._holds[partition] = _Hold(offset, str(error) or type(error).__name__, times, self._clock() + seconds)
        log.error(
            "%s[%d] cannot be read on from offset %d: %s; it is held and the others go on, asking again in %.0f s",
            partition.topic,
            partition.partition,
            offset,
            error or type(error).__name__,
            seconds,
        )

    def _handle_fetch_response(self, *arguments: Any) -> None:
        self._answers += 1
        super()._handle_fetch_response(*arguments)

    def _notice_silence(self) -> None:
        """A broker whose log gives a length that cannot be finds nothing from there on, and answers as if all is well.

        The wait is not counted from a response: those leave out the partitions of which there is nothing new.
        """
        now = self._clock()
        for partition, end in self._ends.items():
            hold = self._holds.get(partition)
            asked = self._subscriptions.is_fetchable(partition) and partition not in self._unread
            offset = self._subscriptions.position(partition).offset if asked else -1
            wait = self._waits.get(partition)
            if not asked or offset >= end or (hold is not None and hold.until > now):
                self._waits.pop(partition, None)
            elif wait is None or wait.offset != offset:
                self._waits[partition] = _Wait(offset, now, self._answers)
            elif now - wait.since >= _SILENCE_SECONDS and self._answers - wait.answers >= _SILENCE_ANSWERS:
                self._hold(partition, offset, Silence(f"the broker gives nothing, and has {end - offset} offsets more"))

    def _notice_open_transactions(self) -> None:
        """A producer that died in the middle, and whose name nobody takes again, keeps everybody from reading what is
        behind, until the broker ends it: never, where it was lost there (KIP-890).

        An end that stands where it stood has stood all the while. Of a partition that is not asked for, nobody knows.
        """
        now = self._clock()
        for partition, end in self._ends.items():
            found = self._open_transactions.get(partition)
            is_open = end < self._log_ends[partition] and self._subscriptions.is_assigned(partition)
            asked = is_open and self._subscriptions.is_fetchable(partition)
            if not is_open or found is None or found.offset != end or not (asked or found.told):
                self._open_transactions.pop(partition, None)
                if asked:
                    self._open_transactions[partition] = _OpenTransaction(end, now)
            elif not found.told and now - found.since >= _TRANSACTION_SECONDS:
                found.told = True
                log.error(
                    "%s[%d]: a transaction has been open for %.0f s at offset %d, and nothing behind it can be read "
                    "before it ends; if its producer is gone, end it with `kafka-transactions.sh --bootstrap-server "
                    "HOST:PORT abort --topic %s --partition %d --start-offset %d` (see also its `find-hanging`)",
                    partition.topic,
                    partition.partition,
                    now - found.since,
                    end,
                    partition.topic,
                    partition.partition,
                    end,
                )

    def _forget_holds(self) -> None:
        """A partition that was taken away, or read from elsewhere, is held no longer."""
        for partition, hold in list(self._holds.items()):
            state = self._subscriptions.assignment.get(partition)
            position = state.position if state is not None else None
            if state is None or (position is not None and position.offset != hold.offset):
                del self._holds[partition]

    class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is untyped
        """One partition's part of a fetch, read by `Fetched` in place of the client's own reader."""

        limits: Limits
        high_watermark: int

        def _unpack_records(self, tp: TopicPartition, records: Any, *_: Any) -> Iterator[Any]:
            fetched = Fetched(
                records._buffer,
                tp.topic,
                tp.partition,
                position=self.fetch_offset,
                limits=self.limits,
                high_watermark=self.high_watermark,
                aborted=self.aborted_transactions if self.isolation_level else None,
            )
            for record in fetched:
                self._note(fetched)
                yield record
            self._note(fetched)
            self.bytes_read = records.size_in_bytes()
            self.drain()

        def _note(self, fetched: Fetched) -> None:
            self.next_fetch_offset = fetched.position
            self.leader_epoch = fetched.leader_epoch


# Sockets.


def _close_what_fails() -> None:
    """Have the client close a socket that does not come to connect, and one whose TLS handshake fails.

    It leaves both to the garbage collector: a worker whose broker was away for three minutes held fifty.
    """
    connect, handshake = KafkaNetSocket.sock_connect, KafkaSSLTransport.handshake

    async def connect_or_close(self: Any, net: Any, sock: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return await connect(self, net, sock, *arguments, **named)
        except BaseException:
            sock.close()
            raise

    async def handshake_or_close(self: Any) -> None:
        try:
            await handshake(self)
        except BaseException:
            self.abort()
            raise

    KafkaNetSocket.sock_connect, KafkaSSLTransport.handshake = connect_or_close, handshake_or_close


_close_what_fails()


def open_client(kind: Callable[..., T], **arguments: Any) -> T:
    """`kind(**arguments)`: a consumer, a producer, an admin client, of which nothing is left if it does not open.

    Where no broker answers, the client's constructor gives up, and leaves its selector, sockets and thread behind.
    """
    opened: list[Any] = []

    def opening(**named: Any) -> Any:
        opened.append(KafkaNetClient(**named))
        return opened[0]

    try:
        return kind(**arguments, kafka_client=opening)
    except BaseException:
        for client in opened:
            client.close()
        raise


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


def know_topics(consumer: Any, topics: Iterable[str]) -> None:
    """Have a consumer know of topics that it does not read: it asks the cluster for its subscription alone."""
    for topic in topics:
        consumer._cluster.add_topic(topic)


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
