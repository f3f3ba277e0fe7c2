"""Kind: what the thing is, and which template films it. Never the raw name: marketing is no noun."""

import re
from collections.abc import Iterable

from functions.derive_prompt.accessories import accessory_of
from functions.derive_prompt.cleaning import has_chinese
from functions.derive_prompt.families import ENGLISH_AUDIENCES
from functions.derive_prompt.kind_words import COMPONENTS, KIND_WORDS, Kind, is_vetoed, is_wider, kinds_told
from functions.derive_prompt.matcher import Found, Matcher
from functions.derive_prompt.screening import may_be_quoted
from functions.derive_prompt.sets import SAYS_SET_EN, SAYS_SET_ZH, set_of
from functions.derive_prompt.vocabulary import table

_TABLE = table("kinds")


_EXTRAS_ZH: tuple[str, ...] = tuple(_TABLE["not_a_kind"]["extras"]["zh"])
_EXTRAS_EN = re.compile("|".join(map(re.escape, _TABLE["not_a_kind"]["extras"]["en"])))
_PACK = re.compile(r"\d\s*(?:x\s*)?\Z")
_FILLER_WORDS = frozenset(_TABLE["not_a_kind"]["filler"]["en"])
_WHOM = "|".join(map(re.escape, ENGLISH_AUDIENCES))
_FOR_WHOM = re.compile(rf" for (?:{_WHOM})\b")
_BRACKETS = re.compile(r"[(（【\[「《][^)）】\]」》]*[)）】\]」》]")
_CHINESE_TAIL = re.compile("[\u4e00-\u9fff]*\\Z")
_LATIN_WORD = re.compile("[a-z]+")
_WHOLE_WORD = re.compile(r"\b[a-z]+\b")
_ENGLISH_BREAK = re.compile(r"[,|;:–—]|\s-\s")
_ENGLISH_ENDINGS = (
    "er",
    "or",
    "set",
    "kit",
    "ware",
    "board",
    "stick",
    "light",
    "case",
    "rack",
    "maker",
    "phone",
    "pad",
)


def _descriptive_words() -> Iterable[str]:
    yield from _TABLE["not_a_kind"]["filler"]["zh"]
    for row in table("materials")["materials"].values():
        yield from (word for word in (*row["zh"], *row.get("field", ())) if has_chinese(word))
    for section in ("finishes", "patterns", "shapes", "details", "actions"):
        for row in table("looks")[section].values():
            yield from (word for word in row.get("also", ()) if has_chinese(word) and len(word) > 1)
            if section in ("finishes", "patterns", "shapes"):
                yield row["zh"].lower()
    for row in table("colours")["bases"].values():
        yield from (f"{stem}色" for stem in row["zh"])


_DESCRIPTIVE: Matcher[None] = Matcher((word, None) for word in _descriptive_words())


def find_kind(name: str, category_template: str | None = None) -> Kind | None:
    """The kind that a normalised name's head noun says: Chinese heads stand last, English ones before `with`, `for`.

    A word directly before an accessory's ending is that accessory; what the category cannot hold is read over; of
    several things sold as one set all are named.
    """
    plain = _BRACKETS.sub(" ", name)
    if has_chinese(plain):
        several = set_of(plain, category_template, chinese=True) if SAYS_SET_ZH.search(plain) else None
        return several or _chinese_head(plain, category_template)
    several = set_of(plain, category_template, chinese=False) if SAYS_SET_EN.search(plain) else None
    return several or _english_head(plain, category_template)


def _chinese_head(name: str, category_template: str | None) -> Kind | None:
    best: Kind | None = None
    start, word, before, accessory_end = 0, "", 0, 0
    for found in kinds_told(name):
        kind = found.value
        extra = best is not None and name[before : found.start].endswith(_EXTRAS_ZH)
        before = found.end
        if kind is None or extra or found.start < accessory_end:
            continue
        accessory = accessory_of(found, name)
        if best is not None and _is_lesser(found, best, category_template):
            continue
        if accessory is not None:
            best, accessory_end = accessory
        elif not is_vetoed(kind, category_template):
            best, start, word, accessory_end = kind, found.start, found.word, 0
    if best is None:
        return None
    return _with_own_word(best, name, start, word) if best.tail else best


