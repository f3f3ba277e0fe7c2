"""What a fresh machine installs is what CI ran with: constraints.txt names every package, at one version."""

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def pins() -> dict[str, str]:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==([^=*,; ]+)", line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if match is None]
    return {canonicalize_name(match[1]): match[2] for match in found if match is not None}


def installed_for(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> None:
    """Add to `seen` whatever a package asks for on this machine, and what that asks for."""
    if (name, extras) in seen:
        return
    try:
        wanted = requires(name) or []
    except PackageNotFoundError:
        # Asked for by another platform, or by an extra that nobody wants.
        return
    seen.add((name, extras))
    for requirement in map(Requirement, wanted):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            installed_for(canonicalize_name(requirement.name), frozenset(requirement.extras), seen)


def test_every_package_of_both_commands_is_pinned() -> None:
    seen: set[tuple[str, frozenset[str]]] = set()
    installed_for("skureel", frozenset({"render", "embedded", "test", "check"}), seen)
    names = {name for name, _ in seen} - {"skureel"} | {"setuptools"}
    assert len(names) > 60
    assert names <= pins().keys(), names - pins().keys()
