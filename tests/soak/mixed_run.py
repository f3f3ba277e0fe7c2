"""The mixed run itself: what is done when, and what must be true at the end."""

import heapq
import io
import random
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

from model_store.manifest import write_manifest
from shared.kafka import create_topics
from shared.objects import ObjectStore
from shared.settings import KafkaSettings, ObjectSettings
from tests.painting import MANIFEST
from tests.servers import RealKafka, RealMinio
from tests.soak.batches import BOMBER, CODECS, Producers, damage
from tests.soak.ledger import Log, Row, judge
from tests.soak.members import Crew
from tests.soak.products import CREATED, Catalogue, Sent, bomb
from tests.soak.proxy import StoreProxy, Weather
from tests.soak.watch import Figures, Watch

PARTITIONS = 6
WORKERS = {"derive_prompt": 2, "render_video": 2, "redeliver": 1}
PHOTOS = 20
PUBLISHED_AT = 0.7
"""The share of the run after which everything is published; the rest is for what waits."""
OUTAGE_AT = 0.25
LONGEST_OUTAGE_SECONDS = 600.0
FREEZE_SECONDS = 15.0
SESSION_MS = 10_000
TELL_SECONDS = 10.0
QUIET_LOOKS = 3
"""So many times in a row nothing may be behind or in work before the run is over."""
MEMORY_BYTES = {"derive_prompt": 500 << 20}
"""What a worker may take at most."""
LONGEST_SECONDS = {"derive_prompt": 150.0, "render_video": 300.0}
"""How long a record may be in work: derive_prompt's own deadline, and until that is noticed; a painted clip takes
seconds."""


@dataclass(frozen=True)
class Plan:
    """How much is done, in how long."""

    products: int = 20_000
    minutes: float = 30.0
    seed: int = 20261128

    @property
    def seconds(self) -> float:
        return 60 * self.minutes

    @property
    def share(self) -> float:
        """Of a full run of half an hour."""
        return min(1.0, self.minutes / 30)

    @property
    def retry_delays(self) -> tuple[float, ...]:
        """The defaults, in a shorter run shorter."""
        return tuple(max(1.0, round(delay * self.share)) for delay in KafkaSettings().retry_delays_seconds)

    @property
    def outage_seconds(self) -> float:
        return LONGEST_OUTAGE_SECONDS * self.share

    @property
    def crumbs(self) -> int:
        return int(50_000 * self.share)

    @property
    def zeros(self) -> int:
        """Bytes."""
        return int((300 << 20) * max(0.3, self.share))


