"""What cannot start is said before it fails: by `skureel doctor`, and by the functions when they start."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from functions.cli import doctor as doctors
from functions.cli.command import main
from functions.derive_prompt import DerivePrompt, build
from shared.clips import ClipStore
from shared.errors import ConfigurationError
from shared.kafka import codecs
from shared.objects import ObjectStore, UrlTrial
from shared.settings import ObjectSettings, Settings, describe, load_settings
from tests.objects.faulty_server import http_answer
from tests.reader.recorded import RIGHT, completion, model_server
from tests.servers import UserOf


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in describe(load_settings()):
        monkeypatch.delenv(row.variable, raising=False)


def doctor() -> Result:
    return CliRunner().invoke(main, ["doctor"], catch_exceptions=False)


def derive_prompt(objects: ObjectSettings) -> DerivePrompt:
    return DerivePrompt(Settings(objects=objects), ClipStore(ObjectStore(objects)))


def test_derive_prompt_is_not_ready_without_its_bucket(embedded_objects: ObjectSettings) -> None:
    function = derive_prompt(embedded_objects.model_copy(update={"create_bucket": False}))
    with pytest.raises(ConfigurationError, match=f"bucket {embedded_objects.bucket} does not exist"):
        function.start()
    assert not function.ready()


def test_derive_prompt_makes_its_bucket_where_settings_say_so(embedded_objects: ObjectSettings) -> None:
    settings = embedded_objects.model_copy(update={"create_bucket": True})
    derive_prompt(settings).start()
    ObjectStore(settings.model_copy(update={"create_bucket": False})).check()


READERS = {
    "right": (RIGHT, "ok     reader: reader http://127.0.0.1:"),
    "nonsense": (completion("no"), "WRONG  reader: the reader's answer holds no JSON object"),
    "away": (http_answer("503 Busy", b""), "WRONG  reader: reader http://127.0.0.1:"),
}


@pytest.mark.parametrize(("answer", "line"), READERS.values(), ids=READERS)
def test_a_reader_is_tried_where_one_is_set(answer: bytes, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "reader:" not in doctor().output
    with model_server(answer) as (settings, asked):
        monkeypatch.setenv("SKUREEL_READER__ENDPOINT", str(settings.endpoint))
        told = doctor()
    assert line in told.output
    assert len(asked) == 1


def test_a_reader_whose_key_is_refused_lets_nothing_start(
    embedded_objects: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = embedded_objects.model_copy(update={"create_bucket": True})
    with model_server(RIGHT, models=http_answer("401 Unauthorized", b""), when_away="rules") as (settings, _):
        function = build(Settings(objects=objects, reader=settings))
        with pytest.raises(ConfigurationError, match="SKUREEL_READER__KEY"):
            function.start()
    assert not function.ready()


@pytest.mark.parametrize("bucket", ["a..b", "a.-b", "10.0.0.5"])
def test_a_name_that_no_bucket_can_have_is_refused_with_its_setting(
    bucket: str, embedded_objects: ObjectSettings
) -> None:
    with pytest.raises(ConfigurationError, match=f"{bucket}.*SKUREEL_OBJECTS__BUCKET"):
        ObjectStore(embedded_objects.model_copy(update={"bucket": bucket}))


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("MODEL__DEVICE", "banana", "WRONG  device: banana cannot be used: "),
        ("MODEL__DEVICE", "cuda:99", "WRONG  device: cuda:99 cannot be used: "),
        ("MODEL__REVISION", "abc", "SKUREEL_MODEL__REVISION asks for abc"),
    ],
)
def test_doctor_finds_what_cannot_start(variable: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SKUREEL_{variable}", value)
    result = doctor()
    assert result.exit_code == 1
    assert line in result.stdout


def test_doctor_reads_the_hosts_of_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_RENDER__IMAGE_HOSTS", "IMG.example.com,a.example.com")
    assert "ok     photo hosts: a.example.com, img.example.com" in doctor().stdout
    monkeypatch.setenv("SKUREEL_RENDER__IMAGE_HOSTS", "*.example.com")
    assert "WRONG  photo hosts: SKUREEL_RENDER__IMAGE_HOSTS: '*.example.com' is no host" in doctor().stdout


def test_doctor_finds_a_size_that_no_model_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_RENDER__WIDTH", "2048")
    monkeypatch.setenv("SKUREEL_RENDER__HEIGHT", "1024")
    assert "WRONG  model: 2048x1024 are more than" in doctor().stdout


@pytest.mark.parametrize("name", ["SSL_CAFILE", "SSL_CERTFILE", "SSL_KEYFILE"])
def test_doctor_names_a_certificate_that_is_not_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKUREEL_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("SKUREEL_KAFKA__SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv(f"SKUREEL_KAFKA__{name}", str(tmp_path / "no.pem"))
    result = doctor()
    assert result.exit_code == 1
    assert f"WRONG  kafka: {tmp_path / 'no.pem'} cannot be read" in result.stdout
    assert f"SKUREEL_KAFKA__{name}" in result.stdout


def test_doctor_waits_for_no_broker_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, released = threading.Event(), threading.Event()

    def never_in_time(_: object) -> str:
        asked.set()
        released.wait(60)
        return "answers"

    monkeypatch.setenv("SKUREEL_KAFKA__BOOTSTRAP_SERVERS", "broker:9093")
    monkeypatch.setattr("shared.kafka.check", never_in_time)
    monkeypatch.setattr(doctors, "KAFKA_SECONDS", 0.1)
    try:
        result = doctor()
    finally:
        released.set()
    assert asked.wait(60)
    assert result.exit_code == 1
    assert "WRONG  kafka: Kafka at broker:9093 gave no answer" in result.stdout
    assert "ok     model: " in result.stdout


def test_doctor_asks_whether_the_bucket_may_be_written_to(
    embedded_objects: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: ObjectStore, *, reads: Sequence[str] = (), writes: Sequence[str] = ()) -> None:
        if writes:
            raise ConfigurationError(f"{', '.join(writes)} may not be written to")

    monkeypatch.setattr(ObjectStore, "check", refused)
    findings = accesses(embedded_objects)
    assert [(one.verdict, one.fact) for one in findings] == [
        (doctors.WRONG, "photos/ may not be written to"),
        (doctors.WRONG, "videos/ may not be written to"),
    ]


def accesses(objects: ObjectSettings, *functions: str) -> list[doctors.Finding]:
    """What doctor finds of the bucket, function by function."""
    found = doctors.examine(Settings(objects=objects), functions)
    return [one for one in found if one.subject.startswith("bucket for ")]


def allow(action: str, *folders: str) -> list[tuple[str, str, str]]:
    """Statements of a policy: what may be done below these folders."""
    return [("Allow", f"s3:{action}", f"/{folder}*") for folder in folders]


DERIVES = [*allow("GetObject", "videos/", "photos/", "uploads/")]
DERIVES += [*allow("PutObject", "photos/"), *allow("AbortMultipartUpload", "photos/")]
RENDERS = [*allow("GetObject", "videos/", "photos/")]
RENDERS += [*allow("PutObject", "videos/"), *allow("AbortMultipartUpload", "videos/")]


@pytest.mark.connected
def test_the_credentials_of_one_function_are_right_and_no_more_is_asked_of_them(user_of: UserOf) -> None:
    for own, other, statements in (
        ("derive_prompt", "render_video", DERIVES),
        ("render_video", "derive_prompt", RENDERS),
    ):
        user = user_of(*statements)
        found = {one.subject.removeprefix("bucket for "): one for one in accesses(user)}
        assert (found[own].verdict, found[other].verdict) == (doctors.OK, doctors.UNTRIED)
        assert re.match(r"not with these credentials: .+asking to \w+ \w+/\*: access refused", found[other].fact)
        assert [one.verdict for one in accesses(user, own)] == [doctors.OK]
        assert [one.verdict for one in accesses(user, other)] == [doctors.WRONG]
    assert [one.verdict for one in accesses(user_of())] == [doctors.WRONG, doctors.WRONG]


@pytest.mark.connected
@pytest.mark.parametrize("lacking", range(len(DERIVES)))
def test_derive_prompt_does_not_start_without_any_one_permission(lacking: int, user_of: UserOf) -> None:
    granted = [*DERIVES[:lacking], *DERIVES[lacking + 1 :]]
    with pytest.raises(ConfigurationError, match=re.escape(DERIVES[lacking][2].strip("/"))):
        derive_prompt(user_of(*granted)).start()


def test_a_function_s_doctor_looks_at_nothing_of_the_others() -> None:
    subjects = {
        name: {one.subject for one in doctors.examine(Settings(), [name])}
        for name in ("derive_prompt", "render_video", "redeliver")
    }
    assert subjects == {
        "derive_prompt": {"kafka", "codecs", "objects", "model"},
        "render_video": {"kafka", "codecs", "objects", "model", "render packages", "device"},
        "redeliver": {"kafka", "codecs"},
    }
    assert "-      kafka: not configured" in CliRunner().invoke(main, ["doctor", "redeliver"]).stdout


def test_a_codec_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ok     codecs: " in doctor().output
    find = codecs.find_spec
    monkeypatch.setattr(codecs, "find_spec", lambda name: None if name in ("lz4", "snappy") else find(name))
    assert "WRONG  codecs: python-snappy, lz4 missing" in doctor().output


def urls(objects: ObjectSettings) -> doctors.Finding:
    (finding,) = (one for one in doctors.examine(Settings(objects=objects)) if one.subject == "urls")
    return finding


def test_urls_that_were_not_tried_are_not_called_right(
    embedded_objects: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(embedded_objects)
    store.check()
    assert urls(embedded_objects) == (
        "urls",
        doctors.UNTRIED,
        f"not tried, for {embedded_objects.bucket} holds no clip yet",
    )
    store.put_new("videos/1/a.mp4", b"clip", "video/mp4")
    signed = embedded_objects.model_copy(update={"presign_seconds": 60})
    opened = urls(signed)
    assert opened.verdict == doctors.OK
    assert opened.fact == f"{ObjectStore(signed).url('videos/1/a.mp4').split('?')[0]} opens"
    away = urls(embedded_objects.model_copy(update={"public_url": "http://127.0.0.1:1/video"}))
    assert away == (
        "urls",
        doctors.UNTRIED,
        "not tried, for http://127.0.0.1:1/video/videos/1/a.mp4 cannot be reached from here: connection refused",
    )
    refused = UrlTrial("http://cdn/videos/1/a.mp4", refused="answers 403")
    monkeypatch.setattr(ObjectStore, "try_url", lambda *_: refused)
    closed = urls(embedded_objects)
    assert closed.verdict == doctors.WRONG
    assert "http://cdn/videos/1/a.mp4 answers 403 to who has no credentials" in closed.fact


def test_a_fault_of_the_store_is_told_once(embedded_objects: ObjectSettings) -> None:
    changed = embedded_objects.model_copy(update={"bucket": "not-there", "create_bucket": False})
    findings = [one for one in doctors.examine(Settings(objects=changed)) if one.subject in ("objects", "urls")]
    assert [one.verdict for one in findings] == [doctors.WRONG, doctors.UNTRIED]
