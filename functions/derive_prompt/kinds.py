"""Kind: what the thing is, and which template films it. Never the raw name: marketing is no noun."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from functions.derive_prompt.cleaning import has_chinese
from functions.derive_prompt.families import ENGLISH_AUDIENCES, cannot_hold
from functions.derive_prompt.matcher import Found, Matcher, plurals
from functions.derive_prompt.screening import may_be_quoted
from functions.derive_prompt.vocabulary import table

_TABLE = table("kinds")


class Kind(NamedTuple):
    """One row of `vocabulary/kinds.toml`; `zh`, `en` are the words for prompts, `template` where it is filmed."""

    id: str
    template: str
    zh: str
    en: str
    measure: str
    en_count: str | None
    motion: str = "default"
    filled: bool = False
    tail: bool = False
    own_material: bool = False
    covered: bool = False


def _kinds(section: str) -> dict[str, Kind]:
    return {
        name: Kind(
            name,
            row["in"],
            row["zh"],
            row["en"],
            row["measure"],
            row.get("en_count"),
            row.get("motion", "default"),
            row.get("filled", False),
            row.get("tail", False),
            row.get("own_material", False),
            row.get("covered", False),
        )
        for name, row in _TABLE[section].items()
    }


KINDS = _kinds("kinds")


_SAME = frozenset(_TABLE["same"]["words"])
_SEVERAL = ("a pair of", "a set of", "a plate of", "a bunch of", "a string of", "a stack of", "a bowl of")


def _in_own_word(kind: Kind, word: str) -> Kind:
    """The kind as one of its catalogue words calls it: 篮球 stays 篮球 where the kind is any ball."""
    if kind.tail or word in _SAME or len(word) == 1 or word in (kind.zh.lower(), kind.en.lower()):
        return kind
    name = f"{kind.id}:{word}"
    if has_chinese(word):
        return kind._replace(id=name, zh=word, en=f"{kind.en} ({word})")
    if kind.en_count in _SEVERAL:
        english = word if word.endswith("s") or not kind.en.endswith("s") else f"{word}s"
    elif word.endswith("s") and not word.endswith("ss"):
        # A plural would need another article and verb; the kind's own noun has them right.
        return kind
    else:
        english = word
    return kind._replace(id=name, zh=f"{kind.zh}（{english}）", en=english)


def _words() -> Iterable[tuple[str, Kind | None]]:
    for word in _TABLE["not_a_kind"]["words"]:
        yield word, None
    # Whole kinds before endings: 包 is a bag by name, and an ending where nothing longer is known.
    for kind in sorted(KINDS.values(), key=lambda kind: kind.tail):
        own = (kind.zh, kind.en.lower()) if not kind.tail else ()
        for word in (*own, *_TABLE["kinds"][kind.id].get("also", ())):
            for form in plurals(word.lower()):
                yield form, _in_own_word(kind, word.lower())


_KIND_WORDS: Matcher[Kind | None] = Matcher(_words())
_EXTRAS_ZH: tuple[str, ...] = tuple(_TABLE["not_a_kind"]["extras"]["zh"])
_EXTRAS_EN = re.compile("|".join(map(re.escape, _TABLE["not_a_kind"]["extras"]["en"])))
_USED_WITH = re.compile("|".join(map(re.escape, _TABLE["not_a_kind"]["used_with"])))
_COMPONENTS = frozenset(_TABLE["not_a_kind"]["components"])
_GENERAL_WORDS = frozenset(form for word in _TABLE["not_a_kind"]["general"] for form in plurals(word))
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


class _Accessory(NamedTuple):
    kind: Kind
    unless: frozenset[str]
    filmed_with: frozenset[str]


def _accessories() -> Iterable[tuple[str, _Accessory | None]]:
    for word in _TABLE["accessories_are_not"]["words"]:
        yield word, None
    for name, kind in _kinds("accessories").items():
        row = _TABLE["accessories"][name]
        accessory = _Accessory(kind, frozenset(row.get("unless", ())), frozenset(row.get("with", ())))
        for word in row["also"]:
            for form in plurals(word):
                yield form, accessory


_ACCESSORIES: Matcher[_Accessory | None] = Matcher(_accessories())
_BETWEEN = re.compile(rf"(?:'s)?\s+(?:(?:\d+[a-z]*|{'|'.join(_TABLE['accessories_are_not']['between'])})\s+)*")
# Sweater light blue: before a colour, light says how, not what.
_LIGHT_GOES_ON = re.compile(
    rf"lights?\s+(?:{'|'.join(word for row in table('colours')['bases'].values() for word in row['en'])})"
)
_LONGEST_COMPOUND = 8


def _accessory_of(found: Found[Kind | None], text: str) -> tuple[Kind, int] | None:
    """The other thing that a kind's word is only the beginning of (手机 + 膜, camera + bag), if one follows directly,
    and where it ends."""
    between = _BETWEEN.match(text, found.end) if found.word.isascii() else None
    start = between.end() if between is not None else found.end
    following = _ACCESSORIES.first(text[start : start + 16])
    if found.value is None or following is None or following.start > 0 or following.value is None:
        return None
    ending = following.word
    if found.word.isascii() is not ending.isascii() or found.value.template in following.value.unless:
        return None
    if ending.isascii():
        longer = _KIND_WORDS.first(text[start:])
        listed_there = longer is not None and longer.start == 0 and len(longer.word) > len(ending)
        if between is None or listed_there or _LIGHT_GOES_ON.match(text, start):
            return None
        listed = _KIND_WORDS.get(f"{found.word} {ending}") or _KIND_WORDS.get(
            f"{found.word.rpartition(' ')[2]} {ending}"
        )
        if found.value.en.endswith(f" {ending}"):
            listed = found.value
        if listed is not None:
            return listed, start + following.end
    kind, beside = following.value.kind, found.value.template
    kind = kind._replace(template=beside) if beside in following.value.filmed_with else kind
    return _compound(kind, found.value, found.word, ending), start + following.end


def _compound(kind: Kind, of: Kind, word: str, ending: str) -> Kind:
    if ending.isascii():
        phrase = f"{of.en.lower() if word in _SAME else word} {ending}"
        if not may_be_quoted(phrase):
            return kind
        count = "a set of" if ending.endswith("s") else None
        return kind._replace(id=f"{kind.id}:{phrase}", zh=f"{kind.zh}（{phrase}）", en=phrase, en_count=count)
    listed = _KIND_WORDS.get(word[-1] + ending)
    if listed is not None and not listed.tail:
        return listed
    longer = word + ending
    for noun in (longer, ending):
        if 2 <= len(noun) <= _LONGEST_COMPOUND and may_be_quoted(noun):
            return kind._replace(id=f"{kind.id}:{noun}", zh=noun, en=f"{kind.en} ({noun})")
    return kind


def _is_vetoed(kind: Kind | None, category_template: str | None) -> bool:
    return kind is not None and kind.template in cannot_hold(category_template)


def find_kind(name: str, category_template: str | None = None) -> Kind | None:
    """The kind that a normalised name's head noun says: Chinese heads stand last, English ones before `with`, `for`.

    A word directly before an accessory's ending is that accessory; what the category cannot hold is read over; of
    several things sold as one set all are named.
    """
    plain = _BRACKETS.sub(" ", name)
    if has_chinese(plain):
        several = _set_of(plain, category_template, chinese=True) if _SAYS_SET_ZH.search(plain) else None
        return several or _chinese_head(plain, category_template)
    several = _set_of(plain, category_template, chinese=False) if _SET_EN.search(plain) else None
    return several or _english_head(plain, category_template)


_SETS = _TABLE["sets"]
_SET_ZH = re.compile(rf"\s*(?:{'|'.join(_SETS['packed'])})?(?:{'|'.join(_SETS['zh'])})")
_SAYS_SET_ZH = re.compile(rf"\+|{'|'.join(_SETS['zh'])}")
_SET_EN = re.compile(rf"\b(?:{'|'.join(_SETS['en'])})\b")
_BESIDE_ZH = re.compile(r"\s*(?:[*x×]\s*\d+\s*)?[+&、和与]?\s*")
_BESIDE_EN = re.compile(r"\s*(?:,|&|\+|,?\s*\band\b)(?:\s+[a-z0-9]+){0,2}?\s+|\s+")
_JOINED_EN = re.compile(r"&|\+|\band\b")
_NOT_IN_SETS = _COMPONENTS - frozenset(_SETS["parts"])
_LARGEST_SET = 3


def _set_of(name: str, category_template: str | None, *, chinese: bool) -> Kind | None:
    """Everything that a name sells as one (颈枕眼罩套装, 床垫*1+枕头*2, table and chairs set), where that is more than
    one thing."""
    beside = _BESIDE_ZH if chinese else _BESIDE_EN
    run: list[Kind] = []
    end, joined = 0, ""
    for found in _told(name):
        kind = found.value
        if run and beside.fullmatch(name, end, found.start) is None:
            if _is_set(run, joined, name, end, chinese):
                break
            run, joined = [], ""
        if kind is None or not _is_set_piece(found, name, category_template):
            continue
        between = name[end : found.start] if run else ""
        joined, end = joined + between, found.end
        # Side by side, a wider word names the same thing again.
        again = not between.strip() and any(_is_wider(found, other) for other in run)
        if not again and all(_row(kind) != _row(other) for other in run):
            run.append(kind)
    return _one_of(run) if _is_set(run, joined, name, end, chinese) else None


def _is_set(run: list[Kind], joined: str, name: str, end: int, chinese: bool) -> bool:
    if len(run) < 2:
        return False
    if chinese:
        return "+" in joined or _SET_ZH.match(name, end) is not None
    return _JOINED_EN.search(joined) is not None or (len(run) > 2 and _SET_EN.match(name, end + 1) is not None)


def _is_set_piece(found: Found[Kind | None], name: str, category_template: str | None) -> bool:
    kind = found.value
    return (
        kind is not None
        and not kind.tail
        and kind.measure != "套"
        and kind.template not in _SETS["not_in"]
        and found.word not in _NOT_IN_SETS
        and not _is_vetoed(kind, category_template)
        and _accessory_of(found, name) is None
        and _ACCESSORIES.get(found.word.rpartition(" ")[2]) is None
    )


def _one_of(run: list[Kind]) -> Kind:
    first = run[:_LARGEST_SET]
    zh, en = ([getattr(kind, language) for kind in first] for language in ("zh", "en"))
    return first[0]._replace(
        id="set:" + "+".join(kind.id for kind in first),
        zh="、".join(zh[:-1]) + f"和{zh[-1]}",
        en=", ".join(en[:-1]) + f" and {en[-1]} set",
        measure="套",
        en_count=None,
        motion="default",
        own_material=all(kind.own_material for kind in first),
    )


def _row(kind: Kind) -> str:
    return kind.id.partition(":")[0]


def _chinese_head(name: str, category_template: str | None) -> Kind | None:
    best: Kind | None = None
    start, word, before, accessory_end = 0, "", 0, 0
    for found in _told(name):
        kind = found.value
        extra = best is not None and name[before : found.start].endswith(_EXTRAS_ZH)
        before = found.end
        if kind is None or extra or found.start < accessory_end:
            continue
        accessory = _accessory_of(found, name)
        if best is not None and _is_lesser(found, best, category_template):
            continue
        if accessory is not None:
            best, accessory_end = accessory
        elif not _is_vetoed(kind, category_template):
            best, start, word, accessory_end = kind, found.start, found.word, 0
    if best is None:
        return None
    return _with_own_word(best, name, start, word) if best.tail else best


def _told(name: str) -> list[Found[Kind | None]]:
    """The kinds' words of a name, less those that say what it is used with: 电磁炉燃气灶通用."""
    told = list(_KIND_WORDS.find_all(name))
    if _USED_WITH.search(name) is None:
        return told
    used: Found[Kind | None] | None = None
    for found in reversed(told[:]):
        listed = used is not None and found.end == used.start and _template(found) == _template(used)
        if listed or _USED_WITH.match(name, found.end) is not None:
            used = found
            told.remove(found)
    return told