def _is_lesser(found: Found[Kind | None], said: Kind, category_template: str | None) -> bool:
    """Whether a later word must not take the place of the kind that the name has already said: an ending, a single
    character, a part of the thing, a wider word for it (cardigan sweater), what the category does not expect."""
    if said.tail or found.value is None:
        return False
    if found.value.tail or len(found.word) == 1 or found.word in COMPONENTS:
        return True
    return is_wider(found, said) or (said.template == category_template != found.value.template)


def _with_own_word(kind: Kind, name: str, start: int, word: str) -> Kind:
    """An ending's kind with the longer word that the name uses: 星空投影灯 -> 投影灯."""
    match = _CHINESE_TAIL.search(name[:start])
    before = match.group().rpartition(word)[2] if match is not None else ""
    for found in list(_DESCRIPTIVE.find_all(before))[-1:]:
        before = before[found.end :]
    longer = before + word
    if 2 <= len(longer) <= 6 and may_be_quoted(longer):
        return kind._replace(id=f"{kind.id}:{longer}", zh=longer, en=f"{kind.en} ({longer})")
    return kind


def _english_head(name: str, category_template: str | None) -> Kind | None:
    # Each piece between commas has its head before what it comes with or is for: Tripod for Camera is no camera.
    # Where no head tells, whom it is for may stand before the thing: Homes for Pets Folding Dog Crate.
    pieces = _ENGLISH_BREAK.split(name)
    for piece in (*pieces, *(_FOR_WHOM.sub(" ", piece) for piece in pieces if _FOR_WHOM.search(piece))):
        head = _EXTRAS_EN.split(piece, maxsplit=1)[0]
        kind = _last_kind(head, category_template)
        if kind is not None:
            return _with_own_words(kind, head) if kind.tail else kind
    # Designed for iPhone 15 Case: what goes with the thing may be said behind it.
    accessories = (accessory_of(found, name) for found in kinds_told(name))
    return next((accessory for accessory, _ in filter(None, accessories)), None)


def _last_kind(head: str, category_template: str | None) -> Kind | None:
    """The last kind of an English head that no earlier one outdoes."""
    best: Kind | None = None
    accessory_end = 0
    for found in kinds_told(head):
        kind = found.value
        if kind is None or found.start < accessory_end:
            continue
        # 100 bags are a pack, not bags.
        packed = _PACK.search(head[: found.start]) is not None
        if best is not None and (packed or _is_lesser(found, best, category_template)):
            continue
        accessory = accessory_of(found, head)
        if accessory is not None:
            best, accessory_end = accessory
        elif not is_vetoed(kind, category_template):
            best, accessory_end = kind, 0
    return best


def _with_own_words(kind: Kind, name: str) -> Kind:
    """A general English kind with the word before it: milk frother stand -> frother stand. A first word may be a
    brand and is not taken."""
    words = _LATIN_WORD.findall(name)
    for index, word in enumerate(words):
        if index > 1 and word in KIND_WORDS and KIND_WORDS.get(word) == kind:
            before = words[index - 1]
            phrase = f"{before} {_singular(word)}"
            if before not in _FILLER_WORDS and 3 <= len(before) <= 14 and may_be_quoted(phrase):
                return kind._replace(id=f"{kind.id}:{phrase}", zh=f"{kind.zh}（{phrase}）", en=phrase)
    return kind


def _singular(word: str) -> str:
    return word[:-2] if word.endswith(("xes", "ches", "shes", "sses")) else word.removesuffix("s")


def unlisted_noun(name: str) -> str | None:
    """The last word of an English head, where its ending says that it is a thing (frobnicator). None: better not."""
    if has_chinese(name):
        return None
    head = _EXTRAS_EN.split(_ENGLISH_BREAK.split(_BRACKETS.sub(" ", name), maxsplit=1)[0], maxsplit=1)[0]
    words = [word for word in _WHOLE_WORD.findall(head) if word not in _FILLER_WORDS]
    if words and 4 <= len(words[-1]) <= 16 and words[-1].endswith(_ENGLISH_ENDINGS) and may_be_quoted(words[-1]):
        return str(words[-1])
    return None
