"""The `skureel` command: what it prints, and with which exit code it ends."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from functions.cli.command import main
from shared.events.cloudevents import from_structured
from shared.settings import KafkaSettings, describe, load_settings
from tests.delivery.harness import headers_of, records_of


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in describe(load_settings()):
        monkeypatch.delenv(row.variable, raising=False)


@pytest.fixture
def on_broker(kafka_broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    """The environment names a broker, as it does in production."""
    for name in ("bootstrap_servers", "api_version", "offsets", "topic_prefix"):
        value = getattr(kafka_broker, name)
        if value is not None:
            monkeypatch.setenv(f"SKUREEL_KAFKA__{name.upper()}", str(value))
    return kafka_broker


def skureel(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin, catch_exceptions=False)


def test_published_events_can_be_read_again(on_broker: KafkaSettings, tmp_path: Path) -> None:
    assert skureel("topics", "create", "--partitions", "2").exit_code == 0
    file = tmp_path / "products.jsonl"
    file.write_text('{"id": "1", "name": "杯"}\n{"id": "2", "name": "Mug"}\n', encoding="utf-8")
    assert skureel("publish", str(file)).exit_code == 0
    assert skureel("publish", "-", "--type", "product.updated", stdin='{"id": "3", "name": "x"}').exit_code == 0
    told = skureel("tail", "product.created", "product.updated", "--from-beginning", "--max", "3", "--timeout", "20")
    events = [from_structured(line) for line in told.stdout_bytes.splitlines()]
    assert sorted((event.type, event.data.product_id) for event in events) == [
        ("product.created", "1"),
        ("product.created", "2"),
        ("product.updated", "3"),
    ]


def test_what_the_models_do_not_know_is_published_as_it_was_written(on_broker: KafkaSettings) -> None:
    skureel("topics", "create")
    bare = '{"id": 7, "name": "杯", "price": 9.90, "brand": "X", "locale": 5}'
    data = {"product_id": "8", "name": "Mug", "price": "9.90"}
    event = {"specversion": "1.0", "id": "e-8", "source": "/shop", "type": "product.created", "data": data}
    line = json.dumps({**event, "dataschema": "https://shop/product", "partitionkey": "k"})
    result = skureel("publish", "-", stdin=f"{bare}\n{line}\n")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, "published 2 events")
    assert (
        "standard input: cannot be read, or not wholly, and will be ignored: locale (1 row, the first in"
        in result.stderr
    )
    first, second = sorted(records_of(on_broker, "product.created"), key=lambda record: record.key)
    assert (first.key, first.value.decode()) == (b"7", bare)
    assert (second.key, json.loads(second.value)) == (b"8", data)
    told = headers_of(second)
    assert (told["ce_id"], told["ce_dataschema"], told["ce_partitionkey"]) == ("e-8", "https://shop/product", "k")


def test_a_bad_line_is_told_and_the_others_are_published(on_broker: KafkaSettings, tmp_path: Path) -> None:
    skureel("topics", "create")
    lines = ['{"id": "1", "name": "x"}', "", "{", '{"id": "3"}', '{"id": "4", "name": "x"}']
    file = tmp_path / "products.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    for given, name in ((str(file), str(file)), ("-", "standard input")):
        result = skureel("publish", given, stdin="\n".join(lines))
        assert result.exit_code == 1
        assert f"{name}, line 4: name: Field required" in result.stderr
        assert f"{name}: 2 rows could not be read (lines 3, 4), 2 events published" in result.stderr
    assert [record.key for record in records_of(on_broker, "product.created")].count(b"4") == 2


def test_a_pipe_is_published_as_it_comes(on_broker: KafkaSettings, tmp_path: Path) -> None:
    skureel("topics", "create")
    pipe = tmp_path / "products"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b'{"id": "1", "name": "x"}\n{"id": "2"}\n',))
    writer.start()
    result = skureel("publish", str(pipe))
    writer.join(60)
    assert "products, line 2: name: Field required" in result.stderr
    assert [record.key for record in records_of(on_broker, "product.created")] == [b"1"]


@pytest.mark.parametrize("arguments", [("publish", "-"), ("tail",), ("topics", "create"), ("deadletters", "list")])
def test_without_a_broker_the_setting_is_named(arguments: tuple[str, ...]) -> None:
    result = skureel(*arguments, stdin='{"id": "1", "name": "x"}')
    assert result.exit_code == 2
    assert "SKUREEL_KAFKA__BOOTSTRAP_SERVERS" in result.stderr


def test_an_unknown_event_type_is_named() -> None:
    result = skureel("tail", "video.done")
    assert result.exit_code == 2
    assert "video.done: no such event type" in result.stderr


def test_config_lists_every_setting_and_marks_changed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_OBJECTS__SECRET_KEY", "hush")
    monkeypatch.setenv("SKUREEL_OBJECTS__BUCKET", "clips")
    result = skureel("config")
    assert result.exit_code == 0
    assert "* SKUREEL_OBJECTS__BUCKET=clips" in result.stdout
    assert "  SKUREEL_KAFKA__OFFSETS=transaction" in result.stdout
    assert "hush" not in result.stdout


def test_a_misspelt_setting_ends_every_command_with_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_KAFKA__BOOTSTRAP", "x")
    result = skureel("config")
    assert result.exit_code == 2
    assert "SKUREEL_KAFKA__BOOTSTRAP: no such setting" in result.stderr


def test_doctor_finds_what_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_OBJECTS__ENDPOINT", "127.0.0.1:1")
    monkeypatch.setenv("SKUREEL_OBJECTS__SECURE", "false")
    monkeypatch.setenv("SKUREEL_MODEL__NAME", "/no/such/model")
    result = skureel("doctor")
    assert result.exit_code == 1
    assert "WRONG  objects: object store 127.0.0.1:1, looking for its bucket: connection refused; " in result.stdout
    assert result.stdout.count("connection refused") == 1
    assert "-      urls: not tried, for the object store has to be right first" in result.stdout
    assert "WRONG  model: model '/no/such/model'" in result.stdout
    assert "-      kafka: not configured" in result.stdout


def test_schemas_are_up_to_date() -> None:
    assert skureel("schemas", "--check").exit_code == 0


@pytest.mark.parametrize(
    "package", ["functions.cli.command", "functions.derive_prompt", "shared.kafka", "shared.objects"]
)
def test_only_who_draws_imports_torch(package: str) -> None:
    code = f"import sys, {package}; print([n for n in ('torch', 'transformers', 'numpy', 'PIL') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_records_are_copied_as_the_broker_does_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def create_topics(settings: KafkaSettings, *, partitions: int, replication: int) -> tuple[str, ...]:
        asked.append(replication)
        return ()

    monkeypatch.setattr("shared.kafka.create_topics", create_topics)
    assert skureel("topics", "create").exit_code == 0
    assert skureel("topics", "create", "--replication", "3").exit_code == 0
    assert asked == [-1, 3]  # -1 asks Kafka for its own default


def test_a_dead_letters_place_and_a_topic_exclude_each_other() -> None:
    result = skureel("deadletters", "replay", "x.dlq:0:0", "--topic", "y.dlq")
    assert result.exit_code == 2
    assert "leave out --topic, or PLACE" in result.output
