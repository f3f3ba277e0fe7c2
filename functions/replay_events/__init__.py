"""Past product events -> video.requested.bulk | video.ready (already rendered), for regeneration: `skureel replay`.

A product's latest event is derived again, with the model and the templates of today; what that makes different has
another video id, and the old clips stay. How a product becomes a request is not known here: whoever composes the
command hands in the derivation, so that there is one of it.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from functions.replay_events.notebook import Mark, Notebook, Step
from functions.replay_events.pace import Pace, Rate
from functions.replay_events.plan import Cost, Derive, Find, Plan, cost_of, describe, make_plan
from functions.replay_events.selection import LatestEvents, Selection, Window
from shared.errors import PermanentError
from shared.events import ENTRY_TYPES, BulkVideoRequested, Event, type_of_answer
from shared.events.payload import Payload
from shared.events.sequence import EXTENSION as SEQUENCE
from shared.kafka import Bookmark, History, Ledger, Partition, missing_topics, topic_name
from shared.settings import KafkaSettings

__all__ = ["Pace", "Plan", "Rate", "Replay", "Selection", "describe"]

SOURCE = "/skureel/replay_events"
RECENT_CLIPS = 200
"""Clips of each partition of video.ready that tell how long drawing takes."""

_TRACE_LINK = "linkedtraceparent"

Report = Callable[[int, int], None]
"""Called with how many products are done and how many there are to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """One replay of a selection, from its start to its end, crashes between. Kept in the ledger's notes."""

    begun_ms: int
    window: Window
    cursors: Mapping[Partition, int]
    """The first offset of each partition that is not done yet."""
    is_resumed: bool

    @property
    def begun(self) -> datetime:
        """When the run was begun."""
        return datetime.fromtimestamp(self.begun_ms / 1000, UTC)

    def is_done(self, mark: Mark) -> bool:
        """Whether an earlier process has answered the event there."""
        return mark.offset < self.cursors.get(mark.partition, 0)

    def bookmarks(self, offsets: Mapping[Partition, int], *, finished: bool = False) -> dict[Partition, Bookmark]:
        """What to write into the ledger for these partitions."""
        return {
            partition: Bookmark(
                offset,
                json.dumps(
                    {
                        "begun_ms": self.begun_ms,
                        "until_ms": self.window.until_ms,
                        "end": self.window.ends[partition],
                        "finished": finished,
                    }
                ),
            )
            for partition, offset in offsets.items()
        }


