"""The measure of readable code finds what is planted."""

from pathlib import Path

from tests.imports.readability import offences

MODULE = Path("planted.py")


def branching(branches: int, reason: str = "") -> str:
    return f"def choose(x):{reason}\n" + "".join(f"    if x == {n}:\n        return {n}\n" for n in range(branches))


def test_a_function_above_the_limit_is_told_with_its_line() -> None:
    (told,) = offences(MODULE, "\n" + branching(15))
    assert told.startswith("planted.py:2: choose has complexity 16, above 15")


def test_a_method_is_measured_as_a_function_is() -> None:
    method = "class A:\n" + "".join(f"    {line}\n" for line in branching(15).splitlines())
    (told,) = offences(MODULE, method)
    assert "A.choose has complexity 16" in told


def test_a_reason_allows_what_it_names_and_no_more() -> None:
    assert list(offences(MODULE, branching(17, "  # complexity 18: a table would hide the order"))) == []
    (told,) = offences(MODULE, branching(18, "  # complexity 18: a table would hide the order"))
    assert "complexity 19, above 18" in told
    assert len(list(offences(MODULE, branching(17, "  # complexity 18:")))) == 1


def test_a_reason_without_need_is_told() -> None:
    (told,) = offences(MODULE, branching(3, "  # complexity 18: a table would hide the order"))
    assert told.endswith("its reason can go")


def test_a_module_below_grade_a_is_told() -> None:
    module = "\n".join(branching(14).replace("choose", f"choose_{n}") for n in range(40))
    (told,) = offences(MODULE, module)
    assert "grade" in told
