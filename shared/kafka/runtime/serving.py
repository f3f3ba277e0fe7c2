"""What `skureel run` runs: a worker with its signals, probes and the function's warm start."""

import logging
import signal
import threading
from queue import SimpleQueue
from types import FrameType

from shared.errors import ConfigurationError
from shared.function import Carrier, Function, warm
from shared.health import HealthServer
from shared.kafka.runtime.worker import Worker
from shared.settings import HealthSettings, KafkaSettings

log = logging.getLogger(__name__)

EXIT_DONE = 0
EXIT_CONFIGURATION = 2


class _StoppedWhileWarming(BaseException):
    """A signal came before the first record was taken: there is nothing to drain."""


def serve(function: Function | Carrier, settings: KafkaSettings, health_settings: HealthSettings) -> int:
    """Run a function until a signal ends it. Returns the process's exit code; call it from the main thread.

    The first SIGTERM or SIGINT drains, the second abandons; either way the code is 0. A ConfigurationError gives 2.
    The function is warm before partitions are asked for, so that none waits for a loading process.
    """
    worker = Worker(function, settings)
    warming = True
    signals: SimpleQueue[int | None] = SimpleQueue()

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal warming
        if warming:
            # A second signal, while the function stops, has nothing to abandon.
            warming = False
            raise _StoppedWhileWarming
        # Nothing else is done here: the signal may have come where the owner holds a lock, its own or the log's.
        signals.put(number)

    def heed_signals() -> None:
        for heed in (worker.stop, worker.abandon):
            if signals.get() is None:
                return
            heed()

    def live() -> bool:
        return warming or worker.live()

    def unready() -> str | None:
        return f"{function.name} is warming" if warming else worker.unready_reason()

    heeding = threading.Thread(target=heed_signals, name="signals", daemon=True)
    heeding.start()
    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    else:
        previous = {}
    try:
        registry = worker.metrics.registry
        with HealthServer(
            health_settings, live=live, unready=unready, notice=worker.notice, registry=registry
        ) as health:
            log.info("%s: probes and metrics on port %d", function.name, health.port)
            with warm(function):
                warming = False
                worker.run()
    except _StoppedWhileWarming:
        log.info("%s: stopped while warming", function.name)
    except ConfigurationError as error:
        log.error("%s: %s", function.name, error)
        return EXIT_CONFIGURATION
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signals.put(None)
        heeding.join()
    log.info("%s: stopped", function.name)
    return EXIT_DONE
