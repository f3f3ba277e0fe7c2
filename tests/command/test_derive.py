"""`skureel derive` says what would be filmed, in the order of the file, and needs nothing but the file."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from functions.cli.command import main
from tests.reader.recorded import RACK, RACK_SLOTS, completion, content_of, model_server

DEMO = Path(__file__).parents[2] / "functions" / "cli" / "demo_products.jsonl"
FIELDS = (
    "product_id outcome kind family colours materials looks audience confidence evidence prompt negative_prompt "
    "video_id reasons"
).split()


def derived(tmp_path: Path, *products: dict[str, Any], options: Sequence[str] = ()) -> list[dict[str, Any]]:
    file = tmp_path / "products.jsonl"
    file.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in products), "utf-8")
    ran = CliRunner().invoke(main, ["derive", *options, str(file)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_each_product_has_a_line_in_the_order_of_the_file(tmp_path: Path) -> None:
    known = {"product_id": "p-1", "name": "白色陶瓷马克杯"}
    unknown = {"product_id": "p-2", "name": "Acme Turbo Frobnicator 3000"}
    forbidden = {"product_id": "p-3", "name": "香烟 一条"}
    photographed = {**unknown, "product_id": "p-4", "image": "uploads/4.jpg"}
    told = derived(tmp_path, known, unknown, forbidden, photographed)
    assert [line["product_id"] for line in told] == ["p-1", "p-2", "p-3", "p-4"]
    assert all(list(line) == FIELDS for line in told)
    assert [line["outcome"] for line in told] == ["requested", "rejected", "rejected", "requested"]
    mug, riddle, _, photo = told
    assert (mug["kind"], mug["family"], mug["colours"], mug["materials"]) == ("马克杯", "drinkware", ["白色"], ["陶瓷"])
    assert mug["evidence"][0]["word"] == "马克杯"
    assert "白色" in mug["prompt"]
    assert riddle["reasons"][0]["code"] == "kind-unknown"
    assert (riddle["prompt"], riddle["video_id"]) == (None, None)
    assert (photo["family"], photo["kind"], photo["video_id"]) == ("photo", None, None)


def test_the_video_id_is_the_one_that_the_function_asks_for(tmp_path: Path) -> None:
    from functions.derive_prompt import DerivePrompt
    from shared.settings import Settings
    from tests.prompts.conftest import NOW, CountingStore, created, product

    (told,) = derived(tmp_path, {"product_id": "SKU-1", "name": "白色陶瓷马克杯"})
    function = DerivePrompt(Settings(), CountingStore(), now=lambda: NOW)  # type: ignore[arg-type]  # no ClipStore
    function.start()
    (answer,) = function.handle(created(product("白色陶瓷马克杯")))
    assert told["video_id"] == answer.data.video_id


def test_every_product_of_the_demo_is_understood() -> None:
    ran = CliRunner().invoke(main, ["derive", str(DEMO)], catch_exceptions=False)
    assert {json.loads(line)["outcome"] for line in ran.stdout.splitlines()} == {"requested"}


def test_people_are_told_why() -> None:
    ran = CliRunner().invoke(main, ["derive", "--explain", str(DEMO)], catch_exceptions=False)
    assert "DEMO-001  requested" in ran.stdout
    assert "马克杯" in ran.stdout
    assert "prompt" in ran.stdout


def test_an_event_that_holds_no_product_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    data = {"product_id": "x", "stage": "screening", "reasons": [{"code": "x", "message": "x"}]}
    event = {"specversion": "1.0", "type": "video.rejected", "source": "/x", "id": "1", "subject": "x", "data": data}
    file.write_text(json.dumps({**event, "time": "2026-01-01T00:00:00Z"}), "utf-8")
    ran = CliRunner().invoke(main, ["derive", str(file)])
    assert ran.exit_code == 1
    assert "line 1" in ran.stderr
    assert "video.rejected" in ran.stderr


def test_a_reader_is_shown_beside_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = {**RACK, "product_id": "p-1"}
    slots = {**RACK_SLOTS, "materials": [("oak", "oak")]}
    with model_server(completion(content_of(**slots))) as (settings, asked):
        monkeypatch.setenv("SKUREEL_READER__ENDPOINT", str(settings.endpoint))
        known, read = derived(tmp_path, {"product_id": "p-0", "name": "白色陶瓷马克杯"}, item, options=["--reader"])
        told = CliRunner().invoke(main, ["derive", "--reader", "--explain", str(tmp_path / "products.jsonl")])
    assert len(asked) == 4
    assert list(read) == [*FIELDS, "rules", "reader"]
    assert (read["outcome"], read["kind"], read["colours"]) == ("requested", "shoe rack", ["black"])
    assert (read["rules"]["problem"], read["rules"]["kind"]) == ("kind-unknown", None)
    assert read["reader"]["with_rules"]["kind"] == "shoe rack"
    assert read["reader"]["said"]["materials"] == ["oak"]
    assert [entry["slot"] for entry in read["reader"]["refused"]] == ["materials"]
    assert (known["reader"]["is_needed"], read["reader"]["is_needed"]) == (False, True)
    assert known["kind"] == known["rules"]["kind"] == "马克杯"
    assert "rules: kind-unknown | with the reader: -" in told.stdout
    assert "refused   materials: oak (oak): these words are not in the product's text" in told.stdout


def test_a_reader_that_is_away_is_told_of_each_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with model_server(completion("no")) as (settings, _):
        monkeypatch.setenv("SKUREEL_READER__ENDPOINT", str(settings.endpoint))
        (told,) = derived(tmp_path, RACK, options=["--reader"])
    assert told["outcome"] == "rejected"
    assert "holds no JSON object" in told["reader"]["problem"]


def test_without_a_reader_there_is_none_to_show() -> None:
    ran = CliRunner().invoke(main, ["derive", "--reader", str(DEMO)])
    assert ran.exit_code == 2
    assert "SKUREEL_READER__ENDPOINT" in ran.stderr


def test_it_needs_no_torch_no_kafka_and_no_store() -> None:
    script = (
        "import sys\n"
        "from functions.cli.command import main\n"
        f"main(['derive', {str(DEMO)!r}], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'kafka', 'minio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-X", "utf8", "-c", script], check=True, timeout=60, capture_output=True)
