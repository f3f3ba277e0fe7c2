"""Events in and out of Kafka by hand: `skureel publish`, `tail` and `replay`."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from functions.cli.frame import EXIT_FAILED, Command, read_settings
from functions.cli.printing import say, say_event, tell
from functions.cli.products_file import ProductsFile, mapping_option, product_ids
from shared.errors import PermanentError
from shared.events import ENTRY_TYPES, EVENT_TYPES
from shared.plural import counted

if TYPE_CHECKING:
    from functions.replay_events import Rate

NAMED_PRODUCTS = 20


def _time(_: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """Read a moment in ISO 8601. One without a zone is in UTC, wherever the command runs."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        example = "2026-11-20 or 2026-11-20T08:00:00Z"
        raise click.BadParameter(f"{text!r} is no time; give e.g. {example}", param=option) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rate(_: click.Context, option: click.Parameter, text: str) -> "Rate":
    from functions.replay_events import Rate

    try:
        return Rate.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from error


def _types(_: click.Context, argument: click.Parameter, names: Sequence[str]) -> Sequence[str]:
    unknown = [name for name in names if name not in EVENT_TYPES]
    if unknown:
        told = f"{', '.join(unknown)}: no such event type; there are {', '.join(EVENT_TYPES)}"
        raise click.BadParameter(told, param=argument)
    return names or [name for name in EVENT_TYPES if name.startswith("video.")]


@click.command(cls=Command, example="skureel publish products.jsonl")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--type",
    "type_name",
    type=click.Choice(ENTRY_TYPES),
    default=ENTRY_TYPES[0],
    show_default=True,
    help="Event type of products that are no CloudEvents.",
)
@mapping_option
def publish(file: Path, type_name: str, mapping: Path | None) -> None:
    """Send the events of FILE to Kafka: products as JSON lines, a JSON array, CSV or TSV, or CloudEvents, one a line.

    - is standard input. Data are sent with all that they say. Rows that cannot be read are told, the others are sent,
    and the exit code is 1.
    """
    from shared.events.cloudevents import to_kafka
    from shared.kafka import Publisher, topic_name

    settings = read_settings()
    hosts = settings.render.image_hosts
    products = ProductsFile(file, mapping=mapping, stdin=sys.stdin.buffer, image_hosts=hosts)
    with Publisher(settings.kafka) as publisher:
        for line in products.lines(type_name, source="/skureel/publish"):
            message = to_kafka(line.event, line.data)
            publisher.publish_raw(topic_name(settings.kafka, line.event.type), *message)
    if not products.notes.good and not products.notes.bad:
        raise PermanentError(f"{products.name} holds no event; give a product a row", reason="no-event")
    products.conclude("published")
    tell(f"published {counted(products.notes.good, 'event')}")


@click.command(cls=Command, example="skureel tail video.ready --from-beginning --max 10 --timeout 5")
@click.argument("types", nargs=-1, metavar="[TYPE]...", callback=_types)
@click.option("--from-beginning", is_flag=True, help="Start with the oldest event kept, not with the next one.")
@click.option("--max", "most", type=click.IntRange(min=1), help="Stop after so many events.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Stop when nothing came for so many seconds.")
def tail(types: Sequence[str], from_beginning: bool, most: int | None, timeout: float | None) -> None:
    """Print events as structured CloudEvents JSON, one a line. Without TYPE: all video events. Commits no offsets."""
    from shared.kafka import tail as follow

    settings = read_settings().kafka
    given = 0
    for event in follow(settings, types, from_beginning=from_beginning, max_events=most, timeout_seconds=timeout):
        say_event(event)
        given += 1
    if not given:
        tell(f"no event came in {timeout:g} s")


@click.command(cls=Command, example="skureel replay --from 2026-11-20 --category lighting --dry-run")
@click.option(
    "--from",
    "since",
    metavar="T",
    callback=_time,
    help="Only events from this time on: 2026-11-20 or 2026-11-20T08:00:00Z.",
)
@click.option(
    "--until", metavar="T", callback=_time, help="Only events before this time; without it, before this replay's start."
)
@click.option("--product", "products", metavar="ID", multiple=True, help="Only this product. May be repeated.")
@click.option(
    "--products",
    "listed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Only the products of this file, which is as for publish.",
)
@mapping_option
@click.option(
    "--category", "categories", metavar="C", multiple=True, help="Only this category, or template. May be repeated."
)
@click.option("--model", metavar="NAME_OR_FOLDER", help="Draw with this model instead of the configured one.")
@click.option("--template-version", type=click.IntRange(min=1), help="Only products whose template has this version.")
@click.option("--force", is_flag=True, help="Draw anew what is there already, under new video ids.")
@click.option(
    "--rate",
    metavar="N/s",
    default="10/s",
    show_default=True,
    callback=_rate,
    help="Products a second; also N/min, N/h.",
)
@click.option("--dry-run", is_flag=True, help="Say what it would do and cost, and send nothing.")
def replay(
    since: datetime | None,
    until: datetime | None,
    products: Sequence[str],
    listed: Path | None,
    mapping: Path | None,
    categories: Sequence[str],
    model: str | None,
    template_version: int | None,
    force: bool,
    rate: "Rate",
    dry_run: bool,
) -> None:
    """Answer past products again, with the model and the templates of today, through the bulk lane.

    The latest product.created or product.updated of each product is taken. Old clips stay. First it says what it will
    do and cost. Interrupted, the same command goes on where it stopped; a product is not sent twice.
    """
    from functions.cli.progress import Progress
    from functions.cli.replaying import model_of, opened_replay, with_model
    from functions.replay_events import Selection, describe

    settings = with_model(read_settings(), model)
    manifest = model_of(settings)
    selection = Selection(
        model=f"{manifest.name} {manifest.revision}",
        since=since,
        until=until,
        products=frozenset(products) | product_ids(listed, mapping),
        categories=frozenset(categories),
        template_version=template_version,
        force=force,
    )
    with opened_replay(settings, manifest, selection) as this:
        plan, missing = this.plan(), this.missing()
        if missing and len(missing) == len(selection.products):
            raise PermanentError(_no_event_of(missing), reason="no-such-product")
        if this.run.is_resumed:
            say(f"goes on   with the replay begun at {this.run.begun:%Y-%m-%dT%H:%M:%SZ}")
        say(f"model     {manifest.name} {manifest.revision[:12]}")
        for line in describe(plan, this.cost(plan), rate, unreadable=this.unreadable):
            say(line)
        if not dry_run:
            with Progress("replayed", plan.to_send) as progress:
                sent = this.send(plan, rate, lambda done, _: progress.update(done))
            tell(f"sent      {counted(sent, 'event')}")
    if missing:
        tell(_no_event_of(missing))
    if plan.failed:
        tell(f"{counted(plan.failed, 'product')} could not be derived; mend what is said of them above")
    if missing or plan.failed:
        raise SystemExit(EXIT_FAILED)


def _no_event_of(products: Sequence[str]) -> str:
    named = ", ".join(products[:NAMED_PRODUCTS])
    more = f" and {len(products) - NAMED_PRODUCTS} more" if len(products) > NAMED_PRODUCTS else ""
    return f"no event of product {named}{more} in what was asked for; check the id, --from and --until"


COMMANDS = (publish, tail, replay)
