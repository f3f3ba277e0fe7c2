"""What is to be told of a feed: rows that could not be read, at once, and columns that say nothing here, at the end."""

from collections.abc import Callable, Iterator

from shared.plural import counted

SHOWN = 20
"""Bad rows that are told one by one, and columns that are told by name."""
_KEPT_NAMES = 1000
"""Each row of JSON may have names of its own: of more than these only the number is kept."""


class Notes:
    """What a feed holds that did not become a product's field. `tell` is called with a line for people."""

    def __init__(self, name: str, tell: Callable[[str], None]) -> None:
        self.name = name
        self.good = 0
        """Products that were made of the feed."""
        self.bad = 0
        """Rows that could not be read."""
        self._tell = tell
        self._bad_lines: list[int] = []
        self._unread: dict[str, int] = {}
        self._unnamed = 0
        self._remarks: dict[str, tuple[int, int]] = {}

    def place(self, line: int) -> str:
        """Where a row stands, for people."""
        return f"{self.name}, line {line}"

    def tell_bad(self, line: int, problem: str) -> None:
        """A row that could not be read: the first ones are told now, all are counted."""
        self.bad += 1
        if self.bad <= SHOWN:
            self._bad_lines.append(line)
            self._tell(f"{self.place(line)}: {problem}")

    def leave(self, column: str) -> None:
        """A column that is filled in a row, and that no field of a product is read from."""
        if column in self._unread or len(self._unread) < _KEPT_NAMES:
            self._unread[column] = self._unread.get(column, 0) + 1
        else:
            self._unnamed += 1

    def remark(self, line: int, fact: str) -> None:
        """A fact about a row that is read all the same, told once with its number."""
        if fact in self._remarks or len(self._remarks) < _KEPT_NAMES:
            count, first = self._remarks.get(fact, (0, line))
            self._remarks[fact] = count + 1, first

    def told(self) -> Iterator[str]:
        """What is to be said when all has been read, but for the bad rows."""
        for fact, (count, first) in list(self._remarks.items())[:SHOWN]:
            yield f"{self.name}: {fact} ({counted(count, 'row')}, the first in line {first})"
        if self._unread:
            ranked = sorted(self._unread.items(), key=lambda item: -item[1])
            named = ", ".join(f"{column} ({counted(count, 'row')})" for column, count in ranked[:SHOWN])
            more = f" and {len(ranked) - SHOWN} more" if len(ranked) > SHOWN or self._unnamed else ""
            yield (
                f"{self.name}: not understood, and kept as it is: {named}{more}; "
                "if one of them says what can be seen, name it in a --mapping"
            )

    def told_bad(self) -> str | None:
        """How many rows could not be read, and where; None if all could."""
        if not self.bad:
            return None
        lines = ", ".join(map(str, self._bad_lines))
        more = f" and {self.bad - len(self._bad_lines)} more" if self.bad > len(self._bad_lines) else ""
        return f"{self.name}: {counted(self.bad, 'row')} could not be read (line{'s'[: self.bad > 1]} {lines}{more})"
