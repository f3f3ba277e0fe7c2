"""`python -m functions.derive_prompt.vocabulary`: what the vocabulary covers, and what is wrong with it.

Prints a table of the departments, then one line a fault, and exits with 1 where there is one.
"""

import sys

import click

from functions.derive_prompt.vocabulary.checking import coverage, faults


def main() -> int:
    """Print both; the exit status."""
    departments = coverage()
    click.echo(f"{'department':16}{'kinds':>7}{'families':>10}{'Chinese':>9}{'English':>9}  shelves")
    for department in departments:
        click.echo(
            f"{department.department:16}{department.kinds:7,}{department.families:10}{department.chinese:9,}"
            f"{department.english:9,}  {', '.join(department.parts)}"
        )
    kinds, chinese, english = (sum(column) for column in zip(*(row[2:5] for row in departments), strict=True))
    click.echo(f"{'together':16}{kinds:7,}{'':10}{chinese:9,}{english:9,}")
    found = list(faults())
    for fault in found:
        click.echo(f"{fault.department}.toml, {fault.kind}: {fault.says}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
