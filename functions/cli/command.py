"""The `skureel` command. Each command imports what it needs when it runs: `skureel publish` must not wait for torch."""

import click

from functions.cli import deriving, events, models, operations, store
from functions.cli.frame import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="skureel")
def main() -> None:
    """Product events in, labelled product clips out."""


for theme in (models, deriving, events, operations, store):
    for command in theme.COMMANDS:
        main.add_command(command)
