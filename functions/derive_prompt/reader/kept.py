"""Answers that were given, kept in the object store: who asked first decides, and everybody after reads the same.

    readings/<sha256 of the question and of who reads>

A model may say another thing each time; a product that is redelivered, replayed or handled by another process asks for
the same clip all the same. To have products read anew, delete the objects or change SKUREEL_READER__REVISION.
"""

import logging

from pydantic import ValidationError

from functions.derive_prompt.reader.answer import Answer
from shared.bucket import READINGS
from shared.errors import PermanentError, TemporaryError, Unavailable
from shared.objects import ObjectStore
from shared.validation import described

_LIMIT_BYTES = 64 * 1024

log = logging.getLogger(__name__)


class KeptAnswers:
    """Answers by the digest of what was read. Safe to use from several threads."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def find(self, digest: str) -> Answer | None:
        """The answer that was kept, or None; something else in its place counts as none, and the next one replaces it.

        TemporaryError where the store does not answer.
        """
        key = READINGS + digest
        try:
            stored = self._objects.get(key, limit_bytes=_LIMIT_BYTES)
            return None if stored is None else Answer.model_validate_json(stored)
        except ValidationError as error:
            damage = described(error)
        except PermanentError as error:
            if error.reason != "object-too-large":
                # The key is of our own making: what is wrong with it is no fault of the product, and can be mended.
                raise Unavailable(str(error)) from error
            damage = "larger than any"
        log.warning("object %s is no answer (%s); the product is read again, and its answer replaced", key, damage)
        return None

    def keep(self, digest: str, answer: Answer) -> Answer:
        """Keep an answer. Returns the one that holds: another's where it was first."""
        key, data = READINGS + digest, answer.model_dump_json().encode()
        if self._objects.put_new(key, data, "application/json"):
            return answer
        # Looked up before it is read, so that what is replaced is what was read, or nothing.
        facts = self._objects.head(key)
        held = self.find(digest)
        if held is not None:
            return held
        if facts is not None and self._objects.replace(key, data, "application/json", etag=facts.etag):
            return answer
        raise TemporaryError(f"object {key} was there and is another; the product is read again")
