"""Workers are added and taken away in the middle of a backlog, as an autoscaler does, while records keep coming."""

from pathlib import Path

import pytest

from shared.settings import KafkaSettings
from tests.delivery.conftest import with_short_sessions
from tests.delivery.fleet import PATIENCE_SECONDS, Fleet, fleet
from tests.delivery.harness import (
    CREATED,
    answered,
    committed,
    ends,
    make_delivery_topics,
    publish_products,
    records_of,
)
from tests.delivery.worker_process import WorkerProcess, worker_process
from tests.polling import eventually

pytestmark = [pytest.mark.connected, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS = 8
BACKLOG = 300
"""Records that wait at least while workers come and go; a tenth of a second's work each."""


class Marketplace:
    """Keeps a backlog before a fleet, however fast it works."""

    def __init__(self, workers: Fleet) -> None:
        self.products: list[str] = []
        self._workers = workers

    def publish(self, number: int) -> None:
        """Send that many new products."""
        more = [f"p-{index}" for index in range(len(self.products), len(self.products) + number)]
        publish_products(self._workers.settings, more)
        self.products += more

    def backlog(self) -> int:
        """Products that nobody has begun."""
        return len(self.products) - len(set(self._workers.noted("began")))

    def until(self, works: list[WorkerProcess], number: int) -> None:
        """Publish until each of these workers has begun so many more products."""
        before = {worker.pid: len(worker.noted("began")) for worker in works}

        def enough() -> bool:
            if self.backlog() < BACKLOG:
                self.publish(BACKLOG // 2)
            return all(len(worker.noted("began")) >= before[worker.pid] + number for worker in works)

        eventually(enough, PATIENCE_SECONDS, describe=self._workers.logs)


def test_scaling_out_and_in_loses_and_repeats_nothing(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    settings = with_short_sessions(real_kafka, 6_000).model_copy(update={"max_in_flight": 32})
    make_delivery_topics(settings, partitions=PARTITIONS)
    with fleet(
        settings, "answering", tmp_path, lambda: worker_process(settings, tmp_path, seconds=0.1), workers=1
    ) as workers:
        marketplace = Marketplace(workers)
        marketplace.until(workers.workers, 20)
        workers.add(3)
        marketplace.until(workers.workers, 10)
        eventually(lambda: workers.members() == 4, PATIENCE_SECONDS, describe=workers.logs)
        # They go while records wait, and the first one, which leads the group, goes too.
        marketplace.publish(BACKLOG)
        assert workers.stop(*workers.workers[:3]) == [0, 0, 0]
        (last,) = workers.workers
        marketplace.until([last], 20)
        eventually(lambda: workers.members() == 1, PATIENCE_SECONDS, describe=workers.logs)
        # No partition may be stuck: each gets records that only the last worker can answer.
        eventually(lambda: marketplace.backlog() == 0, PATIENCE_SECONDS, describe=workers.logs)
        ended = ends(settings)
        marketplace.publish(20 * PARTITIONS)
        assert all(end > ended[partition] for partition, end in ends(settings).items())
        workers.finish(marketplace.products, CREATED)
        assert sorted(answered(settings)) == sorted(marketplace.products)
        assert records_of(settings, CREATED + ".dlq") == []
        assert len(committed(settings, workers.group)) == PARTITIONS