def _template(found: Found[Kind | None]) -> str | None:
    return found.value.template if found.value is not None else None


def _is_lesser(found: Found[Kind | None], said: Kind, category_template: str | None) -> bool:
    """Whether a later word must not take the place of the kind that the name has already said: an ending, a single
    character, a part of the thing, a wider word for it (cardigan sweater), what the category does not expect."""
    if said.tail or found.value is None:
        return False
    if found.value.tail or len(found.word) == 1 or found.word in _COMPONENTS:
        return True
    return _is_wider(found, said) or (said.template == category_template != found.value.template)


def _is_wider(found: Found[Kind | None], said: Kind) -> bool:
    """Whether a word only says what the kind said before it says closer: cardigan sweater, patio umbrella ... umbrella,
    保温杯 水杯."""
    again = said.en.endswith(f" {found.word}") or (len(said.zh) > len(found.word) and said.zh.endswith(found.word))
    return again or (found.word in _GENERAL_WORDS and _template(found) == said.template)


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
        best: Kind | None = None
        accessory_end = 0
        for found in _told(head):
            kind = found.value
            if kind is None or found.start < accessory_end:
                continue
            # 100 bags are a pack, not bags.
            lesser = best is not None and _is_lesser(found, best, category_template)
            if lesser or (best is not None and _PACK.search(head[: found.start]) is not None):
                continue
            accessory = _accessory_of(found, head)
            if accessory is not None:
                best, accessory_end = accessory
            elif not _is_vetoed(kind, category_template):
                best, accessory_end = kind, 0
        if best is not None:
            return _with_own_words(best, head) if best.tail else best
    # Designed for iPhone 15 Case: what goes with the thing may be said behind it.
    told = (_accessory_of(found, name) for found in _told(name))
    return next((accessory for accessory, _ in filter(None, told)), None)


def _with_own_words(kind: Kind, name: str) -> Kind:
    """A general English kind with the word before it: milk frother stand -> frother stand. A first word may be a
    brand and is not taken."""
    words = _LATIN_WORD.findall(name)
    for index, word in enumerate(words):
        if index > 1 and word in _KIND_WORDS and _KIND_WORDS.get(word) == kind:
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
