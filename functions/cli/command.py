"""The `skureel` command. Each command imports what it needs when it runs: `skureel publish` must not wait for torch."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from functions.cli.store import store
from functions.registry import FUNCTIONS
from shared.bounds import LARGEST_GUIDANCE, LARGEST_SEED, MOST_FPS, MOST_STEPS, SIDE_MULTIPLE
from shared.errors import ConfigurationError, PermanentError, SkureelError
from shared.events import ENTRY_TYPES, EVENT_TYPES
from shared.logs import one_line
from shared.settings import describe, load_settings

EXIT_FAILED = 1
EXIT_MISCONFIGURED = 2


class _Commands(click.Group):
    """Turns skureel's errors into one line and an exit code: 2 for a wrong set-up, 1 for work that failed."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            click.echo(f"skureel: {error}", err=True)
            ctx.exit(EXIT_MISCONFIGURED)
        except SkureelError as error:
            click.echo(f"skureel: {error}", err=True)
            ctx.exit(EXIT_FAILED)
        except BrokenPipeError:
            # Whoever read us has read enough: `skureel tail | head`.
            sys.stderr.close()
            ctx.exit(0)


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


def _timesteps(_: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...]:
    """Read whole numbers with commas between them."""
    try:
        return tuple(int(number) for number in text.split(",")) if text is not None else ()
    except ValueError:
        raise click.BadParameter(f"{text!r} are no timesteps; give e.g. 1000,757,522", param=option) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="skureel")
def main() -> None:
    """Product events in, labelled product clips out."""


@main.command()
@click.option("--products", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Products, one a line.")
@click.option("--count", type=click.IntRange(min=1), help="Take only the first so many.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out"), show_default=True)
def demo(products: Path | None, count: int | None, out: Path) -> None:
    """Run everything once: publish products, make their clips, write a page of them.

    Where SKUREEL_KAFKA__BOOTSTRAP_SERVERS or SKUREEL_OBJECTS__ENDPOINT name no server, an embedded one is started. The
    embedded store lies in OUT/store and is kept: a second run draws nothing that it holds.
    """
    from functions.cli.demo import run_demo, summary
    from shared.logs import configure_logging

    settings = load_settings()
    # Whoever looks on wants the bar; what goes well is on the page.
    quiet = "level" not in settings.log.model_fields_set
    configure_logging(settings.log.model_copy(update={"level": "WARNING"}) if quiet else settings.log)
    outcome = run_demo(settings, products, count, out)
    click.echo(summary(outcome))
    sys.exit(0 if outcome.everything_answered else EXIT_FAILED)


@main.command()
@click.argument("function", type=click.Choice(sorted(FUNCTIONS)))
@click.option("--trigger", type=click.Choice(["kafka"]), default="kafka", show_default=True)
def run(function: str, trigger: str) -> None:
    """Run one function until SIGTERM. The first signal finishes what is in work, a second one abandons it."""
    from functions.registry import build
    from shared.kafka import serve
    from shared.logs import configure_logging

    settings = load_settings()
    configure_logging(settings.log)
    sys.exit(serve(build(function, settings), settings.kafka, settings.health))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--type",
    "type_name",
    type=click.Choice(ENTRY_TYPES),
    default=ENTRY_TYPES[0],
    show_default=True,
    help="Event type of lines that are bare product data.",
)
def publish(file: Path, type_name: str) -> None:
    """Send the events of FILE to Kafka: bare product data or CloudEvents, one a line; - is standard input.

    Data are sent with all that they say. Of a FILE with a bad line nothing is sent; of standard input, or a pipe, what
    came before the bad line.
    """
    from functions.cli.products_file import STANDARD_INPUT, read_lines, refuse_bad_lines
    from shared.events.cloudevents import to_kafka
    from shared.kafka import Publisher

    settings = load_settings().kafka
    if file != STANDARD_INPUT and file.is_file():
        try:
            refuse_bad_lines(file)
        except PermanentError as error:
            raise PermanentError(f"{error}; nothing was published", reason=error.reason) from error
    published = 0
    with Publisher(settings) as publisher:
        try:
            for line in read_lines(file, type_name, source="/skureel/publish", stdin=sys.stdin.buffer):
                if line.event.left_out:
                    fields = ", ".join(line.event.left_out)
                    click.echo(f"{line.place}: cannot be read, or not wholly, and will be ignored: {fields}", err=True)
                message = to_kafka(line.event, line.data)
                publisher.publish_raw(settings.topic_prefix + line.event.type, *message)
                published += 1
        except PermanentError as error:
            publisher.flush()
            told = f"{error}; {published} events before it were published, send the rest from there on"
            raise PermanentError(told, reason=error.reason) from error
    click.echo(f"published {published} events", err=True)


