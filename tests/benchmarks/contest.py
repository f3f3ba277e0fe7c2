"""What the delivery benchmarks share: a bare consume-transact-produce loop, a measured worker, one core each.

The bare loop is what a careful person writes with kafka-python alone: poll, send the records on, send the offsets in
the same transaction, commit. It decodes nothing and survives nothing.
"""

import multiprocessing
import os
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psutil
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata
from kafka.admin import KafkaAdminClient, NewTopic

from shared.function import Function
from shared.kafka import Worker
from shared.settings import KafkaSettings

_GIVE_UP_SECONDS = 900.0


@dataclass(frozen=True)
class Result:
    """One contestant's run over `events` records, from the first record taken to the last commit."""

    events: int
    wall_seconds: float
    cpu_seconds: float
    memory_mib: tuple[float, ...]
    """Resident memory after each tenth of the events."""

    @property
    def rate(self) -> float:
        """Events a second by the clock."""
        return self.events / self.wall_seconds

    @property
    def cpu_rate(self) -> float:
        """Events a second of this process's CPU time: what neighbours on a shared machine cannot disturb."""
        return self.events / self.cpu_seconds

    def line(self, name: str) -> str:
        return (
            f"{name:24} {self.events:7d} events  {self.rate:8.0f}/s  {self.cpu_rate:8.0f}/CPU s  "
            f"memory {self.memory_mib[0]:.0f} -> {self.memory_mib[-1]:.0f} MiB"
        )


class Meter:
    """Measures the calling process from the first event `seen` to the `end`."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._process = psutil.Process()
        self._begun: tuple[float, float] | None = None
        self._memory_mib: list[float] = []

    def seen(self, events: int) -> None:
        """Tell how many events are done."""
        if self._begun is None:
            self._begun = (time.perf_counter(), time.process_time())
        while events >= self._events * (len(self._memory_mib) + 1) // 10:
            self._memory_mib.append(self._process.memory_info().rss / 2**20)

    def end(self) -> Result:
        assert self._begun is not None
        self.seen(self._events)
        return Result(
            events=self._events,
            wall_seconds=time.perf_counter() - self._begun[0],
            cpu_seconds=time.process_time() - self._begun[1],
            memory_mib=tuple(self._memory_mib),
        )


def bare_loop(settings: KafkaSettings, source: str, target: str, events: int) -> Result:
    """Consume `events` records of `source`, produce them to `target` unchanged, transactionally."""
    servers = settings.bootstrap_servers
    consumer = KafkaConsumer(
        source,
        bootstrap_servers=servers,
        group_id=f"bare-{uuid.uuid4().hex}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = KafkaProducer(bootstrap_servers=servers, transactional_id=f"bare-{uuid.uuid4().hex}")
    producer.init_transactions()
    meter = Meter(events)
    done = 0
    while done < events:
        polled = consumer.poll(timeout_ms=200)
        if not polled:
            continue
        meter.seen(done)
        producer.begin_transaction()
        offsets = {}
        for partition, records in polled.items():
            for record in records:
                producer.send(target, value=record.value, key=record.key, headers=record.headers)
            offsets[partition] = OffsetAndMetadata(records[-1].offset + 1, "", -1)
            done += len(records)
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.commit_transaction()
    result = meter.end()
    consumer.close(autocommit=False)
    producer.close(timeout=5)
    return result


def measured_worker(function: Function, settings: KafkaSettings, events: int, handled: Callable[[], int]) -> Result:
    """Run a worker in this thread until `events` records are handled and committed. `handled()` counts them."""
    worker = Worker(function, settings)
    meter = Meter(events)
    results: list[Result] = []

    def watch() -> None:
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            count = handled()
            if count:
                meter.seen(count)
            if count >= events and worker.metrics.registry.get_sample_value("skureel_in_flight_records") == 0:
                results.append(meter.end())
                break
            time.sleep(0.005)  # a watcher that never slept would take the core that is measured
        worker.stop()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    worker.run()
    watcher.join()
    assert results, f"{handled()} of {events} events were handled in {_GIVE_UP_SECONDS:g} s"
    return results[0]


def on_one_core(target: Callable[..., Any], *arguments: Any) -> Any:
    """Run in a process of its own, pinned to the last core that this one may use, and return what it returned."""
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe()
    process = context.Process(target=_pinned, args=(ours, target, arguments))
    process.start()
    ours.close()
    try:
        succeeded, value = theirs.recv()
    except EOFError:
        succeeded, value = False, "the process died"
    process.join()
    assert succeeded, value
    return value


def _pinned(pipe: Any, target: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        pipe.send((True, target(*arguments)))
    except BaseException:
        pipe.send((False, traceback.format_exc()))
        raise


def make_topics(settings: KafkaSettings, names: Iterable[str], partitions: int = 4) -> None:
    """Make topics by their full names, as large as `skureel topics create` makes them."""
    with KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers) as admin:
        admin.create_topics([NewTopic(name, partitions, 1) for name in names])


def own_prefix(settings: KafkaSettings) -> KafkaSettings:
    """The same broker with topics and groups of this run's own."""
    return settings.model_copy(update={"topic_prefix": f"b{uuid.uuid4().hex[:8]}."})
