"""A worker in a process of its own, for tests that send it signals: `python -m tests.delivery.worker_process SPEC`.

SPEC is a JSON object: `kafka` (settings), `mode` (how handling behaves), `folder` (where it leaves traces). It is
what `skureel run` does, with a function that needs no model; with `objects` (settings) it is render_video itself, but
for the engine, whose place a painter takes.
"""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from shared.events import Event
from shared.function import Function
from shared.kafka import serve
from shared.logs import configure_logging
from shared.settings import HealthSettings, KafkaSettings, LogSettings, ObjectSettings, Settings, child_environment
from tests.delivery.harness import Answering
from tests.polling import PATIENCE_SECONDS, eventually
from tests.servers import REPOSITORY


class Traced:
    """A function that notes each handling in a file before and after it, and behaves as the mode says."""

    def __init__(self, function: Function, folder: Path, mode: Mapping[str, Any]) -> None:
        self.name = function.name
        self.consumes = function.consumes
        self.deadline_seconds = function.deadline_seconds
        self._function = function
        self._folder = folder
        self._seconds = float(mode.get("seconds", 0.0))
        self._gate = folder / str(mode["gate"]) if "gate" in mode else None
        self._slow_start = float(mode.get("start_seconds", 0.0))

    def start(self) -> None:
        (self._folder / f"warming-{os.getpid()}").touch()
        time.sleep(self._slow_start)
        self._function.start()

    def ready(self) -> bool:
        return self._function.ready()

    def handle(self, event: Event[Any]) -> Sequence[Event[Any]]:
        product = event.data.product_id
        self._note("began", product)
        if self._gate is not None:
            while not self._gate.exists():
                time.sleep(0.02)
        time.sleep(self._seconds)
        events = self._function.handle(event)
        self._note("ended", product)
        return events

    def check(self) -> None:
        self._function.check()

    def stop(self) -> None:
        self._function.stop()
        (self._folder / f"stopped-{os.getpid()}").touch()

    def _note(self, what: str, product: str) -> None:
        with (self._folder / f"{what}-{os.getpid()}").open("a") as file:
            file.write(product + "\n")


def painting(objects: ObjectSettings, model: Path) -> Function:
    """render_video with a painter: all it does to inspect, label, encode and store a clip is real."""
    from functions.render_video import RenderVideo  # only who draws pays for importing torch
    from shared.clips import ClipStore
    from shared.objects import ObjectStore
    from shared.photos import Photos
    from tests.painting import Painter, studio

    bare = Settings()
    settings = bare.model_copy(
        update={"objects": objects, "model": bare.model.model_copy(update={"name": str(model), "threads": 1})}
    )
    store = ObjectStore(objects)
    return RenderVideo(
        settings,
        ClipStore(store),
        Photos(store, settings.render),
        open_studio=lambda _settings, _folder: studio(Painter()),
    )


class WorkerProcess:
    """The test's hold on such a process."""

    def __init__(
        self,
        settings: KafkaSettings,
        folder: Path,
        *,
        objects: ObjectSettings | None = None,
        model: Path | None = None,
        **mode: Any,
    ) -> None:
        self.folder = folder
        spec: dict[str, Any] = {"kafka": settings.model_dump(mode="json"), "mode": mode, "folder": str(folder)}
        if objects is not None:
            assert objects.secret_key is not None
            secret = {"secret_key": objects.secret_key.get_secret_value()}
            spec |= {"objects": {**objects.model_dump(mode="json"), **secret}, "model": str(model)}
        self._log = (folder / f"worker-{time.monotonic_ns()}.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.delivery.worker_process", json.dumps(spec)],
            cwd=REPOSITORY,
            # A killed process leaves its temporary files; here they go with the test's folder.
            env=child_environment({"TMPDIR": str(folder)}),
            # Whoever kills the tests closes this too, and the worker ends with them.
            stdin=subprocess.PIPE,
            stderr=self._log,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_seconds: float) -> int:
        """The exit code."""
        return self._process.wait(timeout_seconds)

    def running(self) -> bool:
        return self._process.poll() is None

    def noted(self, what: str) -> list[str]:
        """Products that this process began or ended, in order."""
        path = self.folder / f"{what}-{self.pid}"
        return path.read_text().split() if path.exists() else []

    def log(self) -> str:
        """What the process wrote to standard error."""
        return Path(self._log.name).read_text()

    def tell_stacks(self) -> None:
        """Have the process write to its log where each of its threads is."""
        ready = (self.folder / f"warming-{self.pid}").exists()  # before, the signal would end it
        if self.running() and ready:
            told = len(self.log())
            self._process.send_signal(signal.SIGUSR1)
            with suppress(AssertionError):  # it is frozen
                eventually(lambda: len(self.log()) > told or not self.running())

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.running():
            self._process.kill()
        self._process.wait(60)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._log.close()


@contextmanager
def worker_process(settings: KafkaSettings, folder: Path, **mode: Any) -> Iterator[WorkerProcess]:
    """Start one; it is killed at the end if it still runs."""
    process = WorkerProcess(settings, folder, **mode)
    try:
        yield process
    finally:
        process.kill()


def began(process: WorkerProcess, *products: str, timeout_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the process has begun these products."""
    eventually(lambda: set(products) <= set(process.noted("began")), timeout_seconds, describe=process.log)


def end_with_parent() -> None:
    """Wait for the parent's end, however it comes, and follow."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
    spec = json.loads(sys.argv[1])
    faulthandler.register(signal.SIGUSR1)
    configure_logging(LogSettings(format="text"))
    function: Function = Answering()
    if "objects" in spec:
        function = painting(ObjectSettings(**spec["objects"]), Path(spec["model"]))
    traced = Traced(function, Path(spec["folder"]), spec["mode"])
    return serve(traced, KafkaSettings(**spec["kafka"]), HealthSettings(host="127.0.0.1", port=0))


if __name__ == "__main__":
    sys.exit(main())