@main.command()
@click.argument("types", nargs=-1, metavar="[TYPE]...")
@click.option("--from-beginning", is_flag=True, help="Start with the oldest event kept, not with the next one.")
@click.option("--max", "most", type=click.IntRange(min=1), help="Stop after so many events.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Stop when nothing came for so many seconds.")
def tail(types: Sequence[str], from_beginning: bool, most: int | None, timeout: float | None) -> None:
    """Print events as structured CloudEvents JSON, one a line. Without TYPE: all video events. Commits no offsets."""
    from shared.events.cloudevents import to_structured
    from shared.kafka import tail as follow

    wanted = types or tuple(name for name in EVENT_TYPES if name.startswith("video."))
    unknown = [name for name in wanted if name not in EVENT_TYPES]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: no such event type; there are {', '.join(EVENT_TYPES)}")
    stdout = sys.stdout.buffer
    events = follow(
        load_settings().kafka, wanted, from_beginning=from_beginning, max_events=most, timeout_seconds=timeout
    )
    for event in events:
        stdout.write(to_structured(event) + b"\n")
        stdout.flush()


@main.command()
@click.argument("prompt")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The MP4 file.")
@click.option("--size", metavar="WxH", help=f"Sides divide by {SIDE_MULTIPLE}; the model's own where not given.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Length; frames are rounded to 4n+1.")
@click.option("--fps", type=click.IntRange(1, MOST_FPS))
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), default=42, show_default=True)
@click.option("--steps", type=click.IntRange(1, MOST_STEPS), help="The model's own where not given.")
@click.option("--guidance", type=click.FloatRange(0, LARGEST_GUIDANCE))
@click.option("--negative-prompt", default="", help="What the clip should not look like.")
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="First frame of the clip.")
@click.option("--model", metavar="NAME_OR_FOLDER", help="A bundled model or a checkpoint's folder.")
def generate(
    prompt: str,
    output: Path,
    size: str | None,
    seconds: float | None,
    fps: int | None,
    seed: int,
    steps: int | None,
    guidance: float | None,
    negative_prompt: str,
    image: Path | None,
    model: str | None,
) -> None:
    """Draw one clip from PROMPT, without Kafka or a store. The clip is labelled like every other."""
    from functions.cli.generate import Wanted, generate_clip

    settings = load_settings()
    width, height = _size(size) if size is not None else (None, None)
    wanted = Wanted(
        prompt=prompt,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        seconds=seconds,
        fps=fps,
        seed=seed,
        steps=steps,
        guidance=guidance,
        image=image,
        model=model or settings.model.name,
    )
    for line in generate_clip(settings, wanted, output):
        click.echo(line, err=True)


