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
    if event.type not in _RANKS and is_sequence(event.sequence):
        return event
    first_tried = datetime.fromisoformat(story.first_failed_at).timestamp() if story.first_failed_at else now
    # The zero time of Go and .NET, 0001-01-01, is none.
    moment = event.time if event.time is not None and event.time.year > 1 else None
    seconds = moment.timestamp() if moment is not None else story.written_at_ms / 1000
    if moment is None or seconds > first_tried:
        moment = datetime.fromtimestamp(min(seconds, first_tried), UTC)
    text = sequence(moment, _RANKS.get(event.type, 0), story.partition, story.offset)
    return replace(event, extensions={**event.extensions, EXTENSION: text})


_RANKS = {name: rank for rank, name in enumerate(ENTRY_TYPES)}
