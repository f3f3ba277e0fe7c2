"""derive_prompt on one core against a real broker and a real store, events in and out included, transactions on.

    python -m tests.benchmarks.derive_throughput [--quick] [--products FILE]

Known ids: a real catalogue repeated with fresh product ids, every clip in the store; beside it a bare
consume-transact-produce loop over the same records, in turn. New ids: every product another colour, one look-up each.
Every contestant is a process of its own on one core; the broker and the store have the others.
"""

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from functions.derive_prompt import DerivePrompt, SpecMaker
from functions.derive_prompt.recognise.understanding import visible_fields
from model_store.manifest import Manifest
from model_store.sampling import SamplerConfig
from shared.clips import ClipRecord, ClipStore
from shared.drawing import ClipNumbers
from shared.events import Clip, Event, Inspection, Label, Poster, Product, RenderSpec
from shared.kafka import Publisher, create_topics
from shared.objects import ObjectStore
from shared.settings import KafkaSettings, ObjectSettings, Settings
from tests.benchmarks.contest import Result, bare_loop, make_topics, measured_worker, on_one_core, own_prefix
from tests.servers import RealKafka, RealMinio

CATALOGUE = Path(__file__).parents[2] / ".." / "shared" / "data" / "products_zh.jsonl"
BUNDLED = Path(__file__).parents[2] / "functions" / "demo_products.jsonl"
MANIFEST = Manifest(
    name="benchmark",
    version="1",
    architecture="wan2.2-ti2v",
    quantisation="none",
    licence="Apache-2.0",
    sampler=SamplerConfig(kind="unipc"),
    defaults=ClipNumbers(width=640, height=480, frames=73, fps=24, steps=50, guidance=5.0),
    files=(),
)
SHADES = "青岚霞月松竹雪云烟雨晨暮秋春夏冬山海星河石玉花叶露霜江湖风林泉溪沙谷岩荷梅兰菊桃"


class Counted(DerivePrompt):
    """derive_prompt that counts what it has handled."""

    handled = 0

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        answers = super().handle(event)
        self.handled += 1
        return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events")
    parser.add_argument("--products", type=Path, default=CATALOGUE if CATALOGUE.is_file() else BUNDLED)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "kafka").mkdir()
        (scratch / "minio").mkdir()
        with RealKafka(scratch / "kafka") as kafka, RealMinio(scratch / "minio") as minio:
            run(kafka.settings, minio.settings, options.products, 0.1 if options.quick else 1.0)


def run(kafka: KafkaSettings, objects: ObjectSettings, file: Path, share: float) -> None:
    catalogue = [Product.model_validate_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
    print(f"catalogue: {len(catalogue)} products of {file.name}; {keep_clips(catalogue, objects)} clips in the store")

    ratios, cpu_ratios = [], []
    for _ in range(3):
        settings, events = published(kafka, repeated(catalogue, int(20_000 * share)))
        bare = on_one_core(bare_loop, settings, *topics_of(settings), events)
        ours = on_one_core(derive, settings, objects, events)
        print(bare.line("bare loop"))
        print(ours.line("derive_prompt, known ids"))
        ratios.append(ours.rate / bare.rate)
        cpu_ratios.append(ours.cpu_rate / bare.cpu_rate)
    print(
        f"derive_prompt to bare loop, median of 3: {statistics.median(ratios):.2f} by the clock, "
        f"{statistics.median(cpu_ratios):.2f} by CPU time (wanted: 0.5)"
    )

    rates = []
    for _ in range(3):
        settings, events = published(kafka, all_different(int(5_000 * share)))
        result = on_one_core(derive, settings, objects, events)
        print(result.line("derive_prompt, new ids"))
        rates.append(result.rate)
    print(f"new ids, median of 3: {statistics.median(rates):.0f} events/s (wanted: 500)")

    settings, events = published(kafka, repeated(catalogue, int(100_000 * share)))
    result = on_one_core(derive, settings, objects, events)
    print(result.line("derive_prompt, long run"))
    tenths = " ".join(f"{mib:.0f}" for mib in result.memory_mib)
    growth = result.memory_mib[-1] - result.memory_mib[4]
    print(f"memory after each tenth: {tenths} MiB; {growth:+.1f} in the second half")


def derive(kafka: KafkaSettings, objects: ObjectSettings, events: int) -> Result:
    function = Counted(Settings(), ClipStore(ObjectStore(objects)), MANIFEST)
    function.start()
    return measured_worker(function, kafka, events, lambda: function.handled)


def published(kafka: KafkaSettings, products: Iterator[Product]) -> tuple[KafkaSettings, int]:
    """Topics of their own with these products in them."""
    settings = own_prefix(kafka)
    create_topics(settings, partitions=4, replication=1)
    make_topics(settings, [topics_of(settings)[1]])
    now, count = datetime.now(UTC), 0
    with Publisher(settings) as publisher:
        for count, product in enumerate(products, start=1):
            publisher.publish(Event("product.created", "/benchmark", f"e-{count}", product, now))
    return settings, count


def topics_of(settings: KafkaSettings) -> tuple[str, str]:
    return settings.topic_prefix + "product.created", settings.topic_prefix + "bare"


def repeated(catalogue: list[Product], count: int) -> Iterator[Product]:
    for number in range(count):
        yield catalogue[number % len(catalogue)].model_copy(update={"product_id": f"SKU-{number}"})


def all_different(count: int) -> Iterator[Product]:
    shades = itertools.islice(itertools.product(SHADES, repeat=3), count)
    for number, shade in enumerate(shades):
        yield Product(product_id=f"SKU-{number}", name="手工陶瓷饭碗", color=("".join(shade) + "色",))


def keep_clips(catalogue: list[Product], objects: ObjectSettings) -> int:
    """A ready record, and files, for every look of the catalogue; returns how many there are."""
    maker = SpecMaker(Settings(), MANIFEST)
    store = ClipStore(ObjectStore(objects))
    store.objects.check()
    derived = (maker.derive(visible_fields(product)).spec for product in catalogue)
    specs = {spec.video_id: spec for spec in derived if spec is not None}
    for spec in specs.values():
        for key in store.keep_record(record(spec)).keys():
            store.objects.put_new(key, b"x", "video/mp4")
    return len(specs)


def record(spec: RenderSpec) -> ClipRecord:
    place = f"videos/{spec.video_id}/{'0' * 64}"
    return ClipRecord(
        video_id=spec.video_id,
        outcome="ready",
        spec=spec,
        master=Clip(
            url="",
            key=f"{place}.mp4",
            sha256="0" * 64,
            size_bytes=400_000,
            width=spec.width,
            height=spec.height,
            frames=spec.frames,
            fps=spec.fps,
            duration_ms=3042,
            codec="h264",
        ),
        poster=Poster(
            url="", key=f"{place}.jpg", sha256="0" * 64, size_bytes=40_000, width=spec.width, height=spec.height
        ),
        seed=spec.seed_for(0),
        attempts=1,
        inspection=Inspection(profile="standard", profile_version=1, scores={"noise": 1.0, "motion": 0.9}),
        label=Label(profile=spec.label_profile, produce_id=spec.video_id[:32]),
        timings_seconds={"denoise": 4.0, "decode": 1.0, "store": 0.1},
    )


if __name__ == "__main__":
    main()
