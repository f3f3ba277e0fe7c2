"""Delivery over Kafka: the worker that runs functions, the publisher, the tail, topics and dead letters.

The only package that imports the Kafka client. Functions never see it: they take an event and return events.
"""

from shared.kafka.publisher import Publisher
from shared.kafka.serving import serve
from shared.kafka.tailing import Unreadable, tail
from shared.kafka.topics import check, create_topics, needed_topics
from shared.kafka.worker import Worker

__all__ = [
    "Publisher",
    "Unreadable",
    "Worker",
    "check",
    "create_topics",
    "needed_topics",
    "serve",
    "tail",
]
