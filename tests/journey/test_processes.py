"""The functions as a platform runs them: processes, environment variables, probes, signals; and the bundled model."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from functions.render_video.encoding import probe
from shared.embedded.server_process import free_ports
from shared.settings import KafkaSettings, ObjectSettings, child_environment
from tests.polling import eventually

SKUREEL = str(Path(sys.executable).with_name("skureel"))
PRODUCTS = [
    {"product_id": "1", "name": "手工陶瓷饭碗", "category": ["餐厨", "餐具"], "color": "绿色", "material": "陶瓷"},
    {"product_id": "2", "name": "手工陶瓷饭碗", "category": ["餐厨", "餐具"], "color": "绿色", "price": "9.9"},
    {"product_id": "3", "name": "Canvas Everyday Backpack", "category": ["Bags"], "color": "Red"},
]
QUICK = {"SKUREEL_RENDER__STEPS": "2", "SKUREEL_RENDER__FRAMES": "9", "SKUREEL_MODEL__THREADS": "1"}


def write_products(folder: Path) -> Path:
    file = folder / "products.jsonl"
    file.write_text("\n".join(json.dumps(product) for product in PRODUCTS), encoding="utf-8")
    return file


def environment_of(kafka: KafkaSettings, objects: ObjectSettings) -> dict[str, str]:
    assert objects.secret_key is not None
    return child_environment(
        {
            **QUICK,
            "SKUREEL_KAFKA__BOOTSTRAP_SERVERS": str(kafka.bootstrap_servers),
            "SKUREEL_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "SKUREEL_OBJECTS__ENDPOINT": str(objects.endpoint),
            "SKUREEL_OBJECTS__ACCESS_KEY": str(objects.access_key),
            "SKUREEL_OBJECTS__SECRET_KEY": objects.secret_key.get_secret_value(),
            "SKUREEL_OBJECTS__BUCKET": objects.bucket,
            "SKUREEL_OBJECTS__SECURE": "false",
            "SKUREEL_OBJECTS__CREATE_BUCKET": "true",
            # The bucket is private: plain urls in events would open for nobody, and doctor says so.
            "SKUREEL_OBJECTS__PRESIGN_SECONDS": "3600",
        }
    )


@contextmanager
def running(function: str, environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [SKUREEL, "run", function], env={**environment, "SKUREEL_HEALTH__PORT": str(port)}, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.mark.connected
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_processes_make_clips_and_leave_in_order(
    real_kafka: KafkaSettings, real_minio: ObjectSettings, tmp_path: Path
) -> None:
    environment = environment_of(real_kafka, real_minio)

    def skureel(*arguments: str) -> bytes:
        return subprocess.run(
            [SKUREEL, *arguments], env=environment, check=True, stdout=subprocess.PIPE, timeout=200
        ).stdout

    skureel("topics", "create", "--partitions", "2")
    with ExitStack() as stack:
        ports = dict(zip(("derive_prompt", "render_video"), free_ports(2), strict=True))
        processes = {name: stack.enter_context(running(name, environment, port)) for name, port in ports.items()}
        skureel("publish", str(write_products(tmp_path)))
        lines = skureel("tail", "video.ready", "video.review", "--from-beginning", "--max", "3", "--timeout", "150")
        events = {event["data"]["product_id"]: event for event in map(json.loads, lines.splitlines())}
        assert set(events) == {"1", "2", "3"}
        assert events["1"]["data"]["video_id"] == events["2"]["data"]["video_id"]
        assert events["1"]["data"]["video_id"] != events["3"]["data"]["video_id"]

        for port in ports.values():
            assert answers(port, "/health/live")
            eventually(lambda port=port: answers(port, "/health/ready"))
            assert answers(port, "/metrics")
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        assert {name: process.wait(60) for name, process in processes.items()} == dict.fromkeys(ports, 0)
    assert "every byte as its manifest says" in skureel("doctor").decode()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_needs_nothing_and_renders_nothing_twice(tmp_path: Path) -> None:
    environment = child_environment(QUICK)
    out = tmp_path / "out"
    command = [SKUREEL, "demo", "--products", str(write_products(tmp_path)), "--out", str(out)]
    tables = []
    for _ in range(2):
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=140)
        tables.append(done.stdout)
    assert "index.html" in tables[0]
    clips = sorted((out / "videos").glob("*.mp4"))
    assert len(clips) == 2
    assert {probe(clip).frames for clip in clips} == {9}
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<video") == 3
    assert "rendered" not in tables[1]
