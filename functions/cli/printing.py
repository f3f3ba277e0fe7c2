"""What the command prints. Every line passes here, for it may hold what a stranger wrote."""

import sys
from typing import Any

import click

from shared.events import Event
from shared.events.cloudevents import to_structured
from shared.printable import LONGEST, json_line, one_line


def say(text: str, *, longest: int = LONGEST) -> None:
    """An answer: one line on standard output."""
    click.echo(one_line(text, longest))


def tell(text: str, *, longest: int = LONGEST) -> None:
    """What is to be known beside the answer: one line on standard error."""
    click.echo(one_line(text, longest), err=True)


def say_event(event: Event[Any]) -> None:
    """An event as one line of structured CloudEvents JSON, out at once: whoever reads a pipe must not wait."""
    click.echo(json_line(to_structured(event).decode()))
    sys.stdout.flush()


def give(raw: bytes) -> None:
    """Exact bytes, for a file or another command. A terminal would do what they say.

    Raises click.UsageError where standard output is one.
    """
    if sys.stdout.isatty():
        raise click.UsageError("these bytes are a stranger's, and not for a terminal; write them to a file with > FILE")
    sys.stdout.buffer.write(raw)
