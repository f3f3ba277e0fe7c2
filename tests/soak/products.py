"""What is published in the mixed run: products of every fate, and what may become of each."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.events import Event, Product
from shared.events.cloudevents import to_kafka

CREATED, UPDATED = "product.created", "product.updated"
ANSWERED, REJECTED, DEAD = "answered", "rejected", "dead"
SUPERSEDED = "superseded"
"""Allowed of a record that may go unanswered, since the same product's next one is answered."""

_NAMES = (
    ("ceramic mug", "陶瓷马克杯"),
    ("glass vase", "玻璃花瓶"),
    ("cotton pillow", "纯棉枕头"),
    ("desk lamp", "台灯"),
    ("running shoe", "跑步鞋"),
    ("wireless headphones", "无线蓝牙耳机"),
    ("leather wallet", "真皮钱包"),
    ("electric kettle", "电热水壶"),
    ("canvas backpack", "帆布双肩包"),
    ("wooden chair", "实木椅子"),
)
_COLOURS = (
    ("red", "红色"),
    ("white", "白色"),
    ("black", "黑色"),
    ("navy blue", "藏青色"),
    ("green", "绿色"),
    ("pink", "粉色"),
    ("grey", "灰色"),
    ("yellow", "黄色"),
    ("brown", "棕色"),
    ("purple", "紫色"),
)
_FEATURES = ("matte", "striped", "round", "floral", "glossy", "plaid")


class Message(NamedTuple):
    """A record to send."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


@dataclass
class Sent:
    """One record that was sent, and what may become of it."""

    kind: str
    allowed: frozenset[str]
    message: Message
    topic: str = CREATED
    event: Event[Any] | None = None
    """None: it is no event at all."""
    place: Any = None
    """The future of its partition and offset."""


class Catalogue:
    """Products without end, of every fate in its share."""

    def __init__(self, chance: random.Random, photos: list[str]) -> None:
        """`photos` are keys of good photos in the bucket."""
        self._chance = chance
        self._photos = photos
        self._number = 0
        self._fates: list[tuple[float, Callable[[], list[Sent]]]] = [
            (0.80, self._plain),
            (0.05, self._with_photo),
            (0.04, self._corrected),
            (0.03, self._poison),
            (0.02, self._forged),
            (0.02, self._unlawful),
            (0.015, self._absent_photo),
            (0.01, self._denied_photo),
            (0.01, self._foreign_photo),
            (0.004, self._heavy_headers),
            (0.001, self._dripping_photo),
        ]

    def take(self) -> list[Sent]:
        """The next product's records, nearly always one, in the order in which they are to be sent."""
        (fate,) = self._chance.choices([fate for _, fate in self._fates], [share for share, _ in self._fates])
        return fate()

    def plain(self, kind: str, allowed: frozenset[str] = frozenset({ANSWERED})) -> Sent:
        """A product without anything odd, counted as `kind`."""
        return self._sent(kind, allowed, self._product())

    def _plain(self) -> list[Sent]:
        return [self.plain("plain")]

    def _with_photo(self) -> list[Sent]:
        return [self._sent("photo", frozenset({ANSWERED}), self._product(image=self._chance.choice(self._photos)))]

    def _corrected(self) -> list[Sent]:
        """Created with a photo that is never there, which waits its rounds, and updated without it."""
        wrong = self._product(image=f"uploads/absent-{self._number}.png", color="red")
        right = wrong.model_copy(update={"image": None, "color": ("blue",)})
        # The later may supersede the earlier, which then needs no answer.
        first = self._sent("corrected: created", frozenset({REJECTED, DEAD, SUPERSEDED}), wrong)
        return [first, self._sent("corrected: updated", frozenset({ANSWERED}), right, UPDATED)]

    def _poison(self) -> list[Sent]:
        value = self._chance.choice([b"", b"\xff\xfe", b"[1, 2", b'{"product_id": 7}', b"null", b"{}"])
        return [Sent("poison", frozenset({DEAD}), Message(b"poison", value, []))]

    def _forged(self) -> list[Sent]:
        """With the runtime's own headers: they are not believed here."""
        sent = self.plain("forged headers")
        forged = [
            ("skureel.due-at", b"99999999999999"),
            ("skureel.rounds", b"9"),
            ("skureel.attempts", b"9999"),
            ("skureel.first-failed-at", b"\x1b]0;x\x07\x1b[2J"),
            ("__connect.errors.topic", b"video.requested"),
            ("__connect.errors.offset", b"1"),
        ]
        sent.message = sent.message._replace(headers=[*sent.message.headers, *forged])
        return [sent]

    def _unlawful(self) -> list[Sent]:
        return [self._sent("unlawful words", frozenset({REJECTED}), self._product(name="全国第一 最好的 仿真枪"))]

    def _absent_photo(self) -> list[Sent]:
        product = self._product(image=f"uploads/absent-{self._number}.png")
        return [self._sent("absent photo", frozenset({REJECTED, DEAD}), product)]

    def _denied_photo(self) -> list[Sent]:
        product = self._product(image=f"uploads/denied-{self._number}.png")
        return [self._sent("denied photo", frozenset({REJECTED, DEAD}), product)]

    def _foreign_photo(self) -> list[Sent]:
        product = self._product(image="https://169.254.169.254/latest/meta-data")
        return [self._sent("foreign photo", frozenset({REJECTED}), product)]

    def _heavy_headers(self) -> list[Sent]:
        sent = self.plain("heavy headers", frozenset({ANSWERED, DEAD}))
        heavy = [(f"x-{number}", bytes(200_000)) for number in range(10)]
        sent.message = sent.message._replace(headers=[*sent.message.headers, *heavy])
        return [sent]

    def _dripping_photo(self) -> list[Sent]:
        product = self._product(image="uploads/drip.png")
        return [self._sent("dripping photo", frozenset({REJECTED, DEAD}), product)]

    def _product(self, **fields: Any) -> Product:
        self._number += 1
        language = self._chance.randrange(2)
        given = {
            "product_id": f"SKU-{self._number}",
            "name": self._chance.choice(_NAMES)[language],
            "color": self._chance.choice(_COLOURS)[language],
            "features": [self._chance.choice(_FEATURES)] if self._chance.random() < 0.3 else [],
            **fields,
        }
        return Product.model_validate({name: value for name, value in given.items() if value})

    def _sent(self, kind: str, allowed: frozenset[str], product: Product, topic: str = CREATED) -> Sent:
        event = Event(topic, "/soak", f"{topic}-{product.product_id}", product, datetime.now(UTC))
        written = to_kafka(event)
        return Sent(kind, allowed, Message(written.key, written.value, list(written.headers)), topic, event)


def bomb(name: str, *, crumbs: int, zeros: int) -> Iterator[Sent]:
    """The records of one bomb; those of `crumbs` are to make one batch."""
    if name == "zeros":
        yield Sent("bomb: zeros", frozenset({DEAD}), Message(b"bomb", bytes(zeros), []))
    elif name == "headers":
        headers = [(f"x-{number}", bytes(280_000)) for number in range(25)]
        yield Sent("bomb: headers", frozenset({DEAD}), Message(b"bomb", b"0", headers))
    else:
        yield from (Sent("bomb: crumbs", frozenset({DEAD}), Message(None, b"0", [])) for _ in range(crumbs))
