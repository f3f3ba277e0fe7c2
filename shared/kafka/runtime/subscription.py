"""Which topics a worker reads, and how urgent each is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.events import written_by
from shared.function import Carrier, Function
from shared.kafka import mends
from shared.kafka.client import DEAD_LETTER_SUFFIX, any_retry_topic, retry_topics, topic_name
from shared.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Subscription:
    """The topics of a worker, in lanes."""

    topics: tuple[str, ...]
    """Those that must be there."""
    writes: tuple[str, ...]
    """Those that must be there besides, for what becomes of the records."""
    lanes: int
    lane_of: Callable[[str], int]
    """The lane of a topic: 0 is the most urgent."""
    pattern: str | None = None
    """A regular expression of the topics that are read where they exist, `topics` among them."""

    def apply_to(self, consumer: Any, listener: Any) -> None:
        """Ask for a share of these topics."""
        if self.pattern is not None:
            consumer.subscribe(pattern=self.pattern, listener=listener)
        else:
            consumer.subscribe(topics=list(self.topics), listener=listener)
            mends.know_topics(consumer, self.writes)


def subscription_of(function: Function | Carrier, settings: KafkaSettings) -> Subscription:
    """A handler reads the topics of its types, each a lane. A carrier reads all their retry topics, in one lane.

    Also those whose delay is no longer among the settings: what waits there is not left behind.
    """
    if isinstance(function, Carrier):
        return Subscription(
            topics=tuple(topic for name in function.carries for topic in retry_topics(settings, name)),
            writes=tuple(
                topic_name(settings, name) + suffix for name in function.carries for suffix in ("", DEAD_LETTER_SUFFIX)
            ),
            lanes=1,
            lane_of=lambda topic: 0,
            pattern=any_retry_topic(settings, function.carries),
        )
    topics = tuple(topic_name(settings, event_type) for event_type in function.consumes)
    retries = [topic for name in function.consumes for topic in retry_topics(settings, name)]
    answers = [topic_name(settings, name) for name in written_by(function.name)]
    return Subscription(
        topics=topics,
        writes=(*(topic + DEAD_LETTER_SUFFIX for topic in topics), *retries, *answers),
        lanes=len(topics),
        lane_of=topics.index,
    )