class MixedRun:
    """One run: servers, workers, and what has been sent so far."""

    def __init__(self, plan: Plan, folder: Path, stack: ExitStack) -> None:
        self.plan = plan
        self.sent: list[Sent] = []
        self.damaged: list[tuple[str, int, int, int]] = []
        """Topic, partition, first and last offset of every damaged batch."""
        self._chance = random.Random(plan.seed)
        self._events: list[tuple[float, int, str, Callable[[], None]]] = []
        self._kafka = stack.enter_context(RealKafka(folder / "kafka"))
        minio = stack.enter_context(RealMinio(folder / "minio"))
        self._proxy = stack.enter_context(StoreProxy(minio.port))
        self.kafka = self._kafka.settings.model_copy(
            update={"topic_prefix": f"soak-{uuid4().hex[:6]}.", "retry_delays_seconds": plan.retry_delays}
        )
        create_topics(self.kafka, partitions=PARTITIONS, replication=1)
        objects = minio.settings.model_copy(update={"bucket": "soak"})
        self._catalogue = Catalogue(self._chance, _upload_photos(objects))
        model = folder / "model"
        model.mkdir()
        write_manifest(model, MANIFEST)
        logs = folder / "workers"
        logs.mkdir()
        environment = _environment(self.kafka, objects, self._proxy.port, model, folder)
        self.crew = stack.enter_context(Crew(environment, WORKERS, logs))
        self._producers = stack.enter_context(Producers(self.kafka))
        self.watch = stack.enter_context(Watch(self.crew, self.kafka, self._proxy))
        self._began = time.monotonic()

    def publish_and_disturb(self) -> None:
        """Publish everything evenly while the timeline takes its course."""
        self._plan_events()
        told = 0.0
        published = 0
        while self._elapsed() < self.plan.seconds or published < self.plan.products or self._events:
            due = int(self.plan.products * min(1.0, self._elapsed() / (PUBLISHED_AT * self.plan.seconds)))
            while published < due:
                published += self._publish(self._catalogue.take())
            while self._events and self._events[0][0] <= self._elapsed():
                _, _, name, act = heapq.heappop(self._events)
                self._tell(name)
                act()
            if self._elapsed() - told >= TELL_SECONDS:
                told = self._elapsed()
                self._tell(f"{published:,} of {self.plan.products:,} published; {self.watch.line()}")
            time.sleep(0.2)  # the run's own pace

    def settle(self) -> bool:
        """Wait until nothing is behind or in work any more; whether that came about in time."""
        self._producers.flush()
        limit = self._elapsed() + 180 + 3 * sum(self.plan.retry_delays)
        quiet = 0
        told = self._elapsed()
        while self._elapsed() < limit:
            time.sleep(2 * TELL_SECONDS / QUIET_LOOKS)
            behind = self.watch.lag()
            quiet = quiet + 1 if behind and not any(behind.values()) and not self.watch.in_flight() else 0
            if quiet >= QUIET_LOOKS:
                return True
            if self._elapsed() - told >= TELL_SECONDS:
                told = self._elapsed()
                self._tell(f"waiting for the last; {self.watch.line()}")
        return False

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _tell(self, text: str) -> None:
        minutes, seconds = divmod(int(self._elapsed()), 60)
        sys.stdout.write(f"{minutes:3d}:{seconds:02d}  {text}\n")
        sys.stdout.flush()

    def _plan_events(self) -> None:
        outage = OUTAGE_AT
        third = self.plan.outage_seconds / self.plan.seconds / 3
        for number, weather in enumerate((Weather.REFUSES, Weather.HANGS, Weather.UNAVAILABLE)):
            self._at(outage + number * third, f"the store {weather.value}", lambda w=weather: self._turn(w))
        self._at(outage + 2.5 * third, "batches are damaged", self._damage)
        self._at(outage + 3 * third, "the store is back", lambda: self._turn(Weather.CLEAR))
        self._at(0.64, "the store refuses writes", lambda: self._turn(Weather.READ_ONLY))
        self._at(0.67, "the store takes writes again", lambda: self._turn(Weather.CLEAR))
        self._at(0.12, "the broker is killed", lambda: self._restart(kill=True))
        self._at(outage + 1.5 * third, "the broker restarts in the outage", lambda: self._restart(kill=True))
        # A broker that is killed now would mend its log, and cut off what was damaged.
        self._at(0.70, "the broker restarts", lambda: self._restart(kill=False))
        for share, name in ((0.08, "zeros"), (0.18, "crumbs"), (0.22, "headers"), (0.6, "zeros"), (0.75, "crumbs")):
            self._at(share, f"a bomb: {name}", lambda n=name: self._throw(n))
        kills = max(4, int(self.plan.seconds / 45))
        for number in range(kills):
            act, name = ((self._kill, "a worker is killed"), (self._freeze, "a worker is frozen"))[number % 2]
            self._at(0.05 + 0.85 * number / kills, name, act)

    def _at(self, share: float, name: str, act: Callable[[], None]) -> None:
        self._after(share * self.plan.seconds, name, act)

    def _after(self, seconds: float, name: str, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (seconds, len(self._events) + int(1e6 * seconds), name, act))

    def _publish(self, records: list[Sent], partition: int | None = None, codec: str | None = "any") -> int:
        for record in records:
            chosen = self._chance.choice(CODECS) if codec == "any" else codec
            topic = self.kafka.topic_prefix + record.topic
            record.place = self._producers.send(chosen, topic, record.message, partition)
            self.sent.append(record)
        return len(records)

    def _turn(self, weather: Weather) -> None:
        self._proxy.weather = weather

    def _restart(self, *, kill: bool) -> None:
        self._kafka.kill() if kill else self._kafka.stop()
        self._kafka.start()

    def _throw(self, name: str) -> None:
        records = list(bomb(name, crumbs=self.plan.crumbs, zeros=self.plan.zeros))
        self._publish(records, self._chance.randrange(PARTITIONS), BOMBER)

    def _damage(self) -> None:
        """A batch of each codec, once so that its checksum tells and once so that it does not."""
        for codec in CODECS:
            for mended in (False, True):
                partition = self._chance.randrange(PARTITIONS)
                batch = [self._catalogue.plain("in a damaged batch") for _ in range(20)]
                self._publish(batch, partition, codec)
                self._producers.flush()
                topic = self.kafka.topic_prefix + CREATED
                offset = batch[0].place.get(timeout=60).offset
                first, last = damage(self._kafka.logs, topic, partition, offset, mend_checksum=mended)
                self.damaged.append((CREATED, partition, first, last))

    def _kill(self) -> None:
        self.crew.replace(self.crew.one(self._chance))

    def _freeze(self) -> None:
        member = self.crew.one(self._chance)
        member.freeze()
        self._after(self._elapsed() + FREEZE_SECONDS, "and thawed", member.thaw)


