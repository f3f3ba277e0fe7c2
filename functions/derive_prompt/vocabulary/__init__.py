"""Tables of words, as TOML: kinds by department (`kinds/`), endings, colours, looks, families and so on. Data only."""

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any


@cache
def table(name: str) -> dict[str, Any]:
    """One file of this package, e.g. `colours` or `kinds/electronics`."""
    text = resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def materials() -> Iterator[dict[str, Any]]:
    """The rows of the materials, of every group."""
    for rows in table("materials")["materials"].values():
        yield from rows.values()


@cache
def department_names() -> tuple[str, ...]:
    """The departments that kinds are listed by, in alphabetical order."""
    files = resources.files(__name__).joinpath("kinds").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))
