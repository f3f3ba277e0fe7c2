"""`make test` runs side by side what may, and keeps together what shares a server."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.servers import REPOSITORY
from tests.side_by_side import ONE_BY_ONE, part_of, put_long_parts_first

MODULES = ("tests/settings/test_bounds.py", "tests/settings/test_settings.py", "tests/prompts/test_matcher.py")


def test_each_module_stays_in_one_process() -> None:
    (line,) = re.findall(r"^PYTEST = -m pytest -n \S+ (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    command = [sys.executable, "-m", "pytest", "-v", "-n", "3", "-p", "no:cacheprovider", *line.split(), *MODULES]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    processes = defaultdict(set)
    for process, module in re.findall(r"^\[(gw\d)\].* (\S+\.py)::", told, re.MULTILINE):
        processes[module].add(process)
    assert {module: len(found) for module, found in processes.items()} == dict.fromkeys(MODULES, 1)


def test_tests_of_a_minute_go_apart() -> None:
    for module in ONE_BY_ONE:
        assert (REPOSITORY / module).is_file()
        assert part_of(f"{module}::test_a[x]") != part_of(f"{module}::test_a[y]")
    assert part_of("tests/a.py::A::test") == part_of("tests/a.py::test") == "tests/a.py"


def test_what_takes_longest_goes_first() -> None:
    def item(nodeid: str, slow: bool = False) -> Any:
        return SimpleNamespace(nodeid=nodeid, get_closest_marker=lambda name: slow or None)

    quick, slow, slowest = item("a.py::1"), item("b.py::1", slow=True), item(f"{Path(ONE_BY_ONE[0])}::1", slow=True)
    beside = item("b.py::2")
    items = [quick, slow, beside, slowest]
    put_long_parts_first(items)
    assert items == [slowest, slow, beside, quick]
