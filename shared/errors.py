"""The one tree of errors. The delivery runtime decides by these classes what becomes of a record.

    SkureelError
    ├── TemporaryError        the same work may succeed later: retried, then a dead letter
    │   ├── Overdue           its handler took too long and was given up
    │   ├── UnreadableRecord  a clip's stored record is one of another release
    │   ├── DamagedRecord     what is stored in the place of a clip's record is none: it is drawn again
    │   ├── PhotoNotYet       a product's photo cannot be had: waited for, then the product is rejected
    │   ├── DeviceOutOfMemory the device could not hold this clip, and has let go of it
    │   └── Unavailable       what the work stands on does not answer: no fault of the record
    │       └── NotANumber    the device's networks give NaN or infinity: it may be broken
    ├── PermanentError        the same work can never succeed: a dead letter at once
    │   ├── PhotoRefused      a product's photo can be no first frame: the product is rejected
    │   └── RequestRefused    no clip can be as it was asked for: whoever asked is told
    ├── ConfigurationError    the process cannot do its job as it is set up: the command ends with exit code 2
    │   ├── CheckpointError   a model folder that cannot be loaded
    │   └── WrongSettings     variables that cannot be taken, all of them
    └── Superseded            a later event has been answered: this one needs no answer, and ends without

A message has a subject, a fact and a next step. Errors of libraries are translated into these where the library is
called, never further up.
"""

from collections.abc import Sequence
from typing import ClassVar

PHOTO_WAIT_SECONDS = 15.0
INVALID_IMAGE = "invalid-image"
"""The reason of products that are rejected for their photo."""
PHOTO_HELP = "商品图片无法使用，请重新上传一张 JPEG、PNG 或 WebP 图片后再提交。"
"""What their merchants are told in Chinese, behind the fact in English."""


class SkureelError(Exception):
    """Base of every error that skureel raises on purpose."""


class TemporaryError(SkureelError):
    """The same work may succeed later, e.g. the object store does not answer.

    `delay_seconds` asks for at least that wait before the next attempt; None leaves it to the retry policy. `reason` is
    the slug of the kind; of most it says no more than this.
    """

    reason: ClassVar[str] = "temporary"

    def __init__(self, message: str, *, delay_seconds: float | None = None) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds


class PhotoNotYet(TemporaryError):
    """A product's photo cannot be had yet: not uploaded, or its host does not give it. The message suits a merchant,
    who is told once no further round is left (`Event.last_round`). It asks for a wait that no attempt in place grants:
    each may hold a thread for as long as a host drips.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, delay_seconds=PHOTO_WAIT_SECONDS)


class Overdue(TemporaryError):
    """A handler has had its record for longer than any may take, and was given up."""

    reason = "overdue"


class UnreadableRecord(TemporaryError):
    """A clip's stored record is one of another release, or was changed by hand. It is kept as it is: a newer worker may
    answer the next attempt, or whoever operates the bucket mend or delete it."""

    reason = "unreadable-record"


class DamagedRecord(TemporaryError):
    """What is stored in the place of a clip's record is none of it. Whoever draws the clip next replaces it."""


class DeviceOutOfMemory(TemporaryError):
    """The device could not hold the clip. The engine has let go of it and can render again."""


class Unavailable(TemporaryError):
    """What every record's work stands on does not answer, e.g. the object store. No fault of the record."""


class NotANumber(Unavailable):
    """A clip's numbers became NaN or infinite on the device, and nothing was made of them.

    Whether the device is broken or this one clip overflows, only another clip tells: a worker draws its warm-up again.
    Where that fails too, no record is to blame. Otherwise the clip is tried again, which helps on a device that fails
    now and then; one that overflows each time ends as a dead letter.
    """


class PermanentError(SkureelError):
    """The same work can never succeed, e.g. an event without a product id.

    `reason` is a stable, machine-readable slug such as `invalid-json`; it travels in the dead letter's headers.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class PhotoRefused(PermanentError):
    """A product's photo can never be a first frame. The merchant is told: the product is rejected, not lost."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=INVALID_IMAGE)


class RequestRefused(PermanentError):
    """No clip can be as somebody asked for it, outside of events. They are told what can be asked for."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="invalid-request")


class ConfigurationError(SkureelError):
    """The process cannot do its job as it is set up, e.g. a missing bucket or a model folder without a VAE."""


class CheckpointError(ConfigurationError):
    """A model folder that cannot be loaded: incomplete, damaged, or another model's."""


class WrongSettings(ConfigurationError):
    """Variables of the environment that cannot be taken; `problems` has a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Superseded(SkureelError):
    """A later event of the same product has been answered. No failure: this one ends without an answer."""
