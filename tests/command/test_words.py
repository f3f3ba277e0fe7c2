"""What the command says to whoever has just installed it, and to whoever reads what strangers wrote."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from kafka import KafkaProducer

from functions.cli.command import main
from functions.cli.frame import Command
from functions.registry import FUNCTIONS, PORTS
from shared.errors import TemporaryError
from shared.kafka import DeadLetter, Lag, Publisher, Replayed, create_topics
from shared.kafka.client import connection, group_name
from shared.kafka.story import read as read_story
from shared.settings import KafkaSettings, Settings, child_environment, describe, load_settings
from tests.servers import make_topics

SKUREEL = [sys.executable, "-c", "from functions.cli.command import main; main(prog_name='skureel')"]
NASTY = "\x1b[2J\x9b31m\n2026-11-20 all is well\r\u202etxt\x7f\u2028\ud800"
LONGEST_LINE = 25_000


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in describe(load_settings()):
        monkeypatch.delenv(row.variable, raising=False)


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group, with its full name."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS = [(path, command) for path, command in commands(main) if isinstance(command, Command)]
NAMES = [" ".join(path) for path, _ in COMMANDS]


def variables(settings: KafkaSettings) -> dict[str, str]:
    """The environment of a command on this broker."""
    names = ("bootstrap_servers", "api_version", "offsets", "topic_prefix")
    given = {name: getattr(settings, name) for name in names}
    return {f"SKUREEL_KAFKA__{name.upper()}": str(value) for name, value in given.items() if value is not None}


def skureel(*arguments: str, settings: KafkaSettings | None = None, **more: str) -> Result:
    environment: Mapping[str, str] = {**(variables(settings) if settings else {}), **more}
    return CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)


def process(*arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
    """The command as a process of its own."""
    return subprocess.Popen(
        [*SKUREEL, *arguments],
        env=child_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def assert_harmless(text: str) -> None:
    """No line does anything to a terminal, or is without end."""
    for line in text.split("\n"):
        assert line.isprintable(), line
        assert len(line) < LONGEST_LINE


# Help.


@pytest.mark.parametrize("width", ["80", "60"])
def test_help_shows_every_command_with_a_whole_line(width: str) -> None:
    text = " ".join(CliRunner().invoke(main, ["--help"], env={"COLUMNS": width}).output.split())
    for name, command in main.commands.items():
        line = command.get_short_help_str()
        assert line.endswith("."), name
        assert "..." not in line
        assert line in text, name


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=NAMES)
def test_every_command_shows_an_example_that_can_be_typed(
    path: tuple[str, ...], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "products.jsonl").touch()
    (tmp_path / "Wan2.2-TI2V-5B").mkdir()
    assert f"Example: {command.example}" in " ".join(skureel(*path, "--help").output.split())
    words = shlex.split(command.example)
    assert words[: len(path) + 1] == ["skureel", *path]
    command.make_context(path[-1], words[len(path) + 1 :])


# Without what it needs.

KAFKA_COMMANDS = [
    ("publish", "products.jsonl"),
    ("tail",),
    ("topics", "create"),
    ("lag",),
    ("deadletters", "list"),
    ("deadletters", "show", "product.created.dlq:0:0"),
    ("deadletters", "replay"),
]


@pytest.mark.parametrize("arguments", KAFKA_COMMANDS, ids=" ".join)
def test_a_broker_that_is_away_is_one_sentence(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shared.kafka.listener.PATIENCE_SECONDS", 0.0)
    (tmp_path / "products.jsonl").write_text('{"id": "1", "name": "x"}')
    result = skureel(*arguments, SKUREEL_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr == (
        "skureel: Kafka at 127.0.0.1:1 does not answer: Connection refused; check that it runs, and "
        "SKUREEL_KAFKA__BOOTSTRAP_SERVERS\n"
    )
    assert result.stdout == ""


@pytest.mark.connected
def test_topics_that_are_missing_are_named(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    file = tmp_path / "products.jsonl"
    file.write_text('{"id": "1", "name": "x"}')
    prefix = real_kafka.topic_prefix
    for arguments, named in (
        (("publish", str(file)), "product.created"),
        (("tail", "video.ready", "--timeout", "2"), "video.ready"),
        (("tail", "--timeout", "2"), "video.review"),
        (("lag",), "none of the topics"),
        (("deadletters", "list"), "product.created.dlq"),
    ):
        result = skureel(*arguments, settings=real_kafka)
        assert result.exit_code == 2, arguments
        assert result.stdout == ""
        assert named in result.stderr
        assert prefix in result.stderr
        assert "`skureel topics create`" in result.stderr
        assert_harmless(result.stderr)


def test_what_is_empty_is_said(kafka_broker: KafkaSettings) -> None:
    create_topics(kafka_broker, partitions=1, replication=1)
    for arguments, told in (
        (("deadletters", "list"), "there are no dead letters"),
        (("lag",), "no function is behind"),
        (("tail", "--timeout", "1"), "no event came in 1 s"),
        (("topics", "create"), "all topics are there"),
    ):
        result = skureel(*arguments, settings=kafka_broker)
        assert (result.exit_code, result.stderr) == (0, told + "\n"), arguments


@pytest.mark.parametrize("name", ["none.jsonl", "-"])
def test_a_file_or_standard_input_without_events_is_said(
    name: str, kafka_broker: KafkaSettings, tmp_path: Path
) -> None:
    (tmp_path / "none.jsonl").write_text("\n\n")
    file = name if name == "-" else str(tmp_path / name)
    result = skureel("publish", file, settings=kafka_broker)
    subject = "standard input" if name == "-" else file
    assert (result.exit_code, result.stderr) == (
        1,
        f"skureel: {subject} holds no event; give a product a row\n",
    )


# What strangers wrote.


@pytest.fixture
def nasty_letter(kafka_broker: KafkaSettings) -> KafkaSettings:
    """A broker with a dead letter whose every part is meant for a terminal."""
    topic = "product.created.dlq"
    make_topics(kafka_broker, topic, partitions=1)
    raw = NASTY.encode("utf-8", "surrogatepass")
    headers = [
        ("skureel.reason", raw),
        ("skureel.first-failed-at", raw),
        ("__connect.errors.exception.message", raw + b"x" * 1_000_000),
        ("x" + NASTY.replace("\ud800", ""), raw + b"\xff"),
    ]
    producer = KafkaProducer(**connection(kafka_broker, client_id="test-nasty"), max_request_size=2**23)
    try:
        producer.send(kafka_broker.topic_prefix + topic, raw, raw * 1000, headers, partition=0).get(20)
    finally:
        producer.close(timeout=10)
    return kafka_broker


def test_nothing_foreign_reaches_the_terminal_raw(nasty_letter: KafkaSettings) -> None:
    place = f"{nasty_letter.topic_prefix}product.created.dlq:0:0"
    listed = skureel("deadletters", "list", settings=nasty_letter)
    shown = skureel("deadletters", "show", place, settings=nasty_letter)
    for result in (listed, shown):
        assert result.exit_code == 0
        assert_harmless(result.output)
    assert len(listed.stdout.splitlines()) == 1
    assert listed.stderr == "1 dead letter; what was sent by its place is marked once it failed again\n"
    assert "  \\x1b[2J" in listed.stdout, "the key is not shown"
    assert "0 attempts, 0 replays" in listed.stdout
    assert place in listed.stdout
    assert "\\x1b[2J" in shown.stdout
    whole = skureel("deadletters", "show", place, "--value", settings=nasty_letter)
    assert whole.stdout_bytes == NASTY.encode("utf-8", "surrogatepass")


def test_events_are_printed_as_json_without_a_character_that_does_something(kafka_broker: KafkaSettings) -> None:
    create_topics(kafka_broker, partitions=1, replication=1)
    product = {"id": "p", "name": "\u202etxt\u2028杯\U000e0041"}
    with Publisher(kafka_broker) as publisher:
        headers = [("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"product.created"), ("ce_note", b"\x1b[2J")]
        value = json.dumps(product).encode()
        publisher.publish_raw(kafka_broker.topic_prefix + "product.created", b"k", value, headers)
    told = skureel(
        "tail", "product.created", "--from-beginning", "--max", "1", "--timeout", "20", settings=kafka_broker
    )
    assert_harmless(told.output)
    document = json.loads(told.stdout)
    assert document["data"]["name"] == product["name"]
    assert document["note"] == "\x1b[2J"
    assert "杯" in told.stdout


def test_a_bad_line_cannot_draw_on_the_terminal(kafka_broker: KafkaSettings, tmp_path: Path) -> None:
    file = tmp_path / "products.jsonl"
    fields = {"specversion": "1.0", "id": NASTY, "source": "/", "type": NASTY + "x" * 100_000, "data": {}}
    file.write_text(json.dumps(fields) + "\n{\x1b[2J")
    result = skureel("publish", str(file), settings=kafka_broker)
    assert result.exit_code == 1
    assert_harmless(result.stderr)
    assert len(result.stderr.splitlines()) == 3


def test_exact_bytes_are_not_for_a_terminal(nasty_letter: KafkaSettings) -> None:
    ours, theirs = pty.openpty()
    place = f"{nasty_letter.topic_prefix}product.created.dlq:0:0"
    done = subprocess.run(
        [*SKUREEL, "deadletters", "show", place, "--value"],
        env=child_environment(variables(nasty_letter)),
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"write them to a file with > FILE" in done.stderr


# Its surroundings.


def test_whoever_has_read_enough_ends_it_without_a_word(kafka_broker: KafkaSettings) -> None:
    running = process("config")
    assert running.stdout is not None
    running.stdout.read(10)
    running.stdout.close()
    _, told = running.communicate(timeout=60)
    assert (running.returncode, told) == (0, b"")


def test_a_full_disk_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*SKUREEL, "config"], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1
    assert done.stderr == b"skureel: the output: No space left on device; free some space\n"


def test_ctrl_c_is_no_traceback(kafka_broker: KafkaSettings) -> None:
    create_topics(kafka_broker, partitions=1, replication=1)
    with Publisher(kafka_broker) as publisher:
        headers = [("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"product.created")]
        publisher.publish_raw(kafka_broker.topic_prefix + "product.created", b"k", b'{"id": "1", "name": "x"}', headers)
    running = process("tail", "product.created", "--from-beginning", **variables(kafka_broker))
    assert running.stdout is not None
    assert running.stdout.readline().startswith(b'{"specversion"')
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=120)
    assert (running.returncode, told) == (130, b"skureel: interrupted\n")


def test_a_terminal_that_knows_ascii_alone_shows_the_rest_as_escapes(kafka_broker: KafkaSettings) -> None:
    create_topics(kafka_broker, partitions=1, replication=1)
    with Publisher(kafka_broker) as publisher:
        headers = [("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"product.created")]
        value = '{"id": "1", "name": "杯"}'.encode()
        publisher.publish_raw(kafka_broker.topic_prefix + "product.created", b"k", value, headers)
    environment = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", **variables(kafka_broker)}
    running = process("tail", "product.created", "--from-beginning", "--max", "1", **environment)
    told, error = running.communicate(timeout=60)
    assert (running.returncode, error) == (0, b"")
    assert json.loads(told)["data"]["name"] == "杯"


def test_every_function_has_a_port_of_its_own_on_one_host(monkeypatch: pytest.MonkeyPatch) -> None:
    served: dict[str, int] = {}
    monkeypatch.setattr("functions.registry.build", lambda name, settings: name)
    monkeypatch.setattr(
        "shared.kafka.serve", lambda function, kafka, health: served.update({function: health.port}) or 0
    )
    for name in FUNCTIONS:
        skureel("run", name)
    assert served == PORTS
    assert len(set(served.values())) == len(FUNCTIONS)
    (row,) = (row for row in describe(load_settings()) if row.variable == "SKUREEL_HEALTH__PORT")
    assert re.findall(r"(\w+) (\d+)[,)]", row.description) == [(name, str(port)) for name, port in PORTS.items()]
    skureel("run", "derive_prompt", SKUREEL_HEALTH__PORT="0")
    assert served["derive_prompt"] == 0


def test_what_is_wrong_with_a_setting_is_said_before_anything_is_done() -> None:
    for name in NAMES:
        if name == "schemas":
            continue
        path, command = next(one for one in COMMANDS if " ".join(one[0]) == name)
        words = shlex.split(command.example)[1 + len(path) :]
        if name in ("publish", "derive", "models import"):
            words = [str(Path(__file__).parent), "x"] if name == "models import" else [str(Path(__file__))]
        result = skureel(*path, *words, SKUREEL_KAFKA__TYPO="1")
        assert (result.exit_code, result.stderr.splitlines()) == (
            2,
            ["skureel: SKUREEL_KAFKA__TYPO: no such setting; `skureel config` lists them all"],
        ), name


def test_all_that_is_wrong_with_settings_is_said_at_once_and_config_still_lists_them() -> None:
    wrong = {"SKUREEL_KAFKA__TYPO": "1", "SKUREEL_HEALTH__PORT": "x", "SKUREEL_OBJECTS__SECURE": "perhaps"}
    for command in ("config", "lag", "doctor"):
        result = skureel(command, **wrong)
        assert (result.exit_code, [line.split(":")[1].strip() for line in result.stderr.splitlines()]) == (
            2,
            ["SKUREEL_KAFKA__TYPO", "SKUREEL_OBJECTS__SECURE", "SKUREEL_HEALTH__PORT"],
        ), command


def test_one_wrong_setting_hides_no_other() -> None:
    right = {"SKUREEL_KAFKA__TOPIC_PREFIX": "live.", "SKUREEL_OBJECTS__BUCKET": "clips"}
    wrong = {
        "SKUREEL_OBJECTS__PRESIGN_SECONDS": "abc",
        "SKUREEL_OBJECTS__ENDPOINT": "me:hush@store:9000",
        "SKUREEL_KAFKA__RETRY_DELAYS_SECONDS": "30,soon,never",
    }
    told = skureel("config", **right, **wrong)
    assert told.exit_code == 2
    assert "hush" not in told.output
    marked = [line for line in told.stdout.splitlines() if line[0] in "*!"]
    assert marked == [
        "* SKUREEL_KAFKA__TOPIC_PREFIX=live.",
        "! SKUREEL_KAFKA__RETRY_DELAYS_SECONDS='30,soon,never'",
        "! SKUREEL_OBJECTS__ENDPOINT='**********@store:9000'",
        "* SKUREEL_OBJECTS__BUCKET=clips",
        "! SKUREEL_OBJECTS__PRESIGN_SECONDS='abc'",
    ]
    assert len(told.stderr.splitlines()) == 3
    right_alone = skureel("config", **right)
    assert (right_alone.exit_code, right_alone.stderr) == (0, "")
    assert [line for line in right_alone.stdout.splitlines() if line[0] in "*!"] == [marked[0], marked[3]]


LIVE = {"SKUREEL_KAFKA__BOOTSTRAP_SERVERS": "me:hush@broker:9092", "SKUREEL_KAFKA__TOPIC_PREFIX": "live."}


def test_a_demo_on_live_servers_says_which_and_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run_demo(settings: Settings, *_: object) -> None:
        ran.append(group_name(settings.kafka, "derive_prompt"))
        raise TemporaryError("far enough")

    monkeypatch.setattr("functions.cli.demo.run_demo", run_demo)
    out = ("--out", str(tmp_path))
    refused = skureel("demo", *out, **LIVE)
    assert (refused.exit_code, ran) == (2, [])
    assert refused.stderr.splitlines()[0] == (
        "uses Kafka at **********@broker:9092, topics and consumer groups of its own (live.demo.*), and "
        f"an embedded store in {tmp_path / 'store'}"
    )
    assert "give --yes" in refused.stderr
    store = {"SKUREEL_OBJECTS__ENDPOINT": "store:9000", "SKUREEL_OBJECTS__BUCKET": "clips"}
    assert (skureel("demo", *out, **store).exit_code, ran) == (2, [])
    told = skureel("demo", *out, "--yes", **LIVE, **store)
    assert told.stderr.splitlines()[0].endswith("and bucket clips at store:9000")
    assert ran == ["skureel-live.demo.derive_prompt"], "it takes partitions from those that run there"
    told = skureel("demo", *out)
    assert told.stderr.splitlines()[0] == f"uses an embedded Kafka and an embedded store in {tmp_path / 'store'}"
    assert ran[1:] == ["skureel-derive_prompt"]


@pytest.mark.parametrize("prompt", ["", "  "])
def test_a_prompt_that_says_nothing_is_said(prompt: str) -> None:
    result = skureel("generate", prompt, "-o", "a.mp4")
    assert (result.exit_code, result.stderr) == (1, "skureel: the prompt is empty; say what to draw\n")


def test_a_size_that_the_model_was_not_made_for_names_the_option(tmp_path: Path) -> None:
    result = skureel("generate", "a mug", "--size", "640x480", "-o", str(tmp_path / "a.mp4"))
    assert result.exit_code == 1
    assert "(--any-size)" in result.stderr


def test_what_waits_in_retry_topics_is_not_called_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [
        Lag("derive_prompt", "product.created", 0, 3, 4, 1),
        Lag("redeliver", "product.created.retry.300s", 0, 3, 8, 5),
    ]
    monkeypatch.setattr("shared.kafka.read_lag", lambda *_: parts)
    assert skureel("lag").stderr == "derive_prompt is 1 offset behind; redeliver has 5 offsets waiting or due\n"


def test_times_are_shown_as_times_and_what_is_not_there_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    headers: list[tuple[str, bytes | None]] = [("skureel.written-at", b"1795908414789")]
    letter = DeadLetter("t.dlq", 0, 9, 0, None, None, headers, read_story(headers), earlier=("t.dlq:0:3", "t.dlq:0:5"))
    monkeypatch.setattr("shared.kafka.show_dead_letter", lambda *_: letter)
    shown = skureel("deadletters", "show", "t:0:1")
    assert shown.stdout.splitlines() == [
        "place: t.dlq:0:9",
        "skureel.written-at: 2026-11-28T23:26:54.789Z",
        "key: no key",
        "value: no value",
    ]
    assert shown.stderr == "its record has 2 earlier dead letters: t.dlq:0:3, t.dlq:0:5\n"
    monkeypatch.setattr("shared.kafka.list_dead_letters", lambda *_: [letter, replace(letter, key=b"")])
    assert [line.split("  ")[1] for line in skureel("deadletters", "list").stdout.splitlines()] == [
        "no key",
        "empty key",
    ]


def test_letters_that_are_left_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.kafka.replay_dead_letters", lambda *_, **__: Replayed(2, (), (), 1))
    result = skureel("deadletters", "replay")
    assert (result.exit_code, result.stdout) == (0, "sent 2 again\n")
    assert result.stderr == "left out 1 letter of whose record a later letter tells\n"


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    place = tmp_path / "none" / "a.mp4"
    result = skureel("generate", "a mug", "-o", str(place))
    assert (result.exit_code, place.parent.exists()) == (2, False)
    assert f"{place} cannot be written: No such file or directory" in result.stderr


def test_of_many_letters_that_fail_again_some_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    told = tuple(f"t.dlq:0:{number} (invalid-data) will fail again" for number in range(100))
    monkeypatch.setattr("shared.kafka.replay_dead_letters", lambda *_, **__: Replayed(100, (), told))
    result = skureel("deadletters", "replay")
    assert (result.exit_code, result.stdout) == (0, "sent 100 again\n")
    assert result.stderr.splitlines()[-1] == ("and 80 more that were sent will fail again; publish them corrected")
