"""What the rules and what the reader see of a product, side by side, for `skureel derive --reader`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shared.errors import TemporaryError

if TYPE_CHECKING:
    from functions.derive_prompt.reader.answer import Answer
    from functions.derive_prompt.reader.reading import Reader
    from functions.derive_prompt.recognise.understanding import Understanding, VisibleFields


def compared(fields: "VisibleFields", reader: "Reader") -> tuple["Answer | None", dict[str, Any]]:
    """What each sees, as JSON has it; and the reader's answer, where derive_prompt would ask for it."""
    from functions.derive_prompt.reader.support import supported
    from functions.derive_prompt.recognise.understanding import understand

    rules = understand(fields)
    needed = reader.is_needed(rules)
    both: dict[str, Any] = {"rules": _slots(rules), "reader": {"is_needed": needed}}
    try:
        answer = reader.answer(fields)
    except TemporaryError as error:
        # Whoever compares wants to know of each product; derive_prompt would have this one wait.
        both["reader"]["problem"] = str(error)
        return None, both
    if answer is None:
        both["reader"]["problem"] = "the reader is away; the log says why"
        return None, both
    understood, refused = supported(answer, fields, rules)
    both["reader"] |= {
        "said": {slot: [entry.value for entry in entries] for slot, entries in answer if entries},
        "with_rules": _slots(understood),
        "refused": [entry._asdict() for entry in refused],
    }
    return answer if needed else None, both


def _slots(understood: "Understanding") -> dict[str, Any]:
    slots = understood.slots
    return {
        "problem": understood.problem,
        "kind": word(slots.kind, slots.locale),
        "colours": [word(slots.colour, slots.locale)] if slots.colour else [],
        "materials": [word(slots.material, slots.locale)] if slots.material else [],
        "looks": [word(look, slots.locale) for section in slots.looks for look in section],
        "audience": word(slots.audience, slots.locale),
    }


def word(named: Any, language: str) -> str | None:
    """What a slot is called in a language."""
    return None if named is None else str(named.zh if language == "zh" else named.en)


def side_by_side(account: dict[str, Any]) -> Iterator[str]:
    """A line for each slot: what the rules see, and what rules and reader see together; and what was refused."""
    rules, reader = account["rules"], account["reader"]
    if "problem" in reader:
        yield f"  reader    {reader['problem']}"
        return
    yield f"  reader    {'needed' if reader['is_needed'] else 'not needed: the rules are sure'}"
    for slot, alone in rules.items():
        both = reader["with_rules"][slot]
        if alone or both:
            yield f"  {slot:<9} rules: {_shown(alone)} | with the reader: {_shown(both)}"
    for entry in reader["refused"]:
        yield f"  refused   {entry['slot']}: {entry['value']} ({entry['words']}): {entry['why']}"


def _shown(value: Any) -> str:
    return ", ".join(value) or "-" if isinstance(value, list) else value or "-"
