"""Delivery over Kafka: the worker that runs functions, the publisher, the tail, topics and dead letters.

The only package that imports the Kafka client. Functions never see it: they take an event and return events.
"""

from shared.kafka.client import topic_name
from shared.kafka.codecs import missing_codecs
from shared.kafka.failures import missing_topics
from shared.kafka.operating.deadletters import (
    DeadLetter,
    Replayed,
    list_dead_letters,
    replay_dead_letters,
    show_dead_letter,
)
from shared.kafka.operating.history import Bookmark, History, Ledger, Partition, Past
from shared.kafka.operating.lag import Lag, read_lag
from shared.kafka.operating.publisher import Publisher
from shared.kafka.operating.tailing import Unreadable, tail
from shared.kafka.operating.topics import check, create_topics, needed_topics
from shared.kafka.runtime.serving import serve
from shared.kafka.runtime.worker import Worker

__all__ = [
    "Bookmark",
    "DeadLetter",
    "History",
    "Lag",
    "Ledger",
    "Partition",
    "Past",
    "Publisher",
    "Replayed",
    "Unreadable",
    "Worker",
    "check",
    "create_topics",
    "list_dead_letters",
    "missing_codecs",
    "missing_topics",
    "needed_topics",
    "read_lag",
    "replay_dead_letters",
    "serve",
    "show_dead_letter",
    "tail",
    "topic_name",
]
