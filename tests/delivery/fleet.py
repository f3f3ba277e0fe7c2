"""Several workers of one group, each a process of its own: started, killed, frozen and stopped while they work."""

import random
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from kafka.admin import KafkaAdminClient

from shared.kafka.client import connection, group_name
from shared.settings import KafkaSettings
from tests.delivery.harness import committed, ends
from tests.delivery.worker_process import WorkerProcess
from tests.polling import eventually

PATIENCE_SECONDS = 120.0
"""How long a step may take on a machine that has other things to do; a calm one needs a few seconds."""

Start = Callable[[], AbstractContextManager[WorkerProcess]]


class Fleet:
    """The workers that run, those that ran, and what they have done together."""

    def __init__(self, settings: KafkaSettings, function: str, folder: Path, start: Start, stack: ExitStack) -> None:
        self.settings = settings
        self.group = group_name(settings, function)
        self.workers: list[WorkerProcess] = []
        self._folder = folder
        self._start = start
        self._stack = stack
        self._all: list[WorkerProcess] = []

    def add(self, number: int = 1) -> None:
        """Start more workers; returns before they have joined."""
        for _ in range(number):
            worker = self._stack.enter_context(self._start())
            self.workers.append(worker)
            self._all.append(worker)

    def kill(self, victim: WorkerProcess) -> None:
        """SIGKILL a worker."""
        victim.kill()
        self.workers.remove(victim)

    def stop(self, *workers: WorkerProcess) -> list[int]:
        """SIGTERM, as a platform that scales in. Returns the exit codes."""
        for worker in workers:
            worker.signal(signal.SIGTERM)
        for worker in workers:
            eventually(lambda: not worker.running(), PATIENCE_SECONDS, describe=worker.log)  # noqa: B023 - called at once
            self.workers.remove(worker)
        return [worker.wait(1) for worker in workers]

    @contextmanager
    def frozen(self, chance: random.Random, more: Callable[[], None]) -> Iterator[WorkerProcess]:
        """SIGSTOP a worker that has records in work, and wait until the group has forgotten it; it thaws at the end.

        `more` publishes: it is called each time that nobody was caught at work.
        """
        victim: WorkerProcess | None = None

        def caught() -> bool:
            nonlocal victim
            victim = chance.choice(self.workers)
            victim.signal(signal.SIGSTOP)
            if len(victim.noted("began")) > len(victim.noted("ended")):
                return True
            victim.signal(signal.SIGCONT)
            more()
            return False

        eventually(caught, PATIENCE_SECONDS, describe=self.logs)
        assert victim is not None
        try:
            others = len(self.workers) - 1
            eventually(lambda: self.members() == others, PATIENCE_SECONDS, describe=self.logs)
            yield victim
        finally:
            victim.signal(signal.SIGCONT)

    def members(self) -> int:
        """Members of the group when it has settled; -1 while it has not."""
        with KafkaAdminClient(**connection(self.settings, client_id="test-admin")) as admin:
            (described,) = admin.describe_groups([self.group]).values()
        return len(described["members"]) if described["group_state"] == "Stable" else -1

    def noted(self, what: str) -> list[str]:
        """Products that all workers there ever were have begun or ended, with repetitions."""
        return [product for path in self._folder.glob(f"{what}-*") for product in path.read_text().split()]

    def count(self, what: str) -> int:
        """How many handlings all workers there ever were have begun or ended."""
        return len(self.noted(what))

    def logs(self) -> str:
        """How the workers' logs end and where those that run are, for a failure's message."""
        lines = []
        for worker in self._all:
            ended = worker.log().splitlines()[-12:]
            worker.tell_stacks()
            stacks = worker.log().splitlines()[-80:] if worker.running() else []
            lines += [f"worker {worker.pid}:", *ended, *stacks]
        return "\n".join(lines[-600:])

    def finish(self, products: Collection[str], *topics: str) -> None:
        """Wait until every product is handled and every topic, named without prefix, is committed to its end."""
        missing = set(products)
        eventually(lambda: missing <= set(self.noted("ended")), 2 * PATIENCE_SECONDS, describe=self.logs)
        for topic in topics:
            eventually(lambda: self._complete(topic), PATIENCE_SECONDS, describe=lambda: self._behind(topic))  # noqa: B023 - called at once

    def _complete(self, topic: str) -> bool:
        end = ends(self.settings, topic)
        assert end, f"{topic} has no partitions"
        return committed(self.settings, self.group, topic) == end

    def _behind(self, topic: str) -> str:
        offsets: Any = committed(self.settings, self.group, topic)
        return f"{topic}: committed {offsets}, ends {ends(self.settings, topic)}\n{self.logs()}"


@contextmanager
def fleet(settings: KafkaSettings, function: str, folder: Path, start: Start, *, workers: int) -> Iterator[Fleet]:
    """Workers of `function`, each made by `start`; all are killed at the end."""
    with ExitStack() as stack:
        started = Fleet(settings, function, folder, start, stack)
        started.add(workers)
        yield started
