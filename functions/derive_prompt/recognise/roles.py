"""Roles: the part that a word plays in its clause, by the words around it (`vocabulary/roles.toml`)."""

import re
from enum import Enum
from functools import cache
from typing import NamedTuple

from functions.derive_prompt.recognise.text import Clause, has_chinese
from functions.derive_prompt.vocabulary import table


class Role(Enum):
    """The part that a mention plays in its clause."""

    HEAD = "head"
    """The clause's thing: 马克杯 in 陶瓷马克杯."""
    OF = "of"
    """Only says more about the word behind it: 手机 in 手机支架."""
    PERHAPS_OF = "perhaps-of"
    """The word behind it is not listed and may be the thing: 窗帘 in 窗帘电机."""
    INCLUDED = "included"
    FOR = "for"
    """What the thing is for or goes with."""
    SENSE = "sense"
    """A taste, a smell, a shape, a print."""
    EXCLUDED = "excluded"


def role_of(text: str, clause: Clause, said: list[str], start: int, end: int) -> Role:
    """The part of what stands from `start` to `end`, by the words around it; `said` are those before."""
    after = text[end : clause.end]
    if has_chinese(text[start:end]):
        return _chinese_role(text[clause.start : start], said[-3:], after)
    before = _particle_verb().sub(_blank, text[clause.said_from : start])
    for role, pattern_before, pattern_after in _english_rules():
        if pattern_before is not None and pattern_before.search(before):
            return role
        if pattern_after is not None and pattern_after.match(after):
            return role
    return Role.HEAD


def only_fits(text: str, start: int, end: int) -> bool:
    """Whether the Chinese words beside a word say that it fits something: 滤芯通用, 适用于表带."""
    fits = tuple(table("roles")["zh"]["fits"])
    return text[end:].lstrip().startswith(fits) or text[:start].endswith(fits)


def _blank(found: re.Match[str]) -> str:
    return "-" * len(found[0])


@cache
def _particle_verb() -> re.Pattern[str]:
    said = table("roles")["en"]
    verbs = rf"(?:{_either(said['particle_verbs'])})[ -](?:{_either(said['particles'])})"
    return re.compile(rf"\b(?:{verbs}|{_either(said['phrases'])})\b")


_Rules = tuple[tuple[Role, re.Pattern[str] | None, re.Pattern[str] | None], ...]


class _ChineseRules(NamedTuple):
    """Words before are whole words of the clause: 放 in 开放式 is none. What stands behind may be grown together."""

    excluded_all: re.Pattern[str]
    excluded: frozenset[str]
    counted: frozenset[str]
    before: tuple[tuple[Role, frozenset[str]], ...]
    after: tuple[tuple[Role, re.Pattern[str]], ...]


def _chinese_role(before: str, words: list[str], after: str) -> Role:
    rules = _chinese_rules()
    if rules.excluded_all.search(before):
        return Role.EXCLUDED
    if not rules.excluded.isdisjoint(_last(words)):
        return Role.EXCLUDED
    for role, pattern in rules.after:
        if pattern.match(after):
            return role
    if words and words[-1] in rules.counted:
        return Role.INCLUDED
    near = {*_last(words), *(_last(words[:-1]) if words and len(words[-1]) == 1 else ())}
    return next((role for role, triggers in rules.before if not near.isdisjoint(triggers)), Role.HEAD)


def _last(words: list[str]) -> tuple[str, ...]:
    """The last word, and the last two as one."""
    return (*words[-1:], "".join(words[-2:]))


@cache
def _chinese_rules() -> _ChineseRules:
    said = table("roles")["zh"]

    def after(name: str) -> re.Pattern[str]:
        return re.compile(rf"\s?(?:{_either(said[name])})(?!的)")

    return _ChineseRules(
        excluded_all=re.compile(_either(said["excluded_all"])),
        excluded=frozenset(said["excluded_before"]),
        counted=frozenset(said["counted_before"]),
        before=(
            (Role.FOR, frozenset(said["for_before"])),
            (Role.INCLUDED, frozenset(said["included_before"])),
        ),
        after=(
            (Role.SENSE, after("sense_after")),
            (Role.FOR, after("for_after")),
            (Role.FOR, re.compile(rf"\s?(?:{_either(said['for_at_end'])})\Z")),
        ),
    )


@cache
def _english_rules() -> _Rules:
    said = table("roles")["en"]

    def before(name: str) -> re.Pattern[str]:
        return re.compile(rf"(?<!\d[ -])(?:^|[^a-z0-9-])(?:{_either(said[name])})[ /&]+(?:[a-z0-9'.-]+[ &]+)*\Z")

    def after(name: str) -> re.Pattern[str]:
        return re.compile(rf"[ -](?:{_either(said[name])})\b(?! (?:with|for)\b)")

    return (
        (
            Role.EXCLUDED,
            re.compile(rf"(?:^|[^a-z0-9])(?:{_either(said['excluded_before'])})[ -]+(?:[a-z0-9']+ )?\Z"),
            after("excluded_after"),
        ),
        (Role.SENSE, None, after("sense_after")),
        (Role.FOR, before("for_before"), after("for_after")),
        (Role.INCLUDED, before("included_before"), None),
    )


def _either(words: list[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))
