"""A server never outlives the process that started it, and says why it did not start."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from shared.embedded.server_process import ServerProcess, free_ports
from shared.errors import ConfigurationError
from tests.polling import eventually
from tests.servers import REPOSITORY

LOCAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def test_leaving_the_block_ends_the_server(tmp_path: Path) -> None:
    with ServerProcess("sleeper", SLEEPER, log=tmp_path / "log") as server:
        assert server.running()
        assert psutil.pid_exists(server.pid)
    assert not server.running()
    assert not psutil.pid_exists(server.pid)


def test_killing_the_parent_ends_the_server(tmp_path: Path) -> None:
    script = f"""
        import sys, time
        from pathlib import Path
        from shared.embedded.server_process import ServerProcess
        server = ServerProcess("sleeper", {SLEEPER!r}, log=Path({str(tmp_path / "log")!r}))
        sys.stdout.write(f"{{server.pid}}\\n")
        sys.stdout.flush()
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        assert server.is_running()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    eventually(lambda: not server.is_running(), describe="the server's end")


def test_an_interrupt_at_the_terminal_reaches_only_us(tmp_path: Path) -> None:
    with ServerProcess("sleeper", SLEEPER, log=tmp_path / "log") as server:
        assert os.getpgid(server.pid) != os.getpgid(0)
        assert os.getsid(server.pid) != os.getsid(0)


def test_killing_twice_is_harmless(tmp_path: Path) -> None:
    server = ServerProcess("sleeper", SLEEPER, log=tmp_path / "log")
    server.kill()
    server.kill()
    server.signal(signal.SIGTERM)
    assert not server.running()


def test_a_stopped_server_can_be_killed(tmp_path: Path) -> None:
    with ServerProcess("sleeper", SLEEPER, log=tmp_path / "log") as server:
        server.signal(signal.SIGSTOP)
        assert server.running()
    assert not psutil.pid_exists(server.pid)


def test_a_server_that_ends_while_starting_shows_its_last_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('the port is taken'); sys.exit(3)"]
    with ServerProcess("failing", command, log=tmp_path / "log") as server:
        with pytest.raises(ConfigurationError, match=r"failing ended with status 3(.|\n)*the port is taken"):
            server.wait_until(lambda: False, timeout_seconds=20)


def test_a_server_that_is_killed_while_starting_is_told_apart_from_a_slow_one(tmp_path: Path) -> None:
    with ServerProcess("killed", SLEEPER, log=tmp_path / "log") as server:
        server.signal(signal.SIGKILL)
        with pytest.raises(ConfigurationError, match="status 137"):
            server.wait_until(lambda: False, timeout_seconds=20)


def test_a_server_that_is_never_ready_shows_its_last_lines(tmp_path: Path) -> None:
    with ServerProcess("slow", SLEEPER, log=tmp_path / "log") as server:
        eventually(lambda: "up" in (tmp_path / "log").read_text())
        with pytest.raises(ConfigurationError, match=r"slow was not ready after 0.1 s(.|\n)*up"):
            server.wait_until(lambda: False, timeout_seconds=0.1)


def test_a_command_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing did not start(.|\n)*No such file"):
        ServerProcess("nothing", [tmp_path / "no-such-binary"], log=tmp_path / "log")


def test_free_ports_are_distinct() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50


@pytest.mark.skipif(not LOCAL_PORTS.is_file(), reason="only Linux says which ports it gives to outgoing connections")
def test_free_ports_are_none_that_an_outgoing_connection_may_get() -> None:
    lowest = int(LOCAL_PORTS.read_text().split()[0])
    assert max(free_ports(50)) < lowest
