"""The README stays true: what it names exists, and what exists is named."""

import re
from pathlib import Path

import click

from functions.cli.command import main
from functions.registry import FUNCTIONS
from shared.events import EVENT_TYPES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(group: click.Group, prefix: str = "") -> set[str]:
    """Every command by its full name."""
    names: set[str] = set()
    for name, command in group.commands.items():
        full = f"{prefix}{name}"
        names |= commands(command, f"{full} ") if isinstance(command, click.Group) else {full}
    return names


def test_every_command_is_in_the_readme() -> None:
    # A group stands on one line with all it can do: `skureel deadletters list | show PLACE | replay`.
    lines = [line for line in README.splitlines() if line.startswith("skureel ")]
    for name in commands(main):
        first, *last = name.split()
        assert any(line.split()[1] == first and all(word in line.split() for word in last) for line in lines), name


def test_every_command_of_the_readme_exists() -> None:
    told = re.findall(r"^skureel ([a-z]+)", README, re.MULTILINE)
    assert told
    assert set(told) <= set(main.commands)


def test_every_event_type_of_the_readme_exists() -> None:
    told = set(re.findall(r"\b(?:product|video)\.[a-z.]*[a-z]\b", README))
    assert told
    assert told <= set(EVENT_TYPES)


def test_every_function_and_folder_of_the_tree_exists() -> None:
    tree = re.search(r"## The tree\n\n```\n(.*?)```", README, re.DOTALL)
    assert tree is not None
    top = ""
    for line in tree.group(1).splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            top = name
            assert (ROOT / name).exists(), name
        else:
            assert (ROOT / top / name).exists(), top + name
    for package in FUNCTIONS.values():
        assert f"  {package.rsplit('.', 1)[1]}/" in tree.group(1)


def test_the_files_from_poll_to_commit_exist_and_are_few() -> None:
    told = re.search(r"\*\*From poll to commit\*\*, in `([a-z/]+)`:(.*?)\n\n", README, re.DOTALL)
    assert told is not None
    way, beside = (re.findall(r"`([.\w/]+\.py)`", part) for part in told.group(2).split("Beside the\nway"))
    assert 1 < len(way) == len(set(way)) <= 12
    sources = {name: (ROOT / told.group(1) / name).read_text(encoding="utf-8") for name in (*way, *beside)}
    for name in way[1:]:
        module = Path(name).stem
        imports = re.compile(rf"^(from|import) shared\.kafka\.(runtime\.)?{module}\b", re.MULTILINE)
        assert any(imports.search(sources[other]) for other in way if other != name), f"no file of the way has {name}"


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert targets is not None
    told = re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)
    assert {*told} == {*targets[1].split()} - {"clean", "format"}
    for target in told:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
