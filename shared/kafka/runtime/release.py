"""A release: finished records of several partitions, whose outputs and offsets leave the worker together; and the one
table from an error to what it means for a release.
"""

import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CommitFailedError,
    IllegalGenerationError,
    InvalidRecordError,
    MessageSizeTooLargeError,
    RebalanceInProgressError,
    RecordListTooLargeError,
    UnknownMemberIdError,
)

from shared.errors import ConfigurationError
from shared.kafka.runtime.tracker import Part, Work


class Verdict(Enum):
    """How a release ended. The value is the label of the metric."""

    RELEASED = "released"
    SENT = "sent"
    """Plain way only: outputs are flushed, offsets are still to be committed."""
    STALE = "stale"
    """The group membership was out of date; nothing was committed."""
    REFUSED = "refused"
    """The broker refused single records; nothing was committed."""
    FAILED = "failed"
    """Anything else; nothing was committed."""
    UNCERTAIN = "uncertain"
    """The producer was lost while it ended the transaction: the group's committed offsets tell."""
    IMPOSSIBLE = "impossible"
    """This process may not do it; an operator must act."""


@dataclass(frozen=True, slots=True)
class Release:
    """Finished records of several partitions, to be released together."""

    parts: list[Part]
    group: Any
    """The consumer's group metadata when the release was put together: a stale one is fenced (KIP-447)."""
    started: float = field(default_factory=time.monotonic)

    @property
    def offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """What to commit."""
        return {part.tracker.partition: OffsetAndMetadata(part.offset, "", -1) for part in self.parts}

    def works(self) -> list[Work]:
        """All records that it releases, per partition in offset order."""
        return [work for part in self.parts for work in part.works]


@dataclass(frozen=True, slots=True)
class Ended:
    """A release that has ended, and how."""

    release: Release
    verdict: Verdict
    error: BaseException | None = None
    refused: tuple[Work, ...] = ()
    """The records whose outputs the broker refused."""


class Unheard(Exception):
    """A transaction was to be committed, and nobody heard whether it was."""


class OutputsRefused(Exception):
    """The broker refused outputs of these records, one by one, for good."""

    def __init__(self, works: list[Work], cause: BaseException) -> None:
        super().__init__(str(cause))
        self.works = tuple(works)
        self.cause = cause


REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError)
"""What the broker says of a batch or a record that it will never take."""

VERDICTS: tuple[tuple[type[BaseException], Verdict], ...] = (
    (AuthorizationError, Verdict.IMPOSSIBLE),
    (ConfigurationError, Verdict.IMPOSSIBLE),
    # The group has moved on: another owner repeats the work, or this one commits again after it has rejoined.
    # kafka-python raises CommitFailedError for the first two of the broker's three codes.
    (CommitFailedError, Verdict.STALE),
    (IllegalGenerationError, Verdict.STALE),
    (UnknownMemberIdError, Verdict.STALE),
    (RebalanceInProgressError, Verdict.STALE),
    (OutputsRefused, Verdict.REFUSED),
    (Unheard, Verdict.UNCERTAIN),
    (BaseException, Verdict.FAILED),
)
"""First row whose class matches."""


def verdict_of(error: BaseException) -> Verdict:
    """What an error means for the release that it ended."""
    return next(verdict for kind, verdict in VERDICTS if isinstance(error, kind))
