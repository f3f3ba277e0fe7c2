"""Answers of readers as they were recorded, and a server of chat completions that gives them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from functions.derive_prompt.reader.answer import SLOTS, Answer
from shared.settings import ReaderSettings
from tests.objects.faulty_server import answering, http_answer

Pairs = list[tuple[str, str]]

RACK = {
    "product_id": "SKU-1",
    "name": "LAST CHANCE: 3 for 2 while stocks last!!!",
    "brief": "5-tier shoe rack in matte black steel for the hallway.",
}
"""A product whose title names nothing: the rules abstain, its text says what it is."""
RACK_SLOTS: dict[str, Pairs] = {
    "kind": [("shoe rack", "shoe rack")],
    "colours": [("black", "black")],
    "materials": [("steel", "steel")],
}


def answer_of(**slots: Pairs) -> Answer:
    """An answer; slots that are not given are empty."""
    return Answer.model_validate_json(content_of(**slots))


def content_of(**slots: Pairs) -> str:
    """What a model writes: JSON of the form asked for."""
    return json.dumps(
        {slot: [{"value": value, "words": words} for value, words in slots.get(slot, [])] for slot in SLOTS},
        ensure_ascii=False,
    )


def completion(content: str | None, *, finish_reason: str = "stop", **message: Any) -> bytes:
    """The HTTP answer that holds what a model wrote."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content, **message},
    }
    body = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": {"total_tokens": 7}}
    return http_answer("200 OK", json.dumps(body).encode(), headers=("Content-Type: application/json",))


RIGHT = completion(content_of(**RACK_SLOTS))
MODELS = http_answer("200 OK", b'{"object": "list", "data": []}')


class Asked(list[dict[str, Any]]):
    """The bodies of the questions that a server was asked, in order, and the headers of the last."""

    headers = b""


@contextmanager
def model_server(
    answer: bytes | Callable[[dict[str, Any]], bytes],
    *,
    drips: bytes = b"",
    models: bytes | Callable[[], bytes] = MODELS,
    **settings: Any,
) -> Iterator[tuple[ReaderSettings, Asked]]:
    """Settings of a reader whose server gives `answer` to each question, and `models` to who asks for its models."""
    asked = Asked()

    def respond(request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        asked.headers = head
        if head.startswith(b"GET /v1/models "):
            return models() if callable(models) else models
        assert head.startswith(b"POST /v1/chat/completions ")
        asked.append(json.loads(body))
        return answer(asked[-1]) if callable(answer) else answer

    with answering(respond, drips=drips) as store:
        yield ReaderSettings(endpoint=f"http://{store.endpoint}/v1", **{"timeout_seconds": 5.0, **settings}), asked