@main.command()
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
    "--category", "categories", metavar="C", multiple=True, help="Only this category, or template. May be repeated."
)
@click.option("--model", metavar="NAME_OR_FOLDER", help="Draw with this model instead of the configured one.")
@click.option("--template-version", type=click.IntRange(min=1), help="Only products whose template has this version.")
@click.option("--force", is_flag=True, help="Draw anew what is there already, under new video ids.")
@click.option("--rate", metavar="N/s", default="10/s", show_default=True, help="Products a second; also N/min, N/h.")
@click.option("--dry-run", is_flag=True, help="Say what it would do and cost, and send nothing.")
def replay(
    since: datetime | None,
    until: datetime | None,
    products: Sequence[str],
    categories: Sequence[str],
    model: str | None,
    template_version: int | None,
    force: bool,
    rate: str,
    dry_run: bool,
) -> None:
    """Answer past products again, with the model and the templates of today, through the bulk lane.

    The latest product.created or product.updated of each product is taken. Old clips stay. First it says what it will
    do and cost. Interrupted, the same command goes on where it stopped; a product is not sent twice.
    """
    from functions.cli.progress import Progress
    from functions.derive_prompt import DerivePrompt
    from functions.replay_events import LookedUpLater, Rate, Replay, Selection, describe
    from model_store.manifest import model_folder, read_manifest
    from shared.clips import ClipStore
    from shared.logs import configure_logging
    from shared.objects import ObjectStore
    from shared.photos import Photos

    try:
        wanted_rate = Rate.parse(rate)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    settings = load_settings()
    configure_logging(settings.log)
    if model is not None:
        # The revision that the settings pin belongs to the model that they name.
        other = settings.model.model_copy(update={"name": model, "revision": None})
        settings = settings.model_copy(update={"model": other})
    manifest = read_manifest(model_folder(settings.model.name))
    objects = ObjectStore(settings.objects)
    photos = Photos(objects, settings.render)
    derive_prompt = DerivePrompt(settings, LookedUpLater(objects), manifest, photo_digest=photos.digest)
    derive_prompt.start()
    selection = Selection(
        model=f"{manifest.name} {manifest.revision}",
        since=since,
        until=until,
        products=frozenset(products),
        categories=frozenset(categories),
        template_version=template_version,
        force=force,
    )
    with Replay(settings.kafka, selection, derive=derive_prompt.handle, find=ClipStore(objects).find) as this:
        plan = this.plan()
        if this.run.is_resumed:
            click.echo(f"goes on   with the replay begun at {this.run.begun:%Y-%m-%dT%H:%M:%SZ}")
        click.echo(f"model     {manifest.name} {manifest.revision[:12]}")
        for line in describe(plan, this.cost(plan.specs()), wanted_rate, unreadable=this.unreadable):
            click.echo(one_line(line))
        if not dry_run:
            with Progress("replayed", len(plan.steps)) as progress:
                sent = this.send(plan, wanted_rate, lambda done, _: progress.update(done))
            click.echo(f"sent      {sent} events", err=True)
    sys.exit(EXIT_FAILED if plan.failed else 0)


@main.command()
def lag() -> None:
    """Say how far each function is behind, by topic and partition."""
    from functions.registry import CARRIES, CONSUMES
    from shared.kafka import read_lag

    row = "{:<16} {:<36} {:>9} {:>12} {:>12} {:>8}"
    click.echo(row.format("function", "topic", "partition", "committed", "end", "lag"))
    for part in read_lag(load_settings().kafka, CONSUMES, CARRIES):
        committed = "-" if part.committed is None else part.committed
        click.echo(row.format(part.function, part.topic, part.partition, committed, part.end, part.records))


@main.group()
def models() -> None:
    """Models as verified folders."""


