"""`skureel demo`: the whole journey on one machine, from products in a file to a page of clips.

The functions run as they do in production, each on its own worker; only where no broker or store is configured,
embedded ones take their place. Not a deployable function.
"""

import hashlib
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import jinja2

from functions.cli.products_file import ProductsFile
from functions.cli.progress import Progress
from functions.registry import FUNCTIONS, build
from shared.errors import ConfigurationError, TemporaryError
from shared.events import Event, Product, VideoReady, VideoRejected, VideoRequested, VideoReview
from shared.events.cloudevents import to_structured
from shared.function import warm
from shared.kafka import Publisher, Worker, create_topics, list_dead_letters, tail
from shared.objects import ObjectStore
from shared.printable import one_line
from shared.settings import KafkaSettings, ObjectSettings, Settings, without_passwords

CATALOGUE = Path(__file__).parent / "demo_products.jsonl"
PAGE = "demo_page.html"
ANSWERS = ("video.ready", "video.review", "video.rejected")
TOPIC_PREFIX = "demo."
URL_SECONDS = 24 * 3600
QUIET_SECONDS = 5.0
"""After this long without an answer the dead letters are looked at."""
STALLED_SECONDS = 900.0
"""A demo in which nothing at all happens for this long has failed; the slowest clip takes less."""


@dataclass
class Journey:
    """One product's way through the demo, told apart from other runs' by its trace."""

    event: Event[Product]
    trace: str
    requested: Event[VideoRequested] | None = None
    answer: Event[VideoReady] | Event[VideoReview] | Event[VideoRejected] | None = None
    dead_letter: str | None = None
    clip: str | None = None
    poster: str | None = None

    @property
    def outcome(self) -> str:
        """What became of the product, in a word."""
        if self.dead_letter is not None:
            return "dead letter"
        if self.answer is None:
            return "unanswered"
        if isinstance(self.answer.data, VideoReady):
            return "shared" if self.answer.data.cache_hit else "rendered"
        return self.answer.type.removeprefix("video.")


@dataclass
class Outcome:
    """What a demo run came to."""

    journeys: Sequence[Journey]
    out: Path
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """How many products came to each outcome."""
        return dict(Counter(journey.outcome for journey in self.journeys))

    @property
    def everything_answered(self) -> bool:
        """Whether every product ended in video.ready, video.review or video.rejected."""
        return all(journey.answer is not None for journey in self.journeys)


def embedded_alone(settings: Settings) -> bool:
    """Whether the demo touches nothing but servers of its own."""
    return settings.kafka.bootstrap_servers is None and settings.objects.endpoint is None


def apart(settings: Settings) -> Settings:
    """The settings with topics and consumer groups of the demo's own, where the Kafka is not: its functions take no
    partition and no event from those that run there."""
    kafka = settings.kafka
    if kafka.bootstrap_servers is None:
        return settings
    return settings.model_copy(
        update={"kafka": kafka.model_copy(update={"topic_prefix": kafka.topic_prefix + TOPIC_PREFIX})}
    )


def servers(settings: Settings, out: Path) -> str:
    """Which Kafka and which bucket the demo uses, in a line."""
    kafka, objects = settings.kafka, settings.objects
    broker = "an embedded Kafka"
    if kafka.bootstrap_servers is not None:
        address = without_passwords(kafka.bootstrap_servers)
        broker = f"Kafka at {address}, topics and consumer groups of its own ({kafka.topic_prefix}*),"
    store = f"an embedded store in {out / 'store'}"
    if objects.endpoint is not None:
        store = f"bucket {objects.bucket} at {objects.endpoint}"
    return f"uses {broker} and {store}"


def run_demo(settings: Settings, products: ProductsFile, count: int | None, out: Path) -> Outcome:
    """Publish the products, run the functions, wait for every answer, and leave events, clips and a page in `out`."""
    started = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be made: {error.strerror}; give another --out") from error
    journeys = _journeys(products, count)
    with ExitStack() as stack:
        settings = stack.enter_context(_servers(settings, out))
        create_topics(settings.kafka)
        workers = stack.enter_context(_running(settings))
        with Publisher(settings.kafka) as publisher:
            for journey in journeys:
                publisher.publish(journey.event)
        _follow(settings.kafka, journeys, workers)
        _download(ObjectStore(settings.objects), journeys, out)
    _write_events(journeys, out / "events.jsonl")
    _write_page(journeys, out / "index.html")
    return Outcome(journeys, out, time.monotonic() - started)


