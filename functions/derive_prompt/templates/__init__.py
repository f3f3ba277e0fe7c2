"""Prompt templates: one TOML file a category family, in Chinese and English, with id and version, and their loader.

A template's text has the places {thing}, {looks}, {motion} and, where somebody wears the thing, {model}. `motions` are
for what is known from text alone. From one photo nothing behind is known: `from_photo` has light, air and small turns,
nobody's hand, nothing that opens. A motion that a template lacks is its default one. `elsewhere` are scenes for kinds
that do not fit into the template's own: a ladder lies on no bench. Such a scene is said in words of its own, by the
name of a `scene` that templates share (`scenes.toml`), or by another default motion in the template's own scene alone.
A template that changes its text gets a new version: both are in the render spec.
"""

import string
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Literal, NamedTuple

from functions.derive_prompt.vocabulary import table
from shared.errors import ConfigurationError
from shared.events import TemplateReference

Locale = Literal["zh", "en"]
LOCALES: tuple[Locale, Locale] = ("zh", "en")
GENERAL = "general"
PHOTO = "photo"
"""Says nothing of a thing: for a clip from a photo of what is not known."""
PHOTOGRAPHED = "photographed"
"""The scene of a clip from a photo of a known thing, whatever films the thing without one."""
PLACES = frozenset({"thing", "looks", "motion", "model"})


@dataclass(frozen=True, slots=True)
class Generic:
    """What the thing is called where the product's name does not say, and a motion that suits whatever it is."""

    zh: str
    en: str
    measure: str
    en_count: str
    motion: str = "default"


class Scene(NamedTuple):
    """A text with places, and what moves in it where a kind has no motion of its own."""

    text: dict[Locale, str]
    motion: dict[Locale, str]


@dataclass(frozen=True, slots=True)
class Template:
    """One family's scene. `text` and each motion are by locale; `from_photo` are the motions of a clip that starts from
    the product's own photo. `scented`: what ends a title may be its scent."""

    reference: TemplateReference
    text: dict[Locale, str]
    motions: dict[str, dict[Locale, str]]
    from_photo: dict[str, dict[Locale, str]]
    elsewhere: dict[str, Scene]
    """By the kind's id, or that of an ending of compounds."""
    generic: Generic
    takes_material: bool
    takes_wearer: bool
    scented: bool
    negative_prompt: str | None

    @property
    def has_model(self) -> bool:
        """Whether a grown-up wears the thing in this scene."""
        return "{model}" in self.text["zh"]

    def scene_of(self, kind: str) -> Scene:
        """Where a kind is filmed, by its id. A narrower kind (`ball:篮球`) is filmed as the listed one is."""
        scene = self.elsewhere.get(kind.partition(":")[0])
        return scene or Scene(self.text, self.motions["default"])

    def motion_of(self, kind: str, motion: str) -> dict[Locale, str]:
        """How a kind moves, by its id and the name of its motion."""
        own = None if motion == "default" else self.motions.get(motion)
        return own or self.scene_of(kind).motion


def read_template(document: dict[str, Any], name: str) -> Template:
    """Check one template document. A ConfigurationError names the file and what is wrong with it."""
    try:
        template = Template(
            reference=TemplateReference(id=document["id"], version=document["version"]),
            text=_locales(document),
            motions=_by_locale(document["motions"]),
            from_photo=_by_locale(document.get("from_photo", document["motions"])),
            elsewhere=_elsewhere(document),
            generic=Generic(**document["generic"]),
            takes_material=document.get("takes_material", True),
            takes_wearer=document.get("takes_wearer", False),
            scented=document.get("scented", False),
            negative_prompt=document.get("negative_prompt"),
        )
    except (KeyError, TypeError) as error:
        raise ConfigurationError(
            f"template {name}: {error} is missing or wrong; compare it with general.toml"
        ) from error
    for text in (template.text, *(scene.text for scene in template.elsewhere.values())):
        _check_places(template, text, name)
    if not template.motions.keys() & template.from_photo.keys() >= {"default"}:
        raise ConfigurationError(f"template {name}: no motion is called default; a clip without motion is a still")
    return template


def _check_places(template: Template, text: dict[Locale, str], name: str) -> None:
    wanted = {"motion"} if template.reference.id == PHOTO else {"thing", "looks", "motion"}
    for locale in LOCALES:
        places = {field for _, field, _, _ in string.Formatter().parse(text[locale]) if field is not None}
        if not wanted <= places <= PLACES:
            raise ConfigurationError(
                f"template {name}: {locale} has the places {sorted(places)}, not {', '.join(sorted(wanted))}"
            )


def _elsewhere(document: dict[str, Any]) -> dict[str, Scene]:
    found: dict[str, Scene] = {}
    for row in document.get("elsewhere", ()):
        shared = scenes()[row["scene"]] if "scene" in row else None
        own = document if "zh" not in row else row
        text, motion = shared or Scene(_locales(own), _locales(document["motions"]["default"]))
        found |= dict.fromkeys(row["kinds"], Scene(text, _locales(row["default"]) if "default" in row else motion))
    return found


def _locales(row: dict[str, Any]) -> dict[Locale, str]:
    return {locale: row[locale] for locale in LOCALES}


def _by_locale(rows: dict[str, Any]) -> dict[str, dict[Locale, str]]:
    return {key: _locales(row) for key, row in rows.items()}


@cache
def templates() -> dict[str, Template]:
    """Every template of this package, by id."""
    files: list[Traversable] = [file for file in resources.files(__name__).iterdir() if file.name.endswith(".toml")]
    read = [read_template(tomllib.loads(file.read_text(encoding="utf-8")), file.name) for file in files]
    return {template.reference.id: template for template in sorted(read, key=lambda template: template.reference.id)}


@cache
def scenes() -> dict[str, Scene]:
    """The scenes that templates share, by name."""
    text = resources.files("functions.derive_prompt").joinpath("scenes.toml").read_text(encoding="utf-8")
    return {name: Scene(_locales(row), _locales(row["motion"])) for name, row in tomllib.loads(text).items()}


@cache
def negative_prompts() -> tuple[str, dict[str, str]]:
    """The default version's name, and every version's text."""
    text = resources.files("functions.derive_prompt").joinpath("negative_prompts.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    return document["default"], document["versions"]


def template_of(family: str | None) -> Template:
    """The template that films a family: its own, that of the family it is filmed as, or the general one."""
    known = templates()
    if family in known:
        return known[family]
    return known.get(table("families")["filmed_as"].get(family, GENERAL), known[GENERAL])
