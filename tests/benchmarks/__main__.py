"""`make bench`: every benchmark in turn, each in a process of its own. GPU ones only where there is a GPU."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PARTS = {"__init__", "__main__", "contest", "engine_models"}
"""Modules that are no benchmark by themselves."""


def main() -> int:
    """Run all, or those named on the command line; the exit code counts the failures."""
    names = sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.py") if path.stem not in PARTS)
    if not sys.argv[1:] and not has_gpu():
        names = [name for name in names if not name.endswith("_gpu")]
    failures = 0
    for name in names:
        started = time.monotonic()
        print(f"== {name}", flush=True)
        ended = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=False)
        print(f"== {name} ended with {ended.returncode} after {time.monotonic() - started:.0f} s\n", flush=True)
        failures += ended.returncode != 0
    return failures


def has_gpu() -> bool:
    """Whether torch sees a CUDA device."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
