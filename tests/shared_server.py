"""One real server for every process of a test run: whoever asks first starts it, and it ends with the run.

The processes of a run side by side end one by one, so none of them may own the server. A keeper does,
`python -m tests.shared_server NAME FOLDER PID`, which waits for the run's first process and then ends the server,
also when that process is killed.
"""

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.polling import eventually
from tests.servers import KAFKA_READY_SECONDS, REPOSITORY, RealKafka, RealMinio

_KINDS = {"kafka": RealKafka, "minio": RealMinio}
_READY_SECONDS = 2 * KAFKA_READY_SECONDS
"""Formatting and starting, each beside a machine's other work."""
_keepers: list[subprocess.Popen[bytes]] = []


def port_of_shared(name: str, folder: Path, run: int) -> int:
    """The port of the run's server of that name, started if it is not there yet.

    `folder` is the same for all processes of the run, `run` the id of the process with whose end the server ends.
    """
    address = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address.exists():
            _keep(name, folder, run)
    port: int = json.loads(address.read_text())["port"]
    return port


def _keep(name: str, folder: Path, run: int) -> None:
    log = folder / f"{name}-keeper.log"
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.shared_server", name, str(folder), str(run)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # An interrupt typed at the terminal reaches the tests, which still need their server.
            start_new_session=True,
        )
    _keepers.append(keeper)
    address = folder / f"{name}.json"
    eventually(lambda: address.exists() or keeper.poll() is not None, _READY_SECONDS, describe=log.read_text)
    assert address.exists(), f"{name} did not start: {log.read_text()}"


def main() -> None:
    name, folder, run = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    server: Any = _KINDS[name](folder / name)
    with server:
        written = folder / f"{name}.json.new"
        written.write_text(json.dumps({"port": server.port}))
        written.rename(folder / f"{name}.json")
        psutil.wait_procs([psutil.Process(run)])


if __name__ == "__main__":
    main()
