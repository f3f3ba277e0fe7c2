"""Real workers in processes of their own, killed, frozen and cut off from a broker: each product is answered once."""

import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.settings import KafkaSettings
from tests.delivery.conftest import with_short_sessions
from tests.delivery.harness import (
    CREATED,
    answered,
    committed,
    ends,
    headers_of,
    make_delivery_topics,
    publish_products,
    records_of,
)
from tests.delivery.worker_process import WorkerProcess, worker_process
from tests.polling import eventually
from tests.servers import RealKafka

pytestmark = [pytest.mark.connected, pytest.mark.soak, pytest.mark.timeout(600)]

WORKERS = 3
GROUP = "skureel-{}answering"


class Fleet:
    """Workers of one group, and what they have done together."""

    def __init__(self, settings: KafkaSettings, folder: Path, stack: ExitStack) -> None:
        self.settings = settings
        self._folder = folder
        self._stack = stack
        self.workers: list[WorkerProcess] = []
        for _ in range(WORKERS):
            self.add()

    def add(self) -> WorkerProcess:
        worker = self._stack.enter_context(worker_process(self.settings, self._folder, seconds=0.03))
        self.workers.append(worker)
        return worker

    def began(self) -> int:
        """Handlings begun so far, by all workers there ever were."""
        return sum(len(path.read_text().split()) for path in self._folder.glob("began-*"))

    def logs(self) -> str:
        """The ends of all workers' logs, for a failure's message."""
        return "\n".join(worker.log()[-2000:] for worker in self.workers)

    def finish(self, products: list[str], timeout_seconds: float) -> None:
        """Wait until every product is answered and lag is zero; then nothing may be missing, repeated or dead."""
        group = GROUP.format(self.settings.topic_prefix)
        eventually(lambda: len(answered(self.settings)) >= len(products), timeout_seconds, describe=self.logs)
        eventually(lambda: committed(self.settings, group) == ends(self.settings), 30, describe=self.logs)
        assert records_of(self.settings, CREATED + ".dlq") == []
        assert sorted(answered(self.settings)) == sorted(products)
        ids = [headers_of(record)["ce_id"] for record in records_of(self.settings, "video.rejected")]
        assert len(ids) == len(set(ids))


@contextmanager
def fleet(settings: KafkaSettings, folder: Path) -> Iterator[Fleet]:
    make_delivery_topics(settings, partitions=6)
    with ExitStack() as stack:
        yield Fleet(settings, folder, stack)


def test_thirty_kills_lose_and_repeat_nothing(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    settings = real_kafka.model_copy(update={"transaction_timeout_ms": 5_000})
    chance = random.Random(20261121)
    products: list[str] = []
    with fleet(settings, tmp_path) as workers:
        for kill in range(30):
            more = [f"p-{kill}-{number}" for number in range(10)]
            products += more
            before = workers.began()
            publish_products(settings, more)
            # Somewhere between the first and the last of these ten: in work, in a transaction, or just after one.
            enough = before + chance.randint(1, 8)
            eventually(lambda: workers.began() >= enough, 60, describe=workers.logs)  # noqa: B023
            victim = chance.choice(workers.workers)
            victim.kill()
            workers.workers.remove(victim)
            workers.add()
        workers.finish(products, 120)


@pytest.fixture
def breakable(breakable_kafka: RealKafka, prefix_of_its_own: Any) -> KafkaSettings:
    settings: KafkaSettings = prefix_of_its_own(breakable_kafka.settings)
    return with_short_sessions(settings, 6_000)


def test_three_broker_restarts_lose_and_repeat_nothing(
    breakable_kafka: RealKafka, breakable: KafkaSettings, tmp_path: Path
) -> None:
    products: list[str] = []
    with fleet(breakable, tmp_path) as workers:
        for restart in range(3):
            more = [f"p-{restart}-{number}" for number in range(100)]
            products += more
            before = workers.began()
            publish_products(breakable, more)
            eventually(lambda: workers.began() >= before + 20, 60, describe=workers.logs)  # noqa: B023
            # Once killed, once stopped as an operator does.
            breakable_kafka.stop() if restart == 1 else breakable_kafka.kill()
            breakable_kafka.start()
        workers.finish(products, 120)


def test_a_frozen_worker_that_thaws_repeats_nothing(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    settings = real_kafka.model_copy(update={"transaction_timeout_ms": 5_000})
    products = [f"p-{number}" for number in range(300)]
    with fleet(settings, tmp_path) as workers:
        publish_products(settings, products)
        eventually(
            lambda: all(len(worker.noted("began")) >= 5 for worker in workers.workers), 60, describe=workers.logs
        )
        frozen, *others = workers.workers
        frozen.signal(signal.SIGSTOP)
        try:
            left = sum(len(worker.noted("began")) for worker in others)
            # Its partitions go to the others when its session ends.
            eventually(
                lambda: sum(len(worker.noted("began")) for worker in others) > left + 50, 60, describe=workers.logs
            )
            gone = time.monotonic() + 2 * settings.session_timeout_ms / 1000
            eventually(lambda: time.monotonic() > gone, 60)
        finally:
            frozen.signal(signal.SIGCONT)
        workers.finish(products, 120)