def run(plan: Plan, folder: Path, out: Path) -> int:
    """The whole run. Prints its progress and a table, draws a plot; returns 1 where something was wrong."""
    with ExitStack() as stack:
        mixed = MixedRun(plan, folder, stack)
        mixed.publish_and_disturb()
        settled = mixed.settle()
        wrong = [] if settled else ["not everything was done in time"]
        wrong += mixed.crew.ended_unasked
        figures = mixed.watch.figures()
        out.mkdir(parents=True, exist_ok=True)
        mixed.watch.draw(out / "soak.png")
        wrong += mixed.crew.stop() + _too_much(figures)
        rows = judge(mixed.sent, mixed.damaged, Log(mixed.kafka))
    table = _table(rows, figures, wrong)
    (out / "soak.txt").write_text(table)
    sys.stdout.write(table)
    return 1 if wrong or any(row.faults() for row in rows.values()) else 0


def _too_much(figures: Mapping[str, Figures]) -> list[str]:
    wrong = []
    for function, worst in figures.items():
        wrong += [f"{function} was not live: {moment}" for moment in worst.dead_moments[:5]]
        if worst.oldest_seconds > LONGEST_SECONDS.get(function, sys.float_info.max):
            wrong.append(f"{function} had a record in work for {worst.oldest_seconds:.0f} s")
        if worst.memory_bytes > MEMORY_BYTES.get(function, sys.maxsize):
            wrong.append(f"{function} took {worst.memory_bytes >> 20} MiB")
    return wrong


def _table(rows: Mapping[str, Row], figures: Mapping[str, Figures], wrong: list[str]) -> str:
    lines = [
        f"\n{'record':<24}{'sent':>9}{'answered':>10}{'rejected':>10}{'dead':>8}{'lost':>6}{'twice':>6}{'wrong':>6}"
    ]
    for kind, row in sorted(rows.items()):
        ended = (f"{row.endings[name]:>{width}}" for name, width in (("answered", 10), ("rejected", 10), ("dead", 8)))
        lost, twice, other = len(row.lost), len(row.twice), len(row.wrong)
        lines.append(f"{kind:<24}{row.sent:>9}{''.join(ended)}{lost:>6}{twice:>6}{other:>6}")
    lines.append(f"\n{'function':<24}{'memory':>10}{'oldest in work':>16}{'not live':>10}")
    for function, worst in sorted(figures.items()):
        memory, oldest = f"{worst.memory_bytes >> 20} MiB", f"{worst.oldest_seconds:.0f} s"
        lines.append(f"{function:<24}{memory:>10}{oldest:>16}{len(worst.dead_moments):>10}")
    told = [fault for row in rows.values() for fault in (*row.lost[:5], *row.twice[:5], *row.wrong[:5])]
    lines += ["", *(wrong + told or ["all is well"])]
    return "\n".join(lines) + "\n"


def _environment(
    kafka: KafkaSettings, objects: ObjectSettings, store_port: int, model: Path, folder: Path
) -> dict[str, str]:
    assert objects.secret_key is not None
    settings: dict[str, Any] = {
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "KAFKA__RETRY_DELAYS_SECONDS": ",".join(map(str, kafka.retry_delays_seconds)),
        # Short enough to see a killed worker's partitions go on.
        "KAFKA__SESSION_TIMEOUT_MS": SESSION_MS,
        "KAFKA__HEARTBEAT_INTERVAL_MS": 1_000,
        "KAFKA__TRANSACTION_TIMEOUT_MS": SESSION_MS,
        "OBJECTS__ENDPOINT": f"127.0.0.1:{store_port}",
        "OBJECTS__ACCESS_KEY": objects.access_key,
        "OBJECTS__SECRET_KEY": objects.secret_key.get_secret_value(),
        "OBJECTS__BUCKET": objects.bucket,
        "OBJECTS__SECURE": "false",
        "MODEL__NAME": model,
        "MODEL__THREADS": 1,
        "HEALTH__HOST": "127.0.0.1",
        "LOG__FORMAT": "text",
    }
    scratch = folder / "scratch"  # what killed processes leave goes with the run
    scratch.mkdir()
    return {"TMPDIR": str(scratch), **{f"SKUREEL_{name}": str(value) for name, value in settings.items()}}


def _upload_photos(objects: ObjectSettings) -> list[str]:
    """Good photos and one that drips; returns the keys of the good ones."""
    store = ObjectStore(objects)
    store.check()
    keys = []
    for number in range(PHOTOS):
        picture = io.BytesIO()
        Image.new("RGB", (256, 192), (12 * number, 200, 90)).save(picture, "PNG")
        store.put_new(f"uploads/photo-{number}.png", picture.getvalue(), "image/png")
        keys.append(f"uploads/photo-{number}.png")
    store.put_new("uploads/drip.png", picture.getvalue(), "image/png")
    return keys
