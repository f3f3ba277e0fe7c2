"""What radon measures of the product's code, held by `make check`: `python -m tests.imports.readability`.

Every module has maintainability grade A, and no function a complexity above 15, unless its `def` line says why:

    def parse(text: str) -> Token:  # complexity 19: one branch for each sign of the grammar

The number is the most that the reason allows; a reason that is no longer needed is an offence too.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from radon.complexity import cc_visit
from radon.metrics import mi_rank, mi_visit
from radon.visitors import Class

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("functions", "shared", "model_store")
MOST = 15
_REASON = re.compile(r"# complexity (\d+): \S")


def offences(path: Path, code: str) -> Iterator[str]:
    """What a module's code breaks, one sentence each."""
    index = mi_visit(code, multi=True)
    if mi_rank(index) != "A":
        yield f"{path}: maintainability {index:.1f} is grade {mi_rank(index)}; part it into modules of one idea each"
    lines = code.splitlines()
    for block in cc_visit(code):
        if isinstance(block, Class):  # its methods are blocks of their own
            continue
        reason = _REASON.search(lines[block.lineno - 1])
        allowed = int(reason[1]) if reason is not None else MOST
        if block.complexity > allowed:
            yield (
                f"{path}:{block.lineno}: {block.fullname} has complexity {block.complexity}, above {allowed}; "
                "part it, or say on its def line why not: `# complexity N: why`"
            )
        elif reason is not None and block.complexity <= MOST:
            yield f"{path}:{block.lineno}: {block.fullname} has complexity {block.complexity}; its reason can go"


def main() -> int:
    """Check every module of the product. Returns 1 where something is told."""
    modules = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
    found = [told for path in modules for told in offences(path.relative_to(REPOSITORY), path.read_text())]
    sys.stdout.writelines(f"{told}\n" for told in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
