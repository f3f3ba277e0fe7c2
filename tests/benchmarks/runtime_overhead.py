"""What the delivery runtime costs: a worker with a handler that does nothing, against a bare loop over the same
records; and how busy it keeps a device whose jobs have CPU work before and after them.

    python -m tests.benchmarks.runtime_overhead [--quick]

Every contestant is a process of its own on one core; the broker has the others. Rates are by the clock and by CPU time.
"""

import argparse
import statistics
import sys
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
BUSY_SHARE = 0.97


class Forward:
    """Does nothing but answer: one event in, the same small event out."""

    name = "derive_prompt"
    consumes: Sequence[str] = ("product.created",)
    deadline_seconds = 60.0

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

    def check(self) -> None: ...

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        self.handled += 1
        return [Event("video.rejected", "/benchmark", event.id, self._data, self._now)]


class Device:
    """A simulated GPU stage that one job holds at a time, with CPU work around it."""

    name = "render_video"
    consumes: Sequence[str] = ("product.created",)
    deadline_seconds = 60.0

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

    def check(self) -> None: ...

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        _compute(BEFORE_SECONDS)
        with self._device:
            started = time.perf_counter()
            self.first = self.first or started
            time.sleep(DEVICE_SECONDS)  # the simulated device works, and needs no core for it
            self.last = time.perf_counter()
            # Not what the clock says: a thread that waits to be woken is no busy device.
            self.busy_seconds += DEVICE_SECONDS
        _compute(AFTER_SECONDS)
        self.handled += 1
        return []


def _compute(cpu_seconds: float) -> None:
    """Keep a core busy for that much of this thread's CPU time, holding the interpreter as Python code does."""
    until = time.thread_time() + cpu_seconds
    while time.thread_time() < until:
        pass


def main() -> int:
    """The exit code is 1 if the device was idle for more than it may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events, fewer rounds")
    parser.add_argument("--broker", help="host:port of a broker to use instead of starting one")
    options = parser.parse_args()
    if options.broker:
        return run(KafkaSettings(bootstrap_servers=options.broker), options.quick)
    with tempfile.TemporaryDirectory() as folder, RealKafka(Path(folder)) as server:
        return run(server.settings, options.quick)


def run(kafka: KafkaSettings, quick: bool) -> int:
    overhead(kafka, events=5_000 if quick else 50_000, rounds=3 if quick else 5)
    share = idleness(kafka, jobs=8 if quick else 30, rounds=1 if quick else 3)
    return 0 if share >= BUSY_SHARE else 1


def overhead(kafka: KafkaSettings, events: int, rounds: int) -> None:
    """The bare loop and the worker by turns over the same records: medians, and the spread beside them."""
    settings = own_prefix(kafka)
    create_topics(settings, partitions=4, replication=1)
    source, target = settings.topic_prefix + "product.created", settings.topic_prefix + "bare"
    make_topics(settings, [target])
    publish(settings, events)
    bare, ours = [], []
    for round_number in range(rounds):
        bare.append(on_one_core(bare_loop, settings, source, target, events))
        print(bare[-1].line("bare loop"), flush=True)
        ours.append(on_one_core(forward, settings, events, round_number))
        print(ours[-1].line("worker, empty handler"), flush=True)
    for what, rate in (("by the clock", _rate), ("by CPU time", _cpu_rate)):
        medians = [statistics.median(map(rate, results)) for results in (bare, ours)]
        ratios = sorted(rate(mine) / rate(theirs) for mine, theirs in zip(ours, bare, strict=True))
        print(
            f"{what}: bare loop {medians[0]:.0f}/s, worker {medians[1]:.0f}/s (medians of {rounds}); "
            f"worker to bare loop {medians[1] / medians[0]:.2f}, single rounds {ratios[0]:.2f} to {ratios[-1]:.2f}"
        )


def idleness(kafka: KafkaSettings, jobs: int, rounds: int) -> float:
    """The median share of the time in which the device was busy, from its first job's start to its last one's end."""
    shares = []
    for _ in range(rounds):
        settings = own_prefix(kafka)
        create_topics(settings, partitions=4, replication=1)
        publish(settings, jobs)
        shares.append(on_one_core(device, settings, jobs))
    share = statistics.median(shares)
    print(
        f"device busy {share:.2%} of a backlog of {jobs} jobs (median of {rounds}, worst {min(shares):.2%}; "
        f"at least {BUSY_SHARE:.0%} is promised): {DEVICE_SECONDS:g} s on the device, {BEFORE_SECONDS:g} s of CPU "
        f"before and {AFTER_SECONDS:g} s after"
    )
    return share


def _rate(result: Result) -> float:
    return result.rate


def _cpu_rate(result: Result) -> float:
    return result.cpu_rate


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
    sys.exit(main())
