"""What operators run and ask: `skureel run`, `topics`, `lag`, `deadletters`, `config`, `doctor` and `schemas`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from functions.cli.frame import EXIT_FAILED, Command, Commands, read_settings
from functions.cli.printing import give, say, tell
from functions.registry import FUNCTIONS
from shared.plural import counted
from shared.printable import LONGEST, one_line_of_bytes
from shared.settings import survey

if TYPE_CHECKING:
    from shared.kafka import DeadLetter, Lag

KEY_CHARACTERS = 80
TOLD_HOPELESS = 20


@click.command(cls=Command, example="skureel run derive_prompt")
@click.argument("function", type=click.Choice(sorted(FUNCTIONS)))
def run(function: str) -> None:
    """Run one function until SIGTERM. The first signal finishes what is in work, a second one abandons it."""
    from functions.registry import PORTS, build
    from shared.kafka import serve

    settings = read_settings(quiet=False)
    port = PORTS[function] if settings.health.port is None else settings.health.port
    health = settings.health.model_copy(update={"port": port})
    raise SystemExit(serve(build(function, settings), settings.kafka, health))


@click.group(cls=Commands)
def topics() -> None:
    """Kafka topics."""


@topics.command("create", example="skureel topics create --partitions 12")
@click.option("--partitions", type=click.IntRange(min=1), default=6, show_default=True, help="Bound of parallelism.")
@click.option(
    "--replication", type=click.IntRange(min=1), help="Copies of each record; the broker's own default where not given."
)
def create_topics_command(partitions: int, replication: int | None) -> None:
    """Create every topic that is missing, with retry and dead-letter topics. Existing ones stay as they are.

    How long records are kept is the broker's default, for dead letters too.
    """
    from shared.kafka import create_topics

    made = create_topics(read_settings().kafka, partitions=partitions, replication=replication or -1)
    for name in made:
        say(name)
    if not made:
        tell("all topics are there")


@click.command(cls=Command, example="skureel lag --all")
@click.option("--all", "every", is_flag=True, help="List the partitions where nothing waits, too.")
def lag(every: bool) -> None:
    """Say how far each function is behind, by topic and partition, in offsets.

    Offsets are what the scaler counts: records, those in work too, and the markers that end transactions. What a retry
    topic holds waits for its time, or is due.
    """
    from functions.registry import CARRIES, CONSUMES
    from shared.kafka import read_lag

    parts = list(read_lag(read_settings().kafka, CONSUMES, CARRIES))
    shown = [part for part in parts if every or part.offsets]
    for line in _lag_table(shown):
        say(line)
    behind: Counter[str] = Counter()
    for part in parts:
        behind[part.function] += part.offsets
    late = [
        f"{function} has {counted(offsets, 'offset')} waiting or due"
        if function in CARRIES
        else f"{function} is {counted(offsets, 'offset')} behind"
        for function, offsets in behind.items()
        if offsets
    ]
    tell("; ".join(late) or "no function is behind")
    quiet = len(parts) - len(shown)
    if shown and quiet:
        tell(f"{quiet} of {counted(len(parts), 'partition')} not listed, for nothing waits there; --all lists them")


def _lag_table(parts: Sequence["Lag"]) -> Iterator[str]:
    """A line for each, under a head; none where there are none."""
    if not parts:
        return
    table = [("function", "topic", "partition", "committed", "end", "offsets")]
    for part in parts:
        committed = "-" if part.committed is None else str(part.committed)
        table.append((part.function, part.topic, str(part.partition), committed, str(part.end), str(part.offsets)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for function, topic, *numbers in table:
        cells = [function.ljust(widths[0]), topic.ljust(widths[1])]
        cells += [number.rjust(width) for number, width in zip(numbers, widths[2:], strict=True)]
        yield " ".join(cells)


@click.group(cls=Commands)
def deadletters() -> None:
    """Records that could not be handled: what lies there and why, and sending them again."""


@deadletters.command("list", example="skureel deadletters list --topic product.created.dlq")
@click.option("--topic", "topics", multiple=True, help="Only this dead letter topic; may be given again.")
def list_command(topics: Sequence[str]) -> None:
    """One line a dead letter: its place, key, when and how often it failed, its replays, and why.

    The key is the product's id. "sent again" marks those that a replay without PLACE has come past, and those of whose
    record a later letter tells. What was sent by PLACE and has not failed again is noted nowhere.
    """
    from shared.kafka import list_dead_letters

    found = 0
    for letter in list_dead_letters(read_settings().kafka, topics):
        found += 1
        story = letter.story
        # A parked letter was passed over, not sent.
        mark = " (parked)" if letter.parked else " (sent again)" if letter.sent_again and not letter.stays else ""
        since = story.first_failed_at or "no time"
        often = f"{counted(story.attempts, 'attempt')}, {counted(story.replays, 'replay')}"
        key, reason = _key(letter, KEY_CHARACTERS), story.reason or "no reason"
        say(f"{letter.place}  {key}  {since}  {often}  {reason}{mark}: {story.message}")
    if found:
        tell(f"{counted(found, 'dead letter')}; what was sent by its place is marked once it failed again")
    else:
        tell("there are no dead letters")


@deadletters.command(example="skureel deadletters show product.created.dlq:0:17")
@click.argument("place")
@click.option("--value", is_flag=True, help="Write the record's exact bytes to standard output, and nothing else.")
def show(place: str, value: bool) -> None:
    """Headers, story and size of the dead letter at PLACE (topic:partition:offset), or its exact bytes.

    PLACE is the dead letter's own, as `skureel deadletters list` says it, or that of its record in the topic of events,
    as the log says it: where it first was, or where it came back to. Of such a record the last dead letter is meant,
    and the places of the earlier ones are told.
    """
    from shared.kafka import show_dead_letter
    from shared.kafka.story import WRITTEN_AT

    letter = show_dead_letter(read_settings().kafka, place)
    if value:
        give(letter.value or b"")
        return
    say(f"place: {letter.place}")
    for name, raw in letter.headers:
        told = letter.story.written_at if name == WRITTEN_AT else ""
        say(f"{name}: {told or one_line_of_bytes(raw)}", longest=2 * len(name) + 20_000)
    say(f"key: {_key(letter)}")
    size = "no value" if letter.value is None else f"{counted(len(letter.value), 'byte')}; --value writes them"
    say(f"value: {size}")
    if letter.earlier:
        tell(f"its record has {counted(len(letter.earlier), 'earlier dead letter')}: {', '.join(letter.earlier)}")


def _key(letter: "DeadLetter", longest: int = LONGEST) -> str:
    if letter.key is None:
        return "no key"
    return one_line_of_bytes(letter.key, longest) or "empty key"


@deadletters.command("replay", example="skureel deadletters replay product.created.dlq:0:17")
@click.argument("places", nargs=-1, metavar="[PLACE]...")
@click.option("--topic", "topics", multiple=True, help="Only this dead letter topic; may be given again.")
def replay_dead_letters_command(places: Sequence[str], topics: Sequence[str]) -> None:
    """Send dead letters to where they came from: those at PLACE, or all that no replay without PLACE has sent yet.

    Without PLACE, of several letters of one record only the last is sent.
    PLACE is any that `skureel deadletters show` takes.
    """
    from shared.kafka import replay_dead_letters

    if places and topics:
        raise click.UsageError("PLACE says its topic already; leave out --topic, or PLACE")
    done = replay_dead_letters(read_settings().kafka, places, topics=topics)
    say(f"sent {done.sent} again")
    if done.overtaken:
        tell(f"left out {counted(done.overtaken, 'letter')} of whose record a later letter tells")
    for why in (*done.parked, *done.hopeless[:TOLD_HOPELESS]):
        tell(why)
    if len(done.hopeless) > TOLD_HOPELESS:
        tell(f"and {len(done.hopeless) - TOLD_HOPELESS} more that were sent will fail again; publish them corrected")
    if done.parked:
        raise SystemExit(EXIT_FAILED)


@click.command(cls=Command, example="skureel config")
def config() -> None:
    """List every setting: variable, value now and what it means.

    * is before what is not the default, ! before what cannot be taken; at the end it is said why not.
    """
    for row in survey():
        mark = "!" if row.is_wrong else " " if row.is_default else "*"
        say(f"{mark} {row.variable}={row.value}")
        told = click.wrap_text(row.description, width=100, initial_indent="      ", subsequent_indent="      ")
        for line in told.splitlines():
            say(line)


@click.command(cls=Command, example="skureel doctor derive_prompt")
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...", type=click.Choice(sorted(FUNCTIONS)))
def doctor(functions: Sequence[str]) -> None:
    """Say what is configured, what answers and what is missing. Exit code 0 only if nothing is wrong.

    With FUNCTION, what that one needs, here and with these credentials; without, what any needs, and the credentials
    have to do for one of them. A dash is before what is neither right nor wrong, and the line says why.
    Nothing is changed, but that a missing bucket is made where SKUREEL_OBJECTS__CREATE_BUCKET says so.
    """
    from functions.cli.doctor import WRONG, examine

    healthy = True
    for finding in examine(read_settings(), functions):
        healthy = healthy and finding.verdict != WRONG
        say(f"{finding.verdict:<6} {finding.subject}: {finding.fact}")
    if not healthy:
        raise SystemExit(EXIT_FAILED)


@click.command(cls=Command, example="skureel schemas --check")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a committed document differs.")
def schemas(check: bool) -> None:
    """Write the JSON Schemas and the AsyncAPI document of all events from their models."""
    from functions.cli.schemas import drift, write

    if not check:
        for path in write():
            say(str(path))
        return
    differing = list(drift())
    for name in differing:
        tell(f"{name} differs from the models; run `skureel schemas` and commit it")
    if differing:
        raise SystemExit(EXIT_FAILED)


COMMANDS = (run, topics, lag, deadletters, config, doctor, schemas)
