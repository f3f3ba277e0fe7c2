"""A server of chat completions is asked in bounds, and whatever it answers is an answer, unusable, or away."""

import json
import logging
import time
from typing import Any

import pytest
from pydantic import SecretStr

from functions.derive_prompt.reader.answer import LIMIT_BYTES, UnusableAnswer, parse
from functions.derive_prompt.reader.endpoint import EndpointModel
from shared.errors import ConfigurationError, Unavailable
from shared.settings import ReaderSettings
from tests.objects.faulty_server import http_answer
from tests.reader.recorded import RACK_SLOTS, RIGHT, answer_of, completion, content_of, model_server

KEY = "sk-hush-1234"


def model(settings: ReaderSettings) -> EndpointModel:
    assert settings.endpoint is not None
    return EndpointModel(settings.endpoint, settings)


def test_the_question_is_data_and_the_answer_bound_to_a_schema() -> None:
    with model_server(RIGHT, model="reader-7b", key=SecretStr(KEY)) as (settings, asked):
        text = model(settings).ask('{"name":["x"]}')
    assert parse(text) == answer_of(**RACK_SLOTS)
    (body,) = asked
    assert body["model"] == "reader-7b"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"] == '{"name":["x"]}'
    assert (body["temperature"], body["stream"]) == (0, False)
    form = body["response_format"]
    assert (form["type"], form["json_schema"]["strict"]) == ("json_schema", True)
    assert set(form["json_schema"]["schema"]["required"]) == set(RACK_SLOTS) | {"patterns", "parts", "audience"}
    assert f"Authorization: Bearer {KEY}".encode() in asked.headers


UNUSABLE: dict[str, bytes] = {
    "no JSON": completion("The product is a shoe rack."),
    "broken JSON": completion(content_of(**RACK_SLOTS)[:-9]),
    "another form": completion('{"kind": "shoe rack"}'),
    "a list": completion("[1, 2]"),
    "deep": completion("{" + '"kind":[' * 20_000 + "}"),
    "half a character": completion('{"kind":[{"value":"\\ud800","words":"x"}]}'),
    "empty": completion(""),
    "no content": completion(None),
    "cut off": completion(content_of(**RACK_SLOTS), finish_reason="length"),
    "refused": completion(None, refusal="I cannot help with that."),
    "filtered": completion(content_of(**RACK_SLOTS), finish_reason="content_filter"),
    "huge": completion("x" * (LIMIT_BYTES + 1)),
    "no choice": http_answer("200 OK", b'{"choices": []}'),
    "a portal": http_answer("200 OK", b"<html>Please log in</html>"),
    "nothing": http_answer("200 OK", b""),
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
def test_an_answer_that_is_none_is_unusable(answer: bytes) -> None:
    with model_server(answer) as (settings, _), pytest.raises(UnusableAnswer):
        parse(model(settings).ask("{}"))


AWAY: dict[str, tuple[bytes, float | None]] = {
    "busy": (http_answer("429 Too Many Requests", b"", headers=("Retry-After: 7",)), 7.0),
    "busy for ever": (http_answer("429 Too Many Requests", b"", headers=("Retry-After: 99999999999",)), 600.0),
    "busy until": (http_answer("429 Busy", b"", headers=("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT",)), None),
    "broken": (http_answer("500 Internal Server Error", b"stack trace"), None),
    "down": (http_answer("503 Service Unavailable", b""), None),
    "locked": (http_answer("401 Unauthorized", f"wrong key {KEY}".encode()), None),
    "gone": (http_answer("404 Not Found", b"no such model"), None),
    "puzzled": (http_answer("400 Bad Request", f"bad response_format {KEY}".encode()), None),
    "elsewhere": (http_answer("307 Temporary Redirect", b"", headers=("Location: http://127.0.0.1:9/v1",)), None),
    "broken off": (http_answer("200 OK", RIGHT, stated_length=10 * len(RIGHT)), None),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", None),
}


@pytest.mark.parametrize(("answer", "delay_seconds"), AWAY.values(), ids=AWAY)
def test_a_server_that_does_not_answer_is_away_and_tells_no_key(answer: bytes, delay_seconds: float | None) -> None:
    with model_server(answer, key=SecretStr(KEY)) as (settings, asked), pytest.raises(Unavailable) as caught:
        model(settings).ask("{}")
    assert len(asked) == 1  # no redirect was followed, and nothing asked again here
    assert caught.value.delay_seconds == delay_seconds
    assert KEY not in str(caught.value)
    assert "SKUREEL_READER__" in str(caught.value) or "look at" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "drips"),
    [
        (b"", b""),
        (b"", RIGHT),
        (RIGHT.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", b" " * 4000),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 700),
    ],
    ids=["silent", "drips all", "drips the body", "drips headers"],
)
def test_one_time_holds_for_all_of_an_answer(answer: bytes, drips: bytes) -> None:
    began = time.monotonic()
    with model_server(answer, drips=drips, timeout_seconds=0.5) as (settings, _):
        with pytest.raises(Unavailable, match="timed out") as caught:
            model(settings).ask("{}")
        took = time.monotonic() - began
    assert took < 3
    assert caught.value.delay_seconds == 15.0  # more than any attempt in place waits


def test_a_server_that_nobody_runs_is_away() -> None:
    with model_server(RIGHT) as (settings, _):
        pass
    with pytest.raises(Unavailable, match="connection refused"):
        model(settings).ask("{}")


@pytest.mark.parametrize(
    ("models", "error"),
    [
        (http_answer("200 OK", b"{}"), None),
        (http_answer("404 Not Found", b""), None),
        (http_answer("401 Unauthorized", b""), ConfigurationError),
        (http_answer("301 Moved", b"", headers=("Location: https://example.com/",)), ConfigurationError),
        (http_answer("503 Busy", b""), Unavailable),
    ],
)
def test_a_check_tells_a_wrong_set_up_from_an_outage(models: bytes, error: type[Exception] | None) -> None:
    with model_server(RIGHT, models=models, key=SecretStr(KEY)) as (settings, asked):
        if error is None:
            model(settings).check()
        else:
            with pytest.raises(error) as caught:
                model(settings).check()
            assert KEY not in str(caught.value)
    assert asked == []


def test_the_key_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with model_server(RIGHT, key=SecretStr(KEY)) as (settings, asked):
        asker = model(settings)
        asker.ask("{}")
    assert KEY.encode() in asked.headers
    assert KEY not in caplog.text
    assert KEY not in repr(settings) + repr(asker) + repr(vars(asker))


def test_thoughts_and_fences_about_an_answer_are_passed_over() -> None:
    content = content_of(**RACK_SLOTS)
    assert parse(f"<think>{{hm}}</think>\n```json\n{content}\n```") == answer_of(**RACK_SLOTS)


def test_an_answer_is_bounded_whatever_it_holds() -> None:
    many: list[Any] = [("v" * 5000, "w" * 5000)] * 500
    told = parse(content_of(kind=many, colours=many))
    assert len(told.model_dump_json()) < 4000


def test_more_is_ignored_and_less_is_no_answer() -> None:
    whole = json.loads(content_of(**RACK_SLOTS))
    assert parse(json.dumps({**whole, "brand": "Acme"})) == answer_of(**RACK_SLOTS)
    for slot in whole:
        with pytest.raises(UnusableAnswer):
            parse(json.dumps({name: entries for name, entries in whole.items() if name != slot}))
