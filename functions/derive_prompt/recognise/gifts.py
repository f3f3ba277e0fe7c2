"""Gift boxes: what a bare one holds, by the shelf that it lies on."""

from functions.derive_prompt.recognise.choosing import Choice
from functions.derive_prompt.vocabulary import table


def with_contents(choice: Choice, family: str | None) -> Choice:
    """A bare gift box as the set that its shelf says it holds; any other choice as it is."""
    held = _HELD.get(family or "")
    if held is None or choice.root != _GIFT_BOX or choice.kind is None:
        return choice
    kind = choice.kind._replace(id=f"{_GIFT_BOX}:{family}", zh=held["zh"], en=held["en"], measure="套")
    return choice._replace(kind=kind)


_GIFT_BOX = "gift_box"
_HELD: dict[str, dict[str, str]] = table("endings")["gift_sets"]
