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


class Seconds(Collector):
    """A histogram without labels that one thread observes for every record: no lock, no dictionary."""

    def __init__(self, name: str, description: str, buckets: Sequence[float] = JOB_BUCKETS_SECONDS) -> None:
        self._name = name
        self._description = description
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

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
        self.paused = Gauge("skureel_paused_partitions", "Partitions paused now.", registry=self.registry)
        self.handler_seconds = Seconds("skureel_handler_seconds", "Time to decode, handle and encode one record.")
        self.release_seconds = Seconds("skureel_release_seconds", "Time from putting a release together to its commit.")
        self.registry.register(self.handler_seconds)
        self.registry.register(self.release_seconds)
