"""The vocabulary has no fault that its own command finds, and every department has kinds in both languages."""

import re
import subprocess
import sys
from typing import Any

import pytest

from functions.derive_prompt.vocabulary import checking


@pytest.mark.slow
def test_the_vocabulary_has_no_faults() -> None:
    command = [sys.executable, "-m", "functions.derive_prompt.vocabulary"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    faults = [line for line in told.stdout.splitlines() if ".toml, " in line]
    assert (told.returncode, faults, told.stderr) == (0, [], "")
    assert re.search(r"^kitchen +\d+ +\d+ +[\d,]+ +[\d,]+  Cups and glasses", told.stdout, re.MULTILINE)


def test_every_department_has_kinds_in_both_languages() -> None:
    departments = checking.coverage()
    assert sum(department.kinds for department in departments) >= 5_000
    for department in departments:
        assert department.parts, department
        assert min(department.chinese, department.english) >= department.kinds, department


GOOD: dict[str, Any] = {"zh": "杯子甲", "en": "odd cup", "in": "drinkware", "measure": "只", "same": ["odd mug"]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"measure": ""}, "has no `measure`"),
        ({"zh": ""}, "has no `zh`"),
        ({"zh": "odd"}, "not Chinese"),
        ({"en": "奇杯"}, "is Chinese"),
        ({"in": "nowhere"}, "no template films"),
        ({"wider": "nothing"}, "is not listed"),
        ({"en": "odd cups"}, "needs an `en_count`"),
        ({"en": "odd set", "en_count": "a set of"}, "says it twice"),
        ({"same": ["MUG"]}, "claimed by"),
        ({"zh": "乾杯子"}, "not written as texts are compared"),
        ({"same": ["熏香炉"]}, "is not found as 薰香爐"),
        ({"same": ["odd pan 4 hole"]}, "alone in a title is read as"),
    ],
)
def test_a_faulty_row_is_found(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], says: str) -> None:
    tables = checking.table

    def with_the_row(name: str) -> dict[str, Any]:
        document = tables(name)
        if name != "kinds/kitchen":
            return document if not name.startswith("kinds/") else {**document, "kinds": {}}
        return {**document, "kinds": {"mug": document["kinds"]["mug"], "odd_cup": {**GOOD, **change}}}

    monkeypatch.setattr(checking, "table", with_the_row)
    assert says in " ".join(fault.says for fault in checking.faults() if fault.kind == "odd_cup")


def test_an_id_that_two_departments_give_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "table", lambda name: {"kinds": {"odd_cup": {}}})
    monkeypatch.setattr(checking, "department_names", lambda: ("bags", "kitchen"))
    monkeypatch.setattr(checking, "_alone", lambda row: ())
    monkeypatch.setattr(checking, "_misread", lambda row: ())
    assert [fault for fault in checking.faults() if "has a row of that id" in fault.says]
