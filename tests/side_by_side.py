"""How tests are shared out among processes: a module stays in one, with its servers, and what takes longest goes first.

xdist's own groups (`xdist_group`) come to nothing: 3.8 writes them where pytest 9.2 no longer reads.
"""

from collections import Counter

import pytest
from xdist.scheduler import LoadScopeScheduling

ONE_BY_ONE = ("tests/delivery/test_chaos.py",)
"""Modules whose tests each take a minute, and go apart."""


class Sharing(LoadScopeScheduling):
    """Gives a process the next part whenever it has little left to do."""

    def _split_scope(self, nodeid: str) -> str:
        return part_of(nodeid)


def part_of(nodeid: str) -> str:
    """What a test is kept together with: its module, or nothing."""
    module = nodeid.partition("::")[0]
    return nodeid if module in ONE_BY_ONE else module


def put_long_parts_first(items: list[pytest.Item]) -> None:
    """Those of a minute a test, then the modules with the most `slow` tests: whoever comes last must be short."""
    slow = Counter(item.nodeid.partition("::")[0] for item in items if item.get_closest_marker("slow"))

    def rank(item: pytest.Item) -> tuple[bool, int]:
        module = item.nodeid.partition("::")[0]
        return module not in ONE_BY_ONE, -slow[module]

    items.sort(key=rank)
