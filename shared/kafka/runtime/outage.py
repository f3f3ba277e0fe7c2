"""Whether what the function stands on is away: the object store, say. Pure: it is told what happened, and when.

An outage is no fault of a record. While there is one consumption holds: nothing is taken, records that failed with
`Unavailable` stay in the books, and no attempt is counted. One of them at a time is tried, each time another, until one
succeeds: then all go on.

There are two signs of an outage. The function's own `check` fails as well. Or `check` passes, and still one record
after the other fails, of which each alone might be at fault itself: a store that answers and refuses every write.
Then records that have not failed yet are tried second by second, so that those which would succeed do not wait for the
others; and one that failed again and again is at fault itself after all.
"""

import logging

from shared.printable import words_of

log = logging.getLogger(__name__)

RUN = 5
"""So many distinct records that fail, with no success between, are no coincidence: fewer may share a fault."""
MOST_FAILURES = 4
"""A record that fails so often while what the function stands on answers does so by its own fault: three tries."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
"""Between two tries; it doubles up to here."""
_TELL_AGAIN_SECONDS = 60.0


class Outage:
    """Tells an outage from a record's own failure, and when to try again. `now` is monotonic time in seconds."""

    def __init__(self, name: str) -> None:
        """`name` is whose log lines these are."""
        self.holding = False
        self.answers = True
        """While holding: whether what the function stands on answered its `check` when it was asked last."""
        self._name = name
        self._why = ""
        self._since = 0.0
        self._failed: set[int] = set()
        self._due = 0.0
        self._new_due = 0.0
        self._wait = FIRST_WAIT_SECONDS
        self._told = 0.0

    def failed(self, record: int, error: BaseException | None, away: BaseException | None, *, now: float) -> bool:
        """A record, told apart by any number of its own, failed with `Unavailable`; `away` is what `check` raised, None
        if it passed. Returns whether the record is held; if not, the failure counts as its own.
        """
        self.answers = away is None
        self._failed.add(record)
        if not self.holding and (away is not None or len(self._failed) >= RUN):
            self._begin(away or error, now)
        return self.holding

    def succeeded(self, *, tried: bool, now: float) -> None:
        """A record was handled to its end; `tried`: it was begun while consumption held, to find out whether it goes
        well again. What was begun before tells nothing of what is away by now.
        """
        self._failed.clear()
        if self.holding and (tried or self.answers):
            self.end(now=now)

    def may_try(self, now: float) -> bool:
        """Whether it is time to try a record again. The next time is later."""
        if not self.holding or now < self._due:
            return False
        self._wait = min(2 * self._wait, LONGEST_WAIT_SECONDS)
        self._due = now + self._wait
        return True

    def may_try_new(self, now: float) -> bool:
        """Whether it is time to try a record that has not failed. Only where what the function stands on answers: else
        it is a try like any other.
        """
        if not self.answers:
            return self.may_try(now)
        if not self.holding or now < self._new_due:
            return False
        self._new_due = now + FIRST_WAIT_SECONDS
        return True

    def try_at_once(self, now: float) -> None:
        """The record that was tried ended, and told nothing: another is tried now."""
        self.answers = True
        self._due = now

    def end(self, *, now: float) -> None:
        """Go on: a record succeeded, or none is held any more."""
        self.holding = False
        self._failed.clear()
        log.warning("%s: goes on after %d s", self._name, now - self._since)

    def tell(self, now: float) -> None:
        """Say again from time to time that consumption holds."""
        if self.holding and now - self._told >= _TELL_AGAIN_SECONDS:
            self._told = now
            log.error("%s: %s", self._name, self.reason(now))

    def reason(self, now: float) -> str | None:
        """What holds, and since when, for an operator; None: nothing does."""
        if not self.holding:
            return None
        seconds = round(now - self._since)
        since = f"for {seconds} s" if seconds else "from now on"
        return f"holding {since}, losing nothing, until this is over: {self._why}"

    def _begin(self, why: BaseException | None, now: float) -> None:
        self.holding = True
        self._why = "" if why is None else words_of(why)
        self._since = now
        self._wait = FIRST_WAIT_SECONDS
        self._due = self._new_due = now + self._wait
        self._told = now
        log.error("%s: %s", self._name, self.reason(now))