def _journeys(products: ProductsFile, count: int | None) -> list[Journey]:
    journeys: list[Journey] = []
    for _, event, _ in islice(products.events("/skureel/demo"), count):
        # A trace of its own for every product: it travels to the answer, whatever else the broker holds, and is
        # new in every run, for the broker may still hold the last one's answers.
        trace = secrets.token_hex(16)
        traced = replace(event, extensions={**event.extensions, "traceparent": f"00-{trace}-{trace[:16]}-01"})
        journeys.append(Journey(traced, trace))
    if not journeys:
        raise ConfigurationError(f"{products.name} holds no product that can be read; give a product a row")
    return journeys


@contextmanager
def _servers(settings: Settings, out: Path) -> Iterator[Settings]:
    """The configured broker and store; embedded ones stand in for what is not configured."""
    from shared.embedded import embedded_broker, embedded_store  # an extra that production images do without

    with ExitStack() as stack:
        kafka, objects = settings.kafka, settings.objects
        if kafka.bootstrap_servers is None:
            if "level" not in settings.log.model_fields_set:
                stack.enter_context(_slowness_untold())
            here: KafkaSettings = stack.enter_context(embedded_broker())
            told = {name: getattr(kafka, name) for name in kafka.model_fields_set}
            kafka = here.model_copy(update=told)
        if objects.endpoint is None:
            store: ObjectSettings = stack.enter_context(embedded_store(out / "store"))
            # The urls in events open for whoever looks on while the demo runs.
            objects = store.model_copy(update={"presign_seconds": URL_SECONDS})
        yield settings.model_copy(update={"kafka": kafka, "objects": objects})


@contextmanager
def _slowness_untold() -> Iterator[None]:
    """The embedded broker is never away: where it does not answer in time, the machine is busy, and that is no news."""
    runtime = logging.getLogger("shared.kafka.runtime")
    level = runtime.level
    runtime.setLevel(logging.ERROR)
    try:
        yield
    finally:
        runtime.setLevel(level)


@contextmanager
def _running(settings: Settings) -> Iterator[Sequence[Future[None]]]:
    """Run every function on a worker of its own until the block ends; a failure shows in its future."""
    workers: list[Worker] = []
    stopping = threading.Event()

    def run(name: str) -> None:
        function = build(name, settings)
        with warm(function):
            worker = Worker(function, settings.kafka)
            workers.append(worker)
            if not stopping.is_set():
                worker.run()

    with ThreadPoolExecutor(len(FUNCTIONS), thread_name_prefix="demo") as pool:
        futures = [pool.submit(run, name) for name in FUNCTIONS]
        end = Worker.stop
        try:
            yield futures
        except BaseException:
            # Nobody waits for what is still in work: the demo has failed, or was interrupted.
            end = Worker.abandon
            raise
        finally:
            stopping.set()
            for worker in workers:
                end(worker)
    for future in futures:
        future.result()


def _follow(kafka: KafkaSettings, journeys: Sequence[Journey], workers: Sequence[Future[None]]) -> None:
    """Read video events until every journey has its answer, is a dead letter, or nothing moves any more."""
    by_trace = {journey.trace: journey for journey in journeys}
    last_news = last_look = time.monotonic()

    def waiting() -> int:
        return sum(journey.answer is None and journey.dead_letter is None for journey in journeys)

    def over() -> bool:
        nonlocal last_look
        failed = next((worker.exception() for worker in workers if worker.done()), None)
        if failed is not None:
            raise failed
        now = time.monotonic()
        if now - max(last_news, last_look) > QUIET_SECONDS:
            last_look = now
            _note_dead_letters(kafka, by_trace)
        return not waiting() or now - last_news > STALLED_SECONDS

    with Progress("products", len(journeys)) as progress:
        progress.update(0, "the model is loading")
        for event in tail(kafka, ("video.requested", *ANSWERS), from_beginning=True, stop=over):
            journey = by_trace.get(_trace_of(event.extensions.get("traceparent", "")))
            if journey is None:
                continue
            last_news = time.monotonic()
            if event.type == "video.requested":
                journey.requested = event
                continue
            journey.answer = event
            progress.update(len(journeys) - waiting(), f"{journey.event.data.name}: {journey.outcome}")


