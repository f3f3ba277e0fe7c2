"""One member of a consumer group: connecting, polling, joining, rebalances, and topics that are not there.

It owns the consumer. The rebalance listener runs on the client's IO thread, but only while the owner is blocked inside
`poll` or `close`: the books are never touched by two threads at once.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import Any, Protocol

from kafka import AsyncConsumerRebalanceListener, TopicPartition
from kafka.errors import (
    AuthorizationError,
    IllegalStateError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
    SaslAuthenticationFailedError,
)
from kafka.structs import MemberState

from shared.errors import ConfigurationError
from shared.kafka import mends
from shared.kafka.client import open_consumer
from shared.kafka.failures import MAKE_TOPICS, lacks
from shared.kafka.runtime.assignment import EvenAssignor
from shared.kafka.runtime.subscription import Subscription
from shared.settings import KafkaSettings

log = logging.getLogger(__name__)

_LOOK_FOR_TOPICS_SECONDS = 5.0
"""How often missing topics are asked for; the client by itself asks every five minutes."""
_ANSWER_SECONDS = 0.5
"""How long the cluster is given to say which topics it has."""
_METADATA_MS = 30_000
"""How soon it is noticed that there are more topics of a pattern, or more partitions of a topic."""
_TELL_AGAIN_SECONDS = 60.0
"""How often it is told that topics are missing."""
_ANSWER_MS = 5_000
"""How long the group may take to tell or to note an offset, before it is asked anew."""


class Rebalances(Protocol):
    """Whoever keeps the books of what this member owns."""

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions go to another owner, who waits: they may still be committed."""

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions have another owner already: nothing of them may be committed."""

    def received(self, partitions: Collection[TopicPartition]) -> None:
        """New partitions came. Those kept are not among them."""


class Membership:
    """The member. Every call is bounded in time, as far as the client keeps what it promises."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str,
        client_id: str,
        subscription: Subscription,
        owned: Callable[[], Collection[TopicPartition]],
        rebalances: Rebalances,
    ) -> None:
        self._settings = settings
        self._group = group
        self._client_id = client_id
        self._subscription = subscription
        self._owned = owned
        self._rebalances = rebalances
        self._consumer: Any = None
        self._stable = False
        self._unheard = False
        self._missing: tuple[str, ...] = ()
        """Topics that the cluster does not have, as it said itself."""
        self._suspected: set[str] = set()
        """Topics that something could not be sent to."""
        self._writes = dict.fromkeys(subscription.writes)
        self._topics_asked: Any = None
        self._topics_due = 0.0
        self._missing_told = -_TELL_AGAIN_SECONDS
        self._listener_error: BaseException | None = None

    @property
    def joined(self) -> bool:
        """Whether this is a member, of whom the group has heard within a session: whoever is not may not commit."""
        return self._stable and not self._unheard

    @property
    def trouble(self) -> str | None:
        """Why no records can be expected, or None."""
        if self._missing:
            return f"Kafka {lacks(self._missing)}"
        if self._unheard:
            return f"the group has not answered for {self._settings.session_timeout_ms / 1000:g} s"
        return None if self._stable else "not a member of the group yet"

    @property
    def missing(self) -> tuple[str, ...]:
        """Topics that the cluster does not have, nor makes when it is asked for them by name.

        Who reads by a pattern asks for none by name: a cluster that makes topics by itself makes them when something
        is sent there, and not before.
        """
        return () if self._subscription.pattern is not None else self._missing

    def suspect(self, topics: Collection[str]) -> None:
        """Look soon whether these are there: something could not be sent."""
        self._suspected.update(topics)
        self._topics_due = 0.0

    def join(self) -> None:
        """Ask to join the group; `poll` brings it about. Raises ConfigurationError where that is not allowed, and
        KafkaError or OSError where no broker answers.
        """
        with _refusals_told(self._group):
            self._consumer = open_consumer(
                self._settings,
                client_id=self._client_id,
                group_id=self._group,
                auto_offset_reset="earliest",
                partition_assignment_strategy=(EvenAssignor(self._owned),),
                max_poll_interval_ms=self._settings.max_poll_interval_ms,
                session_timeout_ms=self._settings.session_timeout_ms,
                heartbeat_interval_ms=self._settings.heartbeat_interval_ms,
                metadata_max_age_ms=_METADATA_MS,
            )
            self._subscription.apply_to(self._consumer, _Listener(self))
        mends.tell_losses_while_joining(self._consumer)

    def poll(self, timeout_seconds: float) -> Mapping[TopicPartition, list[Any]]:
        """Stay a member, and bring what has been read. Rebalances happen inside.

        Raises ConfigurationError where the group does not take this member, KafkaError where the client may be asked
        again, and what the books raised as it is.
        """
        try:
            with _refusals_told(self._group):
                polled: Mapping[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000))
                self._stable = self._consumer.group_metadata().state is MemberState.STABLE
                self._note_silence()
                if not self._stable:
                    mends.rejoin(self._consumer)
                return polled
        except KafkaError:
            if self._listener_error is not None:
                # An error of our own: it must not be taken for a broker's whim.
                raise self._listener_error from None
            raise

    def _note_silence(self) -> None:
        unheard = mends.is_unheard(self._consumer)
        if unheard and not self._unheard:
            seconds = self._settings.session_timeout_ms / 1000
            log.warning("%s: the group has not answered for %g s; is Kafka away? Asking on", self._group, seconds)
        elif self._unheard and not unheard:
            log.warning("%s: the group answers again", self._group)
        self._unheard = unheard

    def look_for_topics(self) -> None:
        """Find out which topics are not there: the client reads the others and says nothing, and what is to be sent to
        one that is missing keeps everything from being committed.
        """
        now = time.monotonic()
        if not self.joined or now < self._topics_due:
            return
        self._topics_due = now + _LOOK_FOR_TOPICS_SECONDS
        cluster = mends.cluster_of(self._consumer)
        if self._subscription.pattern is None:
            # The client forgets them where another member of the group reads more topics than this one.
            mends.know_topics(self._consumer, {*self._writes, *self._suspected})
        if self._suspected:
            self._writes |= dict.fromkeys(sorted(self._suspected))
            self._suspected.clear()
            self._topics_asked = cluster.request_update()
            self._topics_due = now + _ANSWER_SECONDS
            return
        needed = (*self._subscription.topics, *self._writes)
        missing = tuple(topic for topic in needed if not cluster.partitions_for_topic(topic))
        # What is there is there, whether or not the last question was answered.
        self._missing = tuple(topic for topic in self._missing if topic in missing)
        if not missing:
            self._topics_asked = None
            return
        if self._topics_asked is not None and self._topics_asked.succeeded():
            self._missing = missing
            if now - self._missing_told >= _TELL_AGAIN_SECONDS:
                self._missing_told = now
                log.error("%s: Kafka %s; %s; asking on", self._group, lacks(missing), MAKE_TOPICS)
        # What was not there at the first look may only not have been asked for yet.
        self._topics_asked = cluster.request_update()
        self._topics_due = now + (_LOOK_FOR_TOPICS_SECONDS if self._missing else _ANSWER_SECONDS)

    def read_only(self, readable: Collection[TopicPartition]) -> int:
        """Pause and resume so that these partitions alone are read. Returns how many are paused."""
        owned = self._owned()
        paused = self._consumer.paused()
        to_pause = [partition for partition in owned if partition not in readable and partition not in paused]
        to_resume = [partition for partition in owned if partition in readable and partition in paused]
        try:
            if to_pause:
                self._consumer.pause(*to_pause)
            if to_resume:
                self._consumer.resume(*to_resume)
        except (KafkaError, KeyError) as error:
            log.debug("%s: assignment changed meanwhile: %s", self._group, error)
        return len(paused) + len(to_pause) - len(to_resume)

    def position(self, partition: TopicPartition) -> int | None:
        """The offset to be read next; None where that is not known yet."""
        try:
            position: int | None = self._consumer.position(partition, timeout_ms=0)
        except (KafkaError, IllegalStateError):
            return None
        return position

    def read_from(self, partition: TopicPartition, offset: int) -> None:
        """Go back in an owned partition."""
        with suppress(ValueError):  # another's meanwhile
            self._consumer.seek(partition, offset)

    @property
    def held(self) -> Mapping[TopicPartition, str]:
        """The partitions that cannot be read on, nor passed over, and why: the client asks for each again. From any
        thread."""
        return {} if self._consumer is None else mends.held_partitions(self._consumer)

    @property
    def waiting(self) -> Mapping[TopicPartition, str]:
        """The partitions of which nothing can be had until somebody's transaction ends. From any thread."""
        return {} if self._consumer is None else mends.open_transactions(self._consumer)

    def has_unread(self, partition: TopicPartition) -> bool:
        """Whether there is more to be had of a partition than was read: not what a transaction that is still open
        keeps back, nor anything of one that is held."""
        end = mends.readable_end(self._consumer, partition)
        # Not the last record's offset: behind it may lie nothing but transaction markers.
        position = self.position(partition)
        return end is not None and position is not None and position < end

    def identity(self) -> Any:
        """The group metadata that a release goes out under; None: this is a member no more.

        The IO thread may have heard so since the last poll. The broker fences no transaction that names no generation:
        it takes it for an old client's, whoever owns the partitions.
        """
        metadata = self._consumer.group_metadata()
        return None if metadata.generation_id < 0 else metadata

    def committed(self, partition: TopicPartition) -> int | None:
        """The group's committed offset. Raises KafkaError when it does not answer."""
        offset: int | None = self._consumer.committed(partition, timeout_ms=_ANSWER_MS)
        return offset

    def commit(self, offsets: Mapping[TopicPartition, Any]) -> None:
        """Commit offsets. Raises KafkaError."""
        self._consumer.commit(offsets, timeout_ms=_ANSWER_MS)

    async def commit_while_rebalancing(self, offsets: Mapping[TopicPartition, Any]) -> None:
        """As `commit`, on the IO thread, where a blocking commit is impossible."""
        await self._consumer.commit_async(offsets)

    def leave(self, patience_seconds: float) -> None:
        """Leave the group and close the consumer."""
        self._stable = False
        if self._consumer is None:
            return
        try:
            self._consumer.close(autocommit=False, timeout_ms=int(patience_seconds * 1000))
        except KafkaError as error:
            log.warning("%s: leaving the group failed: %s; the session timeout will end it", self._group, error)

    # Of the listener, on the IO thread.

    @contextmanager
    def listening(self) -> Iterator[Rebalances]:
        """Keep an error of the books as it is: the client wraps it so that its kind is lost."""
        try:
            yield self._rebalances
        except BaseException as error:
            self._listener_error = error
            raise

    def forget_answers(self) -> None:
        """Before an assignment: what was asked for under an earlier one must not be believed."""
        mends.forget_answers(self._consumer)


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Passes rebalances on. A synchronous listener could not commit: it would block the thread it waits for."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        with self._membership.listening() as rebalances:
            await rebalances.revoked(revoked)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        with self._membership.listening() as rebalances:
            rebalances.lost(lost)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        with self._membership.listening() as rebalances:
            self._membership.forget_answers()
            rebalances.received(assigned)


@contextmanager
def _refusals_told(group: str) -> Iterator[None]:
    """Translate what an operator must act on into ConfigurationError; whatever else may pass is left as it is."""
    try:
        yield
    except (AuthorizationError, SaslAuthenticationFailedError) as error:
        raise ConfigurationError(f"Kafka refuses {group}: {error}; check credentials and ACLs") from error
    except (InvalidSessionTimeoutError, InvalidGroupIdError, InconsistentGroupProtocolError) as error:
        raise ConfigurationError(
            f"Kafka does not let {group} join: {error}; check the session timeout and the group's other members"
        ) from error


def names(partitions: Iterable[TopicPartition]) -> str:
    """Partitions as the log has them: `product.created[0-5,8]`."""
    numbers: dict[str, list[int]] = {}
    for topic, number in sorted(partitions):
        numbers.setdefault(topic, []).append(number)
    return ", ".join(f"{topic}[{','.join(_runs(found))}]" for topic, found in numbers.items()) or "nothing"


def _runs(numbers: Iterable[int]) -> Iterator[str]:
    """Ascending numbers, those that follow on each other as first and last."""
    for _, together in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in together]
        yield str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"
