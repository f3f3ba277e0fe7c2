"""The metrics of the delivery runtime, served by `shared.health`."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

JOB_BUCKETS_SECONDS: Final = (
    0.0005,
    0.002,
    0.01,
    0.05,
    0.25,
    1.0,
    2.5,
    5.0,
    10.0,
    20.0,
    40.0,
    60.0,
    90.0,
    120.0,
    180.0,
)
"""From a cache hit to the longest render; the library's own end at 10 s."""


FUNCTIONS: Final = CollectorRegistry()
"""What functions count of their own. Every worker of the process serves it with its own metrics."""

RELEASE_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0)
"""Records; no release has more than the last."""


class Histogram(Collector):
    """A histogram without labels that one thread observes for every record: no lock, no dictionary."""

    def __init__(self, name: str, description: str, buckets: Sequence[float] = JOB_BUCKETS_SECONDS) -> None:
        self._name = name
        self._description = description
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[Metric]:
        """Called by the registry at a scrape."""
        total = 0
        buckets = []
        for bound, number in zip((*map(str, self._bounds), "+Inf"), list(self._counts), strict=True):
            total += number
            buckets.append((bound, float(total)))
        yield HistogramMetricFamily(self._name, self._description, buckets=buckets, sum_value=self._sum)


class RuntimeMetrics:
    """The metrics of one worker, in a registry of its own. No label takes a value from an event."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter(
            "skureel_records",
            "Records that ended, by topic and ending (emitted, superseded, retried, dead).",
            ("topic", "ending"),
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "skureel_dead_letters", "Records sent to a dead letter topic.", ("topic", "reason"), registry=self.registry
        )
        self.releases = Counter(
            "skureel_releases",
            "Releases of outputs and offsets, by verdict; in the transactional way each is one transaction.",
            ("verdict",),
            registry=self.registry,
        )
        self.commit_failures = Counter(
            "skureel_commit_failures",
            "Releases that committed nothing, by verdict.",
            ("verdict",),
            registry=self.registry,
        )
        self.rebalances = Counter(
            "skureel_rebalances",
            "Rebalance callbacks, by kind (assigned, revoked, lost).",
            ("kind",),
            registry=self.registry,
        )
        self.poll_failures = Counter("skureel_poll_failures", "Polls that raised an error.", registry=self.registry)
        self.in_flight = Gauge(
            "skureel_in_flight_records", "Records taken and not yet committed.", registry=self.registry
        )
        self.watermark_gap = Gauge(
            "skureel_watermark_gap_records", "Records at or above a low watermark.", registry=self.registry
        )
        self.held_partitions = Gauge(
            "skureel_held_partitions",
            "Partitions of which a part cannot be read on, nor passed over.",
            registry=self.registry,
        )
        self.waiting_partitions = Gauge(
            "skureel_waiting_partitions",
            "Partitions of which no more can be read for minutes, for a transaction that somebody does not end.",
            registry=self.registry,
        )
        self.paused = Gauge("skureel_paused_partitions", "Partitions paused now.", registry=self.registry)
        self.oldest_in_work = Gauge(
            "skureel_oldest_in_work_seconds",
            "For how long the handler that has been at it longest has had its record.",
            registry=self.registry,
        )
        self.overdue = Counter(
            "skureel_overdue_handlers",
            "Handlers given up because they had a record for too long.",
            registry=self.registry,
        )
        self.relieved = Gauge(
            "skureel_relieved_threads",
            "Threads of handlers that were given up and have not come back.",
            registry=self.registry,
        )
        self.holding = Gauge(
            "skureel_holding",
            "1 while consumption holds because what the function stands on is away.",
            registry=self.registry,
        )
        self.held = Gauge("skureel_held_records", "Records that wait for the end of an outage.", registry=self.registry)
        self.handler_seconds = Histogram("skureel_handler_seconds", "Time to decode, handle and encode one record.")
        self.release_seconds = Histogram(
            "skureel_release_seconds", "Time from putting a release together to its commit."
        )
        self.release_records = Histogram(
            "skureel_release_records", "Records of one release, that is of one transaction.", RELEASE_BUCKETS
        )
        for histogram in (self.handler_seconds, self.release_seconds, self.release_records):
            self.registry.register(histogram)
        self.registry.register(FUNCTIONS)
