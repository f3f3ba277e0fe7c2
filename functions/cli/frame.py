"""What every command has around it: its settings and its log at the start, one sentence and an exit code at the end."""

import errno
import os
import sys
from typing import Any

import click

from functions.cli.printing import tell
from shared.errors import ConfigurationError, SkureelError, WrongSettings
from shared.logs import configure_logging
from shared.settings import Settings, load_settings

EXIT_FAILED = 1
EXIT_MISCONFIGURED = 2
EXIT_INTERRUPTED = 130
"""As a shell says it of whoever ends by Ctrl-C."""


class Command(click.Command):
    """A command that the list of commands shows with its whole first sentence, and whose help ends with an example."""

    def __init__(self, *arguments: Any, example: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.example = example
        self.epilog = f"Example: {example}"

    def get_short_help_str(self, limit: int = 45) -> str:
        """Not cut: what stands in the list is what one chooses by."""
        return _first_sentence(self.help)


class Commands(click.Group):
    """Ends every failure with one line, wrong settings with one each; the exit code is 2 for a wrong set-up, 1 for work
    that failed."""

    command_class = Command
    group_class = type

    def get_short_help_str(self, limit: int = 45) -> str:
        """As of a command."""
        return _first_sentence(self.help)

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show a character is no reason to end.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            answer = super().invoke(ctx)
            # Here and not at the process's end, where nobody could say why it failed.
            sys.stdout.flush()
            return answer
        except WrongSettings as error:
            for problem in error.problems:
                tell(f"skureel: {problem}")
            ctx.exit(EXIT_MISCONFIGURED)
        except ConfigurationError as error:
            tell(f"skureel: {error}")
            ctx.exit(EXIT_MISCONFIGURED)
        except SkureelError as error:
            tell(f"skureel: {error}")
            ctx.exit(EXIT_FAILED)
        except KeyboardInterrupt:
            tell("skureel: interrupted")
            ctx.exit(EXIT_INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:
                # Whoever read us has read enough: `skureel tail | head`.
                _drop_output()
                ctx.exit(0)
            tell(f"skureel: {_told(error)}")
            _drop_output()
            ctx.exit(EXIT_FAILED)


def read_settings(*, quiet: bool = True) -> Settings:
    """The settings, with the log set up by them. Quiet: warnings alone, unless a level was asked for.

    Raises ConfigurationError.
    """
    settings = load_settings()
    level = "WARNING" if quiet and "level" not in settings.log.model_fields_set else settings.log.level
    configure_logging(settings.log.model_copy(update={"level": level}))
    return settings


def _first_sentence(text: str | None) -> str:
    paragraph = " ".join((text or "").split("\n\n")[0].split())
    return paragraph.split(". ")[0].removesuffix(".") + "."


def _told(error: OSError) -> str:
    where = error.filename if error.filename is not None else "the output"
    next_step = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see whether it may be used so"
    return f"{where}: {error.strerror or error}; {next_step}"


def _drop_output() -> None:
    """What is still to be written goes nowhere: it would fail again when the process ends, and say so."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