class Replay:
    """A replay. Use as a context manager; `plan` first, then, unless nobody wants it, `send`.

    The same selection started again after a crash goes on where it stopped: `send` commits, in one transaction with
    each batch, how far it came. Two processes with the same selection do not both send: the later one takes over.
    Event ids depend on the product event and the run alone, so what was sent twice (only with plain offsets) is one.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        selection: Selection,
        *,
        derive: Derive,
        find: Find,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives epoch seconds."""
        self._kafka = kafka
        self._selection = selection
        self._derive = derive
        self._find = find
        self._clock = clock
        self._stack = ExitStack()
        self._history: History
        self._ledger: Ledger
        self._notebook: Notebook
        self._latest: LatestEvents
        self.run: Run
        self.unreadable = 0
        """Records of the window that are no events."""

    def __enter__(self) -> "Replay":
        with ExitStack() as stack:
            since = self._selection.since
            self._history = stack.enter_context(
                History(
                    self._kafka, ENTRY_TYPES, since_ms=_ms(since) if since else None, on_unreadable=self._unreadable
                )
            )
            if not self._history.ends:
                raise missing_topics(self._kafka, [topic_name(self._kafka, name) for name in ENTRY_TYPES])
            self._notebook = stack.enter_context(Notebook())
            self._ledger = stack.enter_context(Ledger(self._kafka, self._selection.name))
            self.run = self._unfinished_run() or self._new_run()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def plan(self) -> Plan:
        """Read the window, keep each product's latest event, and decide what becomes of it."""
        self._latest = LatestEvents(self._selection, self.run.window, self._notebook)
        for past in self._history.read():
            self._latest.add(past)
        return make_plan(
            self._latest,
            self._selection,
            self._derive,
            self._find,
            self._notebook,
            # The start of the run is a number that no earlier forced replay has used, and the same after a crash.
            generation=self.run.begun_ms // 1000 if self._selection.force else 0,
            is_done=self.run.is_done,
        )

    def missing(self) -> list[str]:
        """The products that were asked for by id and have no event in the window. Known once `plan` has read it."""
        return sorted(name for name in self._selection.products if self._notebook.latest_inside(name) is None)

    def cost(self, plan: Plan) -> Cost:
        """What drawing will cost, by the clips drawn lately."""
        with History(self._kafka, ("video.ready",), last=RECENT_CLIPS, on_unreadable=lambda _: None) as recent:
            return cost_of(plan.to_draw, (past.event.data for past in recent.read()))

    def send(self, plan: Plan, rate: Rate, report: Report = lambda done, total: None, pace: Pace | None = None) -> int:
        """Send what the plan says, at the rate; returns how many events went out.

        A product that gets a newer event meanwhile is left to that one. Raises TemporaryError when Kafka or the store
        fails: the same replay goes on from there when it is started again.
        """
        self._claim()
        pace = pace or Pace(rate)
        steps = plan.steps()
        sent = done = 0
        while batch := list(islice(steps, rate.batch)):
            done += len(batch)
            batch = [step for step in batch if not self.run.is_done(step.mark)]
            if not batch:
                continue
            pace.wait_for(len(batch))
            for past in self._history.news():
                self._latest.add(past)
            events = [self._answer(step) for step in batch if not self._is_out_of_date(step)]
            come = {step.mark.partition: step.mark.offset + 1 for step in batch}
            self._ledger.write(events, self.run.bookmarks(come))
            sent += len(events)
            report(done, plan.to_send)
        self._ledger.write([], self.run.bookmarks(self.run.window.ends, finished=True))
        return sent

    def _is_out_of_date(self, step: Step) -> bool:
        return self._latest.is_out_of_date(step.request.product_id, step.mark)

    def _claim(self) -> None:
        """Become the only process of this run, and note that it has begun."""
        self._ledger.claim()
        unfinished = self._unfinished_run()
        if unfinished is None and not self.run.is_resumed:
            self._ledger.write([], self.run.bookmarks({p: self._history.starts[p] for p in self.run.window.ends}))
        elif unfinished is not None and unfinished.begun_ms == self.run.begun_ms:
            # What another process has sent since the plan was made is not sent again.
            self.run = unfinished
        else:
            raise PermanentError(
                "the same replay was begun or ended elsewhere after this one was planned; start it again",
                reason="superseded",
            )

    def _unfinished_run(self) -> Run | None:
        bookmarks = self._ledger.bookmarks(self._history.ends)
        notes = {partition: json.loads(bookmark.note) for partition, bookmark in bookmarks.items() if bookmark.note}
        if not notes or all(note["finished"] for note in notes.values()):
            return None
        note = next(iter(notes.values()))
        return Run(
            begun_ms=note["begun_ms"],
            window=Window({partition: note["end"] for partition, note in notes.items()}, note["until_ms"]),
            cursors={partition: bookmarks[partition].offset for partition in notes},
            is_resumed=True,
        )

    def _new_run(self) -> Run:
        until = self._selection.until
        window = Window(dict(self._history.ends), _ms(until) if until else None)
        return Run(begun_ms=int(self._clock() * 1000), window=window, cursors={}, is_resumed=False)

    def _answer(self, step: Step) -> Event[Any]:
        """The clip that is there, or the request for it in the bulk lane."""
        record = self._find(step.request.video_id) if step.is_there else None
        if record is None:
            return self._event(step, BulkVideoRequested(**dict(step.request)))
        ready = record.ready(step.request.product_id, step.request.experiment, cache_hit=True)
        return self._event(step, ready)

    def _event(self, step: Step, data: Payload) -> Event[Any]:
        """An event of this run: its id is this run's own, and so is its trace, which names the old one. It is as new as
        the product event that it answers again."""
        cause = step.cause
        type_name = type_of_answer(data)
        run = f"{self._selection.name}-{self.run.begun_ms}"
        identity = _digest(type_name, cause.source, cause.id, run)
        extensions = {
            SEQUENCE: step.mark.sequence,
            "traceparent": f"00-{_digest('trace', identity)}-{_digest('span', identity)[:16]}-01",
        }
        if cause.traceparent is not None:
            extensions[_TRACE_LINK] = cause.traceparent
        return Event(
            type=type_name,
            source=SOURCE,
            id=identity,
            data=data,
            time=datetime.fromtimestamp(self._clock(), UTC),
            subject=cause.subject,
            extensions=extensions,
        )

    def _unreadable(self, _: object) -> None:
        self.unreadable += 1


def _digest(*parts: str) -> str:
    """32 hexadecimal digits, a function of the parts alone."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
