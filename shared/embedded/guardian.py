"""The process between us and an embedded server: it ends the server when we are gone, however we went.

Run as a script, `python guardian.py [FILE ...] -- COMMAND ...`, in a session of its own, so that an interrupt typed at
the terminal reaches only the parent, which still needs its servers while it drains. The guardian reads its standard
input, a pipe whose other end only the parent holds: closed, or closed by the kernel after a SIGKILL, it ends the
server. That works on Linux and macOS, from any thread, which PR_SET_PDEATHSIG does not. The server's process id is the
one line on standard output; the server itself writes to what is standard error here. The files are what the server
leaves lying about and are removed after it. Standard library only.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path


def guard(command: list[str]) -> int:
    """Run `command` until it ends or the parent does; returns its exit status, negative for a signal."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()

    def end_with_parent() -> None:
        # Not through sys.stdin: its lock, held here, would stop this interpreter from ending.
        while os.read(0, 4096):
            pass
        server.kill()

    threading.Thread(target=end_with_parent, daemon=True).start()
    return server.wait()


if __name__ == "__main__":
    end_of_files = sys.argv.index("--")
    status = guard(sys.argv[end_of_files + 1 :])
    for left in sys.argv[1:end_of_files]:
        Path(left).unlink(missing_ok=True)
    # A signal is told as a shell tells it.
    sys.exit(status if status >= 0 else 128 - status)
