"""What orders the answers for one product, told from a record: the `sequence` of its event.

An event from outside is ordered by its own time, or by its record's where it has none, and then by where it first lay.
A sequence that its producer wrote is not believed: two producers of one product would each count for themselves.
Events of ours hand on what they were given.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.events import ENTRY_TYPES, Event
from shared.events.sequence import EXTENSION, is_sequence, sequence
from shared.kafka.story import Story


def ordered(event: Event[Any], story: Story, *, now: float) -> Event[Any]:
    """The event with its `sequence`. `story` tells where it first was, and when it was first tried; else that is `now`.

    Nothing is later than when it was first tried: for an hour, what a clock dated that is an hour ahead would
    supersede all that comes after it.
    """
    if event.type not in ENTRY_TYPES and is_sequence(event.sequence):
        return event
    first_tried = datetime.fromisoformat(story.first_failed_at) if story.first_failed_at else _moment(now)
    moment = min(event.time or _moment(story.written_at_ms / 1000), first_tried)
    rank = ENTRY_TYPES.index(event.type) if event.type in ENTRY_TYPES else 0
    text = sequence(moment, rank, story.partition, story.offset)
    return replace(event, extensions={**event.extensions, EXTENSION: text})


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
