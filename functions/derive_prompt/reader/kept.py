"""Answers that were given, kept in the object store: who asked first decides, and everybody after reads the same.

    readings/<sha256 of the question and of who reads>

A model may say another thing each time; a product that is redelivered, replayed or handled by another process asks for
the same clip all the same. To have products read anew, delete the objects or change SKUREEL_READER__REVISION.
"""

from pydantic import ValidationError

from functions.derive_prompt.reader.answer import Answer
from shared.bucket import READINGS
from shared.errors import PermanentError, TemporaryError, Unavailable
from shared.objects import ObjectStore
from shared.validation import described

_LIMIT_BYTES = 64 * 1024


class KeptAnswers:
    """Answers by the digest of what was read. Safe to use from several threads."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def find(self, digest: str) -> Answer | None:
        """The answer that was kept, or None. TemporaryError where the store does not answer."""
        key = READINGS + digest
        try:
            stored = self._objects.get(key, limit_bytes=_LIMIT_BYTES)
        except PermanentError as error:
            # The key is of our own making: what is wrong with it is no fault of the product, and can be mended.
            raise Unavailable(str(error)) from error
        if stored is None:
            return None
        try:
            return Answer.model_validate_json(stored)
        except ValidationError as error:
            raise TemporaryError(
                f"object {key} is no readable answer ({described(error)}); delete it to have the product read again"
            ) from error

    def keep(self, digest: str, answer: Answer) -> Answer:
        """Keep an answer. Returns the one that holds: another's where it was first."""
        if self._objects.put_new(READINGS + digest, answer.model_dump_json().encode(), "application/json"):
            return answer
        held = self.find(digest)
        if held is None:
            raise TemporaryError(f"object {READINGS}{digest} was there and is gone; the product is read again")
        return held
