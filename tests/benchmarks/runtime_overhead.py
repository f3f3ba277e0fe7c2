"""What the delivery runtime costs: a worker with a handler that does nothing, against a bare loop over the same
records; and how busy it keeps a device whose jobs have CPU work before and after them.

    python -m tests.benchmarks.runtime_overhead [--quick]

Every contestant is a process of its own on one core; the broker has the others. Rates are by the clock and by CPU time.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.events import Event, Product, Reason, VideoRejected
from shared.kafka import Publisher, create_topics
from shared.settings import KafkaSettings
from tests.benchmarks.contest import Result, bare_loop, make_topics, measured_worker, on_one_core, own_prefix
from tests.servers import RealKafka

DEVICE_SECONDS = 1.0
BEFORE_SECONDS = 0.2
AFTER_SECONDS = 0.2


class Forward:
    """Does nothing but answer: one event in, the same small event out."""

    name = "derive_prompt"
    consumes: Sequence[str] = ("product.created",)

    def __init__(self) -> None:
        self.handled = 0
        self._data = VideoRejected(
            product_id="p", stage="screening", reasons=(Reason(code="none", message="a benchmark"),)
        )
        self._now = datetime.now(UTC)

    def start(self) -> None: ...

    def ready(self) -> bool:
        return True

    def stop(self) -> None: ...

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        self.handled += 1
        return [Event("video.rejected", "/benchmark", event.id, self._data, self._now)]


class Device:
    """A simulated GPU stage that one job holds at a time, with CPU work around it."""

    name = "render_video"
    consumes: Sequence[str] = ("product.created",)

    def __init__(self) -> None:
        self.handled = 0
        self.busy_seconds = 0.0
        self.first: float | None = None
        self.last = 0.0
        self._device = threading.Lock()

    def start(self) -> None: ...

    def ready(self) -> bool:
        return True

    def stop(self) -> None: ...

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        time.sleep(BEFORE_SECONDS)
        with self._device:
            started = time.perf_counter()
            self.first = self.first or started
            time.sleep(DEVICE_SECONDS)
            self.last = time.perf_counter()
            self.busy_seconds += self.last - started
        time.sleep(AFTER_SECONDS)
        self.handled += 1
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events")
    parser.add_argument("--broker", help="host:port of a broker to use instead of starting one")
    options = parser.parse_args()
    if options.broker:
        run(KafkaSettings(bootstrap_servers=options.broker), options.quick)
        return
    with tempfile.TemporaryDirectory() as folder, RealKafka(Path(folder)) as server:
        run(server.settings, options.quick)


def run(kafka: KafkaSettings, quick: bool) -> None:
    events = 5_000 if quick else 50_000
    settings = own_prefix(kafka)
    create_topics(settings, partitions=4, replication=1)
    source, target = settings.topic_prefix + "product.created", settings.topic_prefix + "bare"
    make_topics(settings, [target])
    publish(settings, events)
    ratios, cpu_ratios = [], []
    for round_number in range(1 if quick else 3):
        bare = on_one_core(bare_loop, settings, source, target, events)
        ours = on_one_core(forward, settings, events, round_number)
        print(bare.line("bare loop"))
        print(ours.line("worker, empty handler"))
        ratios.append(ours.rate / bare.rate)
        cpu_ratios.append(ours.cpu_rate / bare.cpu_rate)
    best, best_cpu = max(ratios), max(cpu_ratios)
    print(f"worker to bare loop, best of {len(ratios)}: {best:.2f} by the clock, {best_cpu:.2f} by CPU time")
    jobs = 8 if quick else 30
    settings = own_prefix(kafka)
    create_topics(settings, partitions=4, replication=1)
    publish(settings, jobs)
    busy = on_one_core(device, settings, jobs)
    print(f"device busy {busy:.1%} of the time from its first to its last job, over {jobs} jobs")


def forward(settings: KafkaSettings, events: int, round_number: int) -> Result:
    function = Forward()
    function.name = f"forward-{round_number}"
    return measured_worker(function, settings, events, lambda: function.handled)


def device(settings: KafkaSettings, jobs: int) -> float:
    function = Device()
    measured_worker(function, settings, jobs, lambda: function.handled)
    assert function.first is not None
    return function.busy_seconds / (function.last - function.first)


def publish(settings: KafkaSettings, events: int) -> None:
    """A catalogue's worth of small products."""
    with Publisher(settings) as publisher:
        for number in range(events):
            product = Product(
                product_id=f"SKU-{number}",
                name="无线蓝牙降噪耳机",
                color="黑色",
                features=("主动降噪", "续航30小时", "触控操作"),
            )
            publisher.publish(Event("product.created", "/benchmark", f"e-{number}", product, datetime.now(UTC)))


if __name__ == "__main__":
    main()