def _note_dead_letters(kafka: KafkaSettings, by_trace: Mapping[str, Journey]) -> None:
    try:
        letters = list(list_dead_letters(kafka))
    except TemporaryError:
        # Looked at again after the next quiet while; a broker that stays away ends the demo as stalled.
        return
    for letter in letters:
        parent = next((raw for name, raw in letter.headers if name == "ce_traceparent" and raw), b"")
        journey = by_trace.get(_trace_of(parent.decode("ascii", "replace")))
        if journey is not None:
            journey.dead_letter = f"{letter.story.reason}: {letter.story.message}"


def _trace_of(traceparent: str) -> str:
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


def _download(store: ObjectStore, journeys: Sequence[Journey], out: Path) -> None:
    """Bring each clip and poster to `out/videos` once; products that share a clip share the files."""
    folder = out / "videos"
    folder.mkdir(exist_ok=True)
    for journey in journeys:
        data = journey.answer.data if journey.answer is not None else None
        if isinstance(data, VideoReady | VideoReview):
            # Named by the video id, never by anything a product says.
            journey.clip = f"videos/{data.video_id}.mp4"
            journey.poster = f"videos/{data.video_id}.jpg"
            for name, part in ((journey.clip, data.master), (journey.poster, data.poster)):
                path = out / name
                if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != part.sha256:
                    store.download(part.key, path)


def _write_events(journeys: Sequence[Journey], path: Path) -> None:
    with path.open("wb") as file:
        for journey in journeys:
            for event in (journey.requested, journey.answer):
                if event is not None:
                    file.write(to_structured(event) + b"\n")


def _write_page(journeys: Sequence[Journey], path: Path) -> None:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("functions.cli", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["path"] = lambda name: quote(str(name))
    cards = [_card(journey) for journey in journeys]
    counts = Counter(journey.outcome for journey in journeys)
    page = environment.get_template(PAGE).render(cards=cards, counts=counts)
    path.write_text(page, encoding="utf-8")


def summary(outcome: Outcome) -> list[str]:
    """A short table of what became of the products, and where to look."""
    drawn = [journey.answer.data for journey in outcome.journeys if journey.outcome == "rendered" and journey.answer]
    stages: dict[str, list[float]] = {}
    for data in drawn:
        if isinstance(data, VideoReady):
            for stage, seconds in data.timings_seconds.items():
                stages.setdefault(stage, []).append(seconds)
    rows = [*((name, str(count)) for name, count in sorted(outcome.counts.items()))]
    rows += [(f"median {stage}", f"{median(seconds):.2f} s") for stage, seconds in stages.items()]
    rows += [("total", f"{outcome.seconds:.1f} s"), ("page", str(outcome.out / "index.html"))]
    unanswered = [journey for journey in outcome.journeys if journey.answer is None]
    rows += [
        (f"product {one_line(journey.event.data.product_id)}", one_line(journey.dead_letter or "no answer"))
        for journey in unanswered
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def _card(journey: Journey) -> dict[str, Any]:
    """What the page shows of one product. Text is escaped by the template; links are made of video ids alone."""
    data = journey.answer.data if journey.answer is not None else None
    product = journey.event.data
    card: dict[str, Any] = {
        "product_id": product.product_id,
        "name": product.name,
        "category": " / ".join(product.category),
        "outcome": journey.outcome,
        "reasons": [journey.dead_letter] if journey.dead_letter else [],
        "clip": journey.clip,
        "poster": journey.poster,
        "prompt": None,
        "facts": [],
    }
    if isinstance(data, VideoReady):
        clip = data.master
        card["prompt"] = data.prompt
        card["facts"] = [
            (
                "clip",
                f"{clip.width}x{clip.height}, {clip.frames} frames at {clip.fps} fps, {clip.size_bytes / 1024:.0f} KiB",
            ),
            ("template", f"{data.template.id} v{data.template.version}"),
            ("model", f"{data.model.name} {data.model.revision[:12]}"),
            ("drawn", f"seed {data.seed}, {data.steps} steps, guidance {data.guidance:g}, {data.mode}"),
            ("inspection", ", ".join(f"{name} {score:.2f}" for name, score in data.inspection.scores.items())),
            ("label", f"{data.label.profile}, {data.label.produce_id}"),
            ("took", ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in data.timings_seconds.items())),
            ("video id", data.video_id),
        ]
    elif isinstance(data, VideoReview):
        card["prompt"] = data.spec.prompt
        card["reasons"] = [reason.message for reason in data.inspection.reasons]
        card["facts"] = [("attempts", str(data.attempts)), ("video id", data.video_id)]
    elif isinstance(data, VideoRejected):
        card["reasons"] = [reason.message for reason in data.reasons]
    card["facts"] = [(name, value) for name, value in card["facts"] if value]
    return card
