"""Reader: a product's text -> the one answer that holds for it, asked for where none is kept."""

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from functions.derive_prompt.reader.answer import NOTHING, Answer, UnusableAnswer, parse
from functions.derive_prompt.reader.counting import ASKED, REFUSED, SECONDS
from functions.derive_prompt.reader.endpoint import EndpointModel
from functions.derive_prompt.reader.kept import KeptAnswers
from functions.derive_prompt.reader.local_model import LocalModel
from functions.derive_prompt.reader.question import REVISION, question_of
from functions.derive_prompt.reader.support import Refused
from functions.derive_prompt.recognise.understanding import Understanding, VisibleFields
from shared.errors import TemporaryError, Unavailable
from shared.objects import ObjectStore
from shared.settings import ReaderSettings

log = logging.getLogger(__name__)

_TRIAL = '{"name":["white ceramic mug"]}'
UNSURE = 0.65
"""Rules that are less sure than this have a rival, or a word that is hardly the thing."""


class Model(Protocol):
    """A language model that answers one question at a time, or several."""

    name: str
    """What it is called before people."""

    @property
    def identity(self) -> str:
        """What tells it from other models; known once it is started."""

    def start(self) -> None:
        """Load it, where there is anything to load."""

    def check(self) -> None:
        """Ask whether it answers. Raises Unavailable or ConfigurationError."""

    def ask(self, question: str) -> str:
        """Its answer's text. Raises TemporaryError, of which UnusableAnswer says that it did answer."""


class Reader:
    """A model with the answers it gave. Safe to use from several threads. Without `kept`, nothing is kept."""

    def __init__(self, model: Model, settings: ReaderSettings, kept: KeptAnswers | None) -> None:
        self._model = model
        self._kept = kept
        self._is_asked_always = settings.asked == "always"
        self._rules_decide = settings.when_away == "rules"
        self._revision = settings.revision or ""

    def start(self) -> None:
        """Load the model, and check that it answers."""
        self._model.start()
        try:
            self._model.check()
        except Unavailable as error:
            if not self._rules_decide:
                raise
            log.warning("%s; the rules decide while it is away", error)

    @property
    def name(self) -> str:
        """Who reads, for people."""
        return self._model.name

    def check(self) -> None:
        """Ask whether a product can be read. Raises Unavailable or ConfigurationError."""
        if not self._rules_decide:
            self._model.check()

    def try_once(self) -> None:
        """Have the model read a product that needs none. Raises TemporaryError or ConfigurationError."""
        self._model.check()
        parse(self._model.ask(_TRIAL))

    def is_needed(self, understood: Understanding) -> bool:
        """Whether a product is to be read: where the rules name no thing, or are not sure of it. What is in no language
        that they know is not, for nobody could tell whether its words support an answer."""
        if understood.problem == "language-unsupported":
            return False
        return self._is_asked_always or understood.problem is not None or understood.choice.confidence < UNSURE

    def answer(self, fields: VisibleFields, *, last_round: bool = False) -> Answer | None:
        """The answer that holds for a product's text; None: the reader is away, and the rules decide this once.

        Raises what the model raises where products wait for it, unless this is the last round of a product and the
        model answers others; and TemporaryError where the store does not answer.
        """
        question = question_of(fields)
        digest = self._digest(question)
        known = self._kept.find(digest) if self._kept is not None else None
        if known is not None:
            ASKED.labels("kept").inc()
            return known
        try:
            answer = self._asked(question)
        except TemporaryError as error:
            if not (self._rules_decide or (last_round and self._answers())):
                raise
            log.warning("%s; the rules decide", error)
            if not isinstance(error, UnusableAnswer):
                return None
            answer = NOTHING
        return answer if self._kept is None else self._kept.keep(digest, answer)

    def count(self, refused: Iterable[Refused]) -> None:
        """Count what was refused of an answer."""
        for entry in refused:
            REFUSED.labels(entry.slot).inc()

    def _digest(self, question: str) -> str:
        read = "\n".join((REVISION, self._model.identity, self._revision, question))
        return hashlib.sha256(read.encode()).hexdigest()

    def _asked(self, question: str) -> Answer:
        try:
            with SECONDS.time():
                answer = parse(self._model.ask(question))
        except TemporaryError as error:
            ASKED.labels("unusable" if isinstance(error, UnusableAnswer) else "away").inc()
            raise
        ASKED.labels("answered").inc()
        return answer

    def _answers(self) -> bool:
        try:
            self._model.check()
        except Unavailable:
            return False
        return True


def reader_of(settings: ReaderSettings, objects: ObjectStore | None) -> Reader | None:
    """The reader that is set, not started; None: there is none. Answers are kept in `objects`."""
    kept = None if objects is None else KeptAnswers(objects)
    if settings.endpoint is not None:
        return Reader(EndpointModel(settings.endpoint, settings), settings, kept)
    if settings.model is not None:
        return Reader(LocalModel(Path(settings.model), settings), settings, kept)
    return None
