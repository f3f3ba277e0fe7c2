"""The `skureel` command: what it prints, and with which exit code it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from functions.cli import main
from shared.events.cloudevents import from_structured
from shared.settings import KafkaSettings, describe, load_settings


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


def test_a_bad_line_is_named_and_fails(on_broker: KafkaSettings) -> None:
    result = skureel("publish", "-", stdin='{"id": "1"}')
    assert result.exit_code == 1
    assert "standard input, line 1: name" in result.stderr


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
    assert "WRONG  objects: " in result.stdout
    assert "WRONG  model: model '/no/such/model'" in result.stdout
    assert "ok     kafka: not configured" in result.stdout


def test_schemas_are_up_to_date() -> None:
    assert skureel("schemas", "--check").exit_code == 0


@pytest.mark.parametrize("package", ["functions.cli", "functions.derive_prompt", "shared.kafka", "shared.objects"])
def test_only_who_draws_imports_torch(package: str) -> None:
    code = f"import sys, {package}; print([n for n in ('torch', 'transformers', 'numpy', 'PIL') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout.replace("'", '"')) == []
