"""Feeds through the command: what derive_prompt makes of what was published to real Kafka, `skureel derive` says."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from functions.cli.command import main
from functions.derive_prompt import DerivePrompt
from shared.kafka import tail
from shared.settings import KafkaSettings
from tests.prompts.conftest import started
from tests.servers import make_topics

FEEDS: dict[str, tuple[str, list[set[str]]]] = {
    # Each set of products shares one clip, and no two sets do.
    "two_tone.jsonl": (
        '{"product_id": "t1", "name": "Sneakers", "color": "Navy/Cream"}\n'
        '{"product_id": "t2", "name": "Sneakers", "color": "Navy/Orange"}\n',
        [{"t1"}, {"t2"}],
    ),
    "wearers.csv": (
        "id,title,color,gender,age_group,size\n"
        "w1,Cardigan,Grey,female,adult,S\nw2,Cardigan,Grey,female,adult,L\n"
        "w3,Cardigan,Grey,male,adult,M\nw4,Cardigan,Grey,male,toddler,98\n",
        [{"w1", "w2"}, {"w3"}, {"w4"}],
    ),
    "options.json": (
        json.dumps(
            [
                {"id": 31, "name": "Scarf", "attributes": [{"name": "Colour", "options": ["Green"]}]},
                {"id": 32, "name": "Scarf", "attributes": [{"name": "Colour", "option": "Purple"}]},
                {"id": 33, "name": "Scarf", "attributes": [{"name": "Color", "values": ["Purple"]}]},
                {"id": 34, "name": "Scarf", "attributes": [{"name": "Material", "terms": [{"name": "Silk"}]}]},
            ]
        ),
        [{"31"}, {"32", "33"}, {"34"}],
    ),
    "no_colours.tsv": (
        "sku\ttitle\tcolour\nn1\tCushion\tN/A\nn2\tCushion\tnull\nn3\tCushion\tsee picture\nn4\tCushion\t\n",
        [{"n1", "n2", "n3", "n4"}],
    ),
    "spellings.csv": (
        "sku,title,colour\nc1,Sofa,light green\nc2,Sofa,Light-Green\nc3,Sofa,LightGreen\n"
        "c4,Sofa,dark grey\nc5,Sofa,DARK GRAY\n",
        [{"c1", "c2", "c3"}, {"c4", "c5"}],
    ),
    "marked.jsonl": (
        '\ufeff{"product_id": "b1", "name": "玻璃花瓶", "color": "绿色"}\n'
        '{"product_id": "b2", "name": "Wool Blanket"}\n',
        [{"b1"}, {"b2"}],
    ),
    "taobao.csv": (
        "宝贝ID\t宝贝名称\t颜色分类\t材质\r\nz1\t靠枕\t墨绿色\t亚麻\r\nz2\t靠枕\t墨绿\t亚麻\r\nz3\t靠枕\t米白色\t亚麻\r\n",
        [{"z1", "z2"}, {"z3"}],
    ),
    "shopify.csv": (
        "Handle,Title,Type,Option1 Name,Option1 Value,Option2 Name,Option2 Value\n"
        "tote,Tote Bag,Tote Bags,Color,Olive,Size,S\ntote,,,,Olive,,L\ntote,,,,Pink,,S\n",
        [{"tote:Olive"}, {"tote:Pink"}],
    ),
}


def skureel(kafka: KafkaSettings | None, *arguments: str) -> Any:
    env = {}
    if kafka is not None:
        env = {
            "SKUREEL_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SKUREEL_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        }
    ran = CliRunner().invoke(main, arguments, env=env, catch_exceptions=False)
    assert ran.exit_code == 0, ran.stderr
    return ran


def written(folder: Path) -> dict[str, Path]:
    encodings = {"taobao.csv": "utf-16"}
    for name, (text, _) in FEEDS.items():
        (folder / name).write_bytes(text.encode(encodings.get(name, "utf-8")))
    return {name: folder / name for name in FEEDS}


def sharing(video_ids: dict[str, str]) -> set[frozenset[str]]:
    """The products that have each clip."""
    return {frozenset(name for name, own in video_ids.items() if own == video_id) for video_id in video_ids.values()}


@pytest.mark.parametrize("name", FEEDS)
def test_derive_says_which_products_of_a_feed_look_alike(name: str, tmp_path: Path) -> None:
    told = [json.loads(line) for line in skureel(None, "derive", str(written(tmp_path)[name])).stdout.splitlines()]
    assert Counter(item["outcome"] for item in told) == {"requested": len(told)}
    assert sharing({item["product_id"]: item["video_id"] for item in told}) == set(map(frozenset, FEEDS[name][1]))


@pytest.mark.connected
def test_published_to_kafka_every_feed_ends_as_derive_says(real_kafka: KafkaSettings, tmp_path: Path) -> None:
    make_topics(real_kafka, "product.created")
    files = written(tmp_path)
    for file in files.values():
        skureel(real_kafka, "publish", str(file))
    function: DerivePrompt = started()
    count = sum(len(group) for _, groups in FEEDS.values() for group in groups)
    events = tail(real_kafka, ["product.created"], from_beginning=True, max_events=count, timeout_seconds=30)
    asked = [answer for event in events for answer in function.handle(event)]
    assert Counter(answer.type for answer in asked) == {"video.requested": count}
    ids = {answer.data.product_id: answer.data.video_id for answer in asked}
    assert sharing(ids) == {frozenset(group) for _, groups in FEEDS.values() for group in groups}