@models.command("import")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--name", help="By default the name of DEST.")
@click.option("--version", help="By default 1.")
@click.option("--licence", help="What the model's publisher says, e.g. Apache-2.0; by default unknown.")
@click.option("--timesteps", metavar="T,T...", callback=_timesteps, help="Those a distilled model was made for.")
def import_command(
    source: Path,
    destination: Path,
    name: str | None,
    version: str | None,
    licence: str | None,
    timesteps: tuple[int, ...],
) -> None:
    """Make the model DEST of the Wan2.2-TI2V checkpoint in SOURCE: either public layout, as published.

    Every tensor is checked before anything is written, and DEST appears when it is complete. Pickles become
    safetensors without running what they hold; safetensors files are linked where the disk allows it.
    """
    from functions.cli.progress import Progress
    from model_store.importing import import_model

    with Progress("imported %", 100) as progress:
        manifest = import_model(
            source,
            destination,
            name=name,
            version=version,
            licence=licence,
            timesteps=timesteps,
            progress=lambda done, total, file: progress.update(100 * done // max(total, 1), file),
        )
    click.echo(f"model     {manifest.name} {manifest.revision[:12]}")
    click.echo(f"files     {len(manifest.files)}, {sum(file.size_bytes for file in manifest.files) / 1e9:.1f} GB")
    click.echo(f"use it    SKUREEL_MODEL__NAME={destination}")


@main.group()
def topics() -> None:
    """Kafka topics."""


@topics.command("create")
@click.option("--partitions", type=click.IntRange(min=1), default=6, show_default=True, help="Bound of parallelism.")
@click.option(
    "--replication", type=click.IntRange(min=1), help="Copies of each record; the broker's own default where not given."
)
def create_topics_command(partitions: int, replication: int | None) -> None:
    """Create every topic that is missing, with retry and dead-letter topics. Existing ones stay as they are.

    How long records are kept is the broker's default, for dead letters too.
    """
    from shared.kafka import create_topics

    made = create_topics(load_settings().kafka, partitions=partitions, replication=replication or -1)
    click.echo("\n".join(made) if made else "all topics are there", err=not made)


@main.group()
def deadletters() -> None:
    """Records that could not be handled: what lies there and why, and sending them again."""


@deadletters.command("list")
@click.option("--topic", "topics", multiple=True, help="Only this dead letter topic; may be given again.")
def list_command(topics: Sequence[str]) -> None:
    """One line a dead letter: its place, when and how often it failed, whether all were sent again since, and why."""
    from shared.kafka import list_dead_letters

    for letter in list_dead_letters(load_settings().kafka, topics):
        story = letter.story
        # A parked letter was passed over, not sent.
        mark = " (parked)" if letter.parked else " (sent again)" if letter.sent_again and not letter.bare else ""
        message = one_line(story.message)
        click.echo(
            f"{letter.place}  {story.first_failed_at}  {story.attempts} attempts  {story.reason}{mark}: {message}"
        )


@deadletters.command()
@click.argument("place")
@click.option("--value", is_flag=True, help="Write the record's exact bytes to standard output, and nothing else.")
def show(place: str, value: bool) -> None:
    """One dead letter at PLACE (topic:partition:offset): headers, story and size, or its exact bytes."""
    from shared.kafka import show_dead_letter

    letter = show_dead_letter(load_settings().kafka, place)
    if value:
        sys.stdout.buffer.write(letter.value or b"")
        return
    for name, raw in letter.headers:
        click.echo(f"{one_line(name)}: {one_line((raw or b'').decode('utf-8', 'backslashreplace'))}")
    click.echo(f"key: {one_line((letter.key or b'').decode('utf-8', 'backslashreplace'))}")
    click.echo("value: none" if letter.value is None else f"value: {len(letter.value)} bytes; --value writes them")


@deadletters.command("replay")
@click.argument("places", nargs=-1, metavar="[PLACE]...")
@click.option("--topic", "topics", multiple=True, help="Only this dead letter topic; may be given again.")
def replay_dead_letters_command(places: Sequence[str], topics: Sequence[str]) -> None:
    """Send dead letters to where they came from: those at PLACE, or all that no replay without PLACE has sent yet."""
    from shared.kafka import replay_dead_letters

    if places and topics:
        raise click.UsageError("PLACE says its topic already; leave out --topic, or PLACE")
    done = replay_dead_letters(load_settings().kafka, places, topics=topics)
    click.echo(f"sent {done.sent} again")
    for why in done.parked:
        click.echo(why, err=True)
    sys.exit(EXIT_FAILED if done.parked else 0)


main.add_command(store)


@main.command()
def config() -> None:
    """List every setting: variable, value now (* if not the default) and what it means."""
    for row in describe(load_settings()):
        mark = " " if row.is_default else "*"
        click.echo(f"{mark} {row.variable}={row.value}")
        click.echo(click.wrap_text(row.description, width=100, initial_indent="      ", subsequent_indent="      "))


@main.command()
def doctor() -> None:
    """Say what is configured, what answers and what is missing. Exit code 0 only if nothing is wrong.

    Nothing is changed, but that a missing bucket is made where SKUREEL_OBJECTS__CREATE_BUCKET says so.
    """
    from functions.cli.doctor import examine

    healthy = True
    for finding in examine(load_settings()):
        healthy = healthy and finding.good
        click.echo(f"{'ok    ' if finding.good else 'WRONG '} {finding.subject}: {finding.fact}")
    sys.exit(0 if healthy else EXIT_FAILED)


@main.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a committed document differs.")
def schemas(check: bool) -> None:
    """Write the JSON Schemas and the AsyncAPI document of all events from their models."""
    from shared.events import documents

    if not check:
        for path in documents.write():
            click.echo(path)
        return
    differing = list(documents.drift())
    for name in differing:
        click.echo(f"{name} differs from the models; run `skureel schemas` and commit it", err=True)
    sys.exit(EXIT_FAILED if differing else 0)


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    sides = [int(side) for side in (width, height) if side.isascii() and side.isdecimal() and len(side) <= 5]
    if not cross or len(sides) != 2 or not all(side and side % SIDE_MULTIPLE == 0 for side in sides):
        raise click.BadParameter(f"size {text!r} is not WIDTHxHEIGHT, multiples of {SIDE_MULTIPLE}, e.g. 640x480")
    return sides[0], sides[1]
