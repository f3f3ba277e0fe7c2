"""`skureel replay` and `skureel lag`, with the derivation that derive_prompt uses, on a broker and a store."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from functions.cli.command import main
from functions.derive_prompt import Requests
from model_store.manifest import Manifest, write_manifest
from model_store.sampling import SamplerConfig
from shared.clips import ClipStore
from shared.drawing import ClipNumbers
from shared.errors import PhotoNotYet, TemporaryError
from shared.events import Event, Product
from shared.kafka import Publisher
from shared.objects import ObjectStore
from shared.settings import KafkaSettings, ObjectSettings
from tests.replay.past import CREATED, READY, make_replay_topics, products_of, record, sent

PRODUCTS = (
    Product(product_id="cup", name="红色陶瓷马克杯", color=("红色",)),
    Product(product_id="cup-pack-of-2", name="红色陶瓷马克杯", color=("红色",)),
    Product(product_id="lamp", name="a white desk lamp", color=("white",), category=("Lighting",)),
)


def model(folder: Path, name: str) -> Path:
    """A model's folder as far as deriving looks into it: the manifest."""
    folder.mkdir()
    manifest = Manifest(
        name=name,
        version="1",
        architecture="wan2.2-ti2v",
        quantisation="none",
        licence="Apache-2.0",
        sampler=SamplerConfig(kind="unipc"),
        defaults=ClipNumbers(width=64, height=64, frames=5, fps=8, steps=2, guidance=1.0),
        files=(),
    )
    write_manifest(folder, manifest)
    return folder


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The command sends the log to a stream that ends with it."""
    root, client = logging.getLogger(), logging.getLogger("kafka")
    handlers, level, client_level = list(root.handlers), root.level, client.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    client.setLevel(client_level)


class Command:
    """The command line, told by its environment where the servers are."""

    def __init__(self, kafka: KafkaSettings, objects: ObjectSettings, model_folder: Path) -> None:
        assert isinstance(objects.secret_key, SecretStr)
        self._environment = {
            "SKUREEL_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SKUREEL_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "SKUREEL_KAFKA__API_VERSION": kafka.api_version,
            "SKUREEL_KAFKA__OFFSETS": kafka.offsets,
            "SKUREEL_OBJECTS__ENDPOINT": objects.endpoint,
            "SKUREEL_OBJECTS__ACCESS_KEY": objects.access_key,
            "SKUREEL_OBJECTS__SECRET_KEY": objects.secret_key.get_secret_value(),
            "SKUREEL_OBJECTS__BUCKET": objects.bucket,
            "SKUREEL_OBJECTS__SECURE": "false",
            "SKUREEL_MODEL__NAME": str(model_folder),
        }

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=self._environment)

    def lines(self, *arguments: str) -> Sequence[str]:
        """What a command that succeeds says."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result.output.splitlines()


@pytest.fixture
def command(embedded_kafka: KafkaSettings, embedded_objects: ObjectSettings, tmp_path: Path) -> Command:
    """The command on embedded servers, with three products in the past."""
    make_replay_topics(embedded_kafka)
    ObjectStore(embedded_objects).check()
    with Publisher(embedded_kafka) as publisher:
        for product in PRODUCTS:
            publisher.publish(Event(CREATED, "/tests", product.product_id, product))
    return Command(embedded_kafka, embedded_objects, model(tmp_path / "first", "first"))


def test_a_dry_run_says_what_it_would_do_and_does_nothing(command: Command, embedded_kafka: KafkaSettings) -> None:
    told = command.lines("replay", "--dry-run", "--rate", "2/s")
    assert "products  3" in told
    assert "to send   3 requests into the bulk lane, 0 answers for which there is a clip" in told
    assert "to draw   2 videos" in told
    assert any(line.startswith("drawing   takes an unknown time") for line in told)
    assert "sending   takes 1.5 s at 2/s" in told
    assert sent(embedded_kafka) == []


