"""How far functions are behind: `skureel lag`.

What is counted is what KEDA counts: committed offsets against the ends of the logs. An operator who sees nothing here
and a pod that is not scaled to zero has found a defect.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.kafka.client import any_retry_topic, group_name, topic_name
from shared.kafka.failures import missing_topics, translated
from shared.kafka.operating.window import LogWindow
from shared.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Lag:
    """One function's place in one partition. `committed` None: it has never committed there and begins at the start."""

    function: str
    topic: str
    partition: int
    committed: int | None
    end: int
    offsets: int
    """Offsets between the two: records, in work ones among them, and the markers that end transactions."""


def read_lag(
    settings: KafkaSettings, consumed: Mapping[str, Sequence[str]], carried: Mapping[str, Sequence[str]]
) -> Iterator[Lag]:
    """The lag of each function in each partition: of those that read event types (`consumed`, by name), and of those
    that read the retry topics of event types (`carried`).

    Topics that do not exist are left out. Raises TemporaryError when no broker answers, ConfigurationError when not
    one topic is there.
    """
    found = False
    read = {
        function: "|".join(f"^{re.escape(topic_name(settings, name))}$" for name in types)
        for function, types in consumed.items()
    }
    read |= {function: any_retry_topic(settings, types) for function, types in carried.items()}
    for function, topics in read.items():
        for part in _lag_of_group(settings, function, topics):
            found = True
            yield part
    if not found:
        raise missing_topics(settings, [topic_name(settings, name) for types in consumed.values() for name in types])


def _lag_of_group(settings: KafkaSettings, function: str, topics: str) -> Iterator[Lag]:
    subject = f"lag of {function}"
    # An open transaction hides records from readers, not from KEDA.
    with LogWindow(
        settings, subject=subject, group=group_name(settings, function), isolation_level="read_uncommitted"
    ) as window:
        partitions = window.partitions(window.topics(topics))
        begins, ends = window.begins(partitions), window.ends(partitions)
        for partition in partitions:
            with translated(settings, subject):
                place = window.committed(partition)
            committed = place.offset if place is not None else None
            # What retention has deleted is nobody's backlog.
            start = max(begins[partition], committed or 0)
            yield Lag(
                function=function,
                topic=partition.topic,
                partition=partition.partition,
                committed=committed,
                end=ends[partition],
                offsets=max(0, ends[partition] - start),
            )
