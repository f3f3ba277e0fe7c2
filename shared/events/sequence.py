"""What orders the answers for one product: the CloudEvents extension `sequence`.

    2026-11-21T08:30:00.000000Z-1-0000000003-0000000000000000042

The time of the product event in UTC, the place of its type in the table (an update comes after the creation of the same
moment), and the partition and offset where it first lay. All have a fixed width: comparing two of them as texts
compares these parts, one after the other. Every event that a product event leads to carries the same one.

Source: the CloudEvents Sequence extension, which asks for a text that sorts.
"""

import re
from datetime import UTC, datetime

EXTENSION = "sequence"
_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z-\d-\d{10}-\d{19}")


def sequence(moment: datetime, rank: int, partition: int, offset: int) -> str:
    """The text that orders an event of that time, whose type has that rank, at that place."""
    told = moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return f"{told}Z-{rank}-{partition:010}-{offset:019}"


def is_sequence(text: str) -> bool:
    """Whether a text is one of these."""
    return text.isascii() and _FORM.fullmatch(text) is not None