def test_another_model_gives_new_ids_and_the_old_clips_stay(
    command: Command, embedded_kafka: KafkaSettings, embedded_objects: ObjectSettings, tmp_path: Path
) -> None:
    command.lines("replay", "--rate", "1000/s")
    first = sent(embedded_kafka)
    assert products_of(first) == ["cup", "cup-pack-of-2", "lamp"]
    clips = ClipStore(ObjectStore(embedded_objects))
    kept = set()
    for event in first:
        clip = clips.keep_record(record(event.data.spec))
        kept.add(clip.video_id)
        for key in clip.keys():
            clips.objects.put_new(key, b"x", "video/mp4")

    told = command.lines("replay", "--rate", "1000/s")
    assert "to send   0 requests into the bulk lane, 3 answers for which there is a clip" in told
    assert "drawing   takes no time" in told
    assert products_of(sent(embedded_kafka, READY)) == ["cup", "cup-pack-of-2", "lamp"]

    other = model(tmp_path / "second", "second")
    told = command.lines("replay", "--rate", "1000/s", "--model", str(other))
    assert "to draw   2 videos" in told
    assert "sent      3 events" in told
    newer = [event for event in sent(embedded_kafka) if event.data.spec.model.name == "second"]
    assert kept.isdisjoint(event.data.video_id for event in newer)
    assert all(clips.find(video_id) is not None for video_id in kept)


def test_options_select(command: Command, tmp_path: Path) -> None:
    assert "products  1" in command.lines("replay", "--dry-run", "--category", "lighting")
    assert "products  2" in command.lines("replay", "--dry-run", "--category", "drinkware")
    assert "products  2" in command.lines("replay", "--dry-run", "--product", "cup", "--product", "lamp")
    assert "products  0" in command.lines("replay", "--dry-run", "--until", "2020-01-01")
    feed = tmp_path / "feed.csv"
    feed.write_text("sku,title\ncup,Cup\nlamp,Lamp\n", encoding="utf-8")
    assert "products  2" in command.lines("replay", "--dry-run", "--products", str(feed))
    assert "left out  3: their template has another version" in command.lines(
        "replay", "--dry-run", "--template-version", "999"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--rate", "fast"), "no rate"),
        (("--from", "yesterday"), "no time"),
        (("--model", "nowhere"), "no bundled model"),
        (("--template-version", "0"), "template-version"),
    ],
)
def test_what_makes_no_sense_ends_with_exit_code_2(command: Command, arguments: Sequence[str], told: str) -> None:
    result = command("replay", "--dry-run", *arguments)
    assert result.exit_code == 2
    assert told in result.output


def test_a_product_without_an_event_is_said(command: Command) -> None:
    alone = command("replay", "--dry-run", "--product", "nobody")
    assert alone.exit_code == 1
    assert alone.stderr.splitlines()[-1].startswith("skureel: no event of product nobody in what was asked for")
    beside = command("replay", "--dry-run", "--product", "cup", "--product", "nobody")
    assert (beside.exit_code, "products  1" in beside.stdout) == (1, True)
    assert beside.stderr.splitlines()[-1].startswith("no event of product nobody")
    bare = command("replay", "--dry-run", "--product", "cup", "--until", "2020-01-01")
    assert "no event of product cup" in bare.stderr


def test_what_could_not_be_derived_is_said_last(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise TemporaryError("its photo is gone; upload it")

    monkeypatch.setattr(Requests, "of", broken)
    result = command("replay", "--dry-run", "--product", "cup")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "1 product could not be derived; mend what is said of them above"


def test_a_photo_that_is_missing_is_its_merchants_matter(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_photo(*_: object) -> None:
        raise PhotoNotYet("image 'uploads/a.png' is not there or may not be read; upload it")

    monkeypatch.setattr(Requests, "of", without_photo)
    told = command.lines("replay", "--dry-run", "--product", "cup")
    at = told.index("left out  1: their photo cannot be had")
    assert told[at + 1] == "          cup: image 'uploads/a.png' is not there or may not be read; upload it"


def test_lag_is_a_table(command: Command) -> None:
    result = command("lag", "--all")
    assert result.exit_code == 0
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["function", "topic", "partition", "committed", "end", "offsets"]
    assert {row.split()[0] for row in rows} == {"derive_prompt", "render_video"}
    assert sum(int(row.split()[-1]) for row in rows) == len(PRODUCTS)
    assert {row.split()[3] for row in rows} == {"-"}
    assert result.stderr == "derive_prompt is 3 offsets behind\n"
    short = command("lag")
    behind = [row.split() for row in rows if row.split()[-1] != "0"]
    assert [line.split() for line in short.stdout.splitlines()] == [heading.split(), *behind]
    told, left_out = short.stderr.splitlines()
    assert told == "derive_prompt is 3 offsets behind"
    quiet = f"{len(rows) - len(behind)} of {len(rows)} partitions"
    assert left_out == f"{quiet} not listed, for nothing waits there; --all lists them"
