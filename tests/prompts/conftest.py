"""What the tests of derive_prompt share: a model's manifest, products, a store that counts, the real catalogue."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from functions.derive_prompt import DerivePrompt
from functions.derive_prompt.prompts import Caption, caption_of
from functions.derive_prompt.recognise.understanding import Understanding, understand, visible_fields
from model_store.manifest import Manifest
from model_store.sampling import SamplerConfig
from shared.clips import ClipRecord
from shared.drawing import ClipNumbers
from shared.events import Clip, Event, Inspection, Label, Poster, Product, RenderSpec
from shared.settings import Settings

REAL_CATALOGUE = Path(__file__).parents[2].parent / "shared" / "data" / "products_zh.jsonl"

MANIFEST = Manifest(
    name="paper",
    version="1",
    architecture="wan2.2-ti2v",
    quantisation="none",
    licence="Apache-2.0",
    sampler=SamplerConfig(kind="unipc"),
    defaults=ClipNumbers(width=640, height=480, frames=73, fps=24, steps=50, guidance=5.0),
    files=(),
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class CountingStore:
    """A store that holds the given records and counts how often each video id was asked for."""

    def __init__(self) -> None:
        self.records: dict[str, ClipRecord] = {}
        self.asked: list[str] = []

    def find(self, video_id: str) -> ClipRecord | None:
        self.asked.append(video_id)
        return self.records.get(video_id)

    def addressed(self, record: ClipRecord) -> ClipRecord:
        return record


def product(name: str = "陶瓷马克杯", **fields: Any) -> Product:
    """A product; only what a test says matters."""
    return Product.model_validate({"product_id": "SKU-1", "name": name, **fields})


def prompt(name: str = "陶瓷马克杯", **fields: Any) -> str:
    """The prompt of a product."""
    return captioned(name, **fields).prompt


def captioned(name: str = "陶瓷马克杯", **fields: Any) -> Caption:
    """The caption of a product, which is understood."""
    understood = understanding(name, **fields)
    assert understood.problem is None, (name, understood.problem, understood.choice)
    return caption_of(understood)


def filmed_whatever_it_is(name: str = "陶瓷马克杯", **fields: Any) -> str:
    """The prompt of a product, understood or not, as `SKUREEL_PROMPT__WHEN_UNSURE=film` would have it."""
    return caption_of(understanding(name, **fields)).prompt


def understanding(name: str = "陶瓷马克杯", **fields: Any) -> Understanding:
    """What a product is found to be."""
    return understand(visible_fields(product(name, **fields)))


def created(item: Product, event_id: str = "e-1") -> Event[Product]:
    """A product.created event."""
    return Event(type="product.created", source="/market", id=event_id, data=item, subject=item.product_id)


def record(spec: RenderSpec, outcome: str = "ready") -> ClipRecord:
    """What the store would hold of a rendered spec."""
    sha = "0" * 64
    picture = {"url": "http://store/x", "key": "x", "sha256": sha, "size_bytes": 1, "width": 640, "height": 480}
    return ClipRecord(
        video_id=spec.video_id,
        outcome=outcome,
        spec=spec,
        master=Clip(**picture, frames=73, fps=24, duration_ms=3041, codec="h264"),
        poster=Poster(**picture),
        seed=spec.seed_for(0),
        attempts=1,
        inspection=Inspection(profile="p", profile_version=1, scores={"blank": 1.0}),
        label=Label(profile="cn", produce_id="p-1"),
        timings_seconds={"denoise": 1.0},
    )


def started(settings: Settings | None = None, store: CountingStore | None = None, **extras: Any) -> DerivePrompt:
    """The function, started."""
    function = DerivePrompt(settings or Settings(), store or CountingStore(), MANIFEST, now=lambda: NOW, **extras)  # type: ignore[arg-type]
    function.start()
    return function


@pytest.fixture(scope="session")
def video_id() -> Callable[[Product], str]:
    """The video id that a product asks for."""
    function = started()

    def of(item: Product) -> str:
        (event,) = function.handle(created(item))
        assert event.type == "video.requested"
        return str(event.data.video_id)

    return of


@pytest.fixture(scope="session")
def real_products() -> list[Product]:
    """The real catalogue, where it lies beside the repository."""
    if not REAL_CATALOGUE.is_file():
        pytest.skip(f"the real catalogue is not at {REAL_CATALOGUE}")
    lines = REAL_CATALOGUE.read_text(encoding="utf-8").splitlines()
    return [Product.model_validate_json(line) for line in lines]
