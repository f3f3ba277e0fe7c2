"""A reader behind HTTP: any server that speaks OpenAI's chat completions, with its answer bound to a JSON Schema."""

import json
from http import HTTPStatus

import urllib3
from pydantic import BaseModel, ValidationError

from functions.derive_prompt.reader.answer import LIMIT_BYTES, UnusableAnswer
from functions.derive_prompt.reader.question import INSTRUCTION, MOST_TOKENS, SCHEMA
from shared.deadlines import pool_manager, within
from shared.errors import ConfigurationError, SkureelError, Unavailable
from shared.objects.silence import why_silent
from shared.printable import one_line
from shared.settings import ReaderSettings
from shared.validation import described

SLOW_DELAY_SECONDS = 15.0
"""What was slow is not asked again in place: each attempt may hold a thread for as long."""
_LONGEST_DELAY_SECONDS = 600.0
_CHECK_SECONDS = 10.0
_CONNECTIONS = 64
_TOLD_CHARACTERS = 200
_NOT_ALLOWED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_WRONG_QUESTIONS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: tuple[_Choice, ...]


class EndpointModel:
    """A model at SKUREEL_READER__ENDPOINT. Safe to use from several threads."""

    def __init__(self, endpoint: str, settings: ReaderSettings) -> None:
        """Connects to nothing yet."""
        self._url = endpoint.rstrip("/")
        self.name = f"reader {self._url}"
        self._model = settings.model or "default"
        self._timeout_seconds = settings.timeout_seconds
        self._key = settings.key
        self._http = pool_manager(timeout_seconds=settings.timeout_seconds, maxsize=_CONNECTIONS, tls=True)

    @property
    def identity(self) -> str:
        """What tells this model from others, wherever it runs."""
        return f"endpoint:{self._model}"

    def start(self) -> None:
        """Nothing to load."""

    def check(self) -> None:
        """Ask whether the server answers, and takes the key. Raises Unavailable or ConfigurationError."""
        status, _, _ = self._answer("GET", "/models", None, seconds=_CHECK_SECONDS)
        if status in _NOT_ALLOWED:
            raise ConfigurationError(self._refused(status))
        if status != HTTPStatus.NOT_FOUND:  # some servers list no models
            self._check_status(status, b"", None, ConfigurationError if 300 <= status < 400 else Unavailable)

    def ask(self, question: str) -> str:
        """The text of the model's answer.

        Unavailable: the server is away, slow, busy or does not take the question. UnusableAnswer: what it says is none.
        """
        body = json.dumps(
            {
                "model": self._model,
                "messages": [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": question}],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "product", "strict": True, "schema": SCHEMA},
                },
                "temperature": 0,
                "max_tokens": MOST_TOKENS,
                "stream": False,
            }
        ).encode()
        status, answer, retry_after = self._answer("POST", "/chat/completions", body, seconds=self._timeout_seconds)
        self._check_status(status, answer, retry_after, Unavailable)
        return self._content(answer)

    def _answer(self, method: str, path: str, body: bytes | None, *, seconds: float) -> tuple[int, bytes, str | None]:
        """Status, bytes up to one more than the limit, and Retry-After."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        try:
            # No redirects: they would carry the key and the product elsewhere. Not unpacked: what is read is bounded.
            with (
                within(seconds),
                self._http.request(
                    method,
                    self._url + path,
                    body=body,
                    headers=headers,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                ) as response,
            ):
                read = bytearray()
                while len(read) <= LIMIT_BYTES and (chunk := response.read(LIMIT_BYTES + 1 - len(read))):
                    read += chunk
                if len(read) > LIMIT_BYTES:
                    response.close()  # what is left of it must not reach the connection's next user
                return response.status, bytes(read), response.headers.get("Retry-After")
        except urllib3.exceptions.HTTPError as error:
            why = why_silent(error)
            raise Unavailable(
                f"{self.name}: {why}; check that the server runs, SKUREEL_READER__ENDPOINT and __TIMEOUT_SECONDS",
                delay_seconds=SLOW_DELAY_SECONDS if why == "timed out" else None,
            ) from error

    def _check_status(self, status: int, answer: bytes, retry_after: str | None, kind: type[SkureelError]) -> None:
        if status == HTTPStatus.OK:
            return
        if kind is Unavailable:
            raise Unavailable(self._refused(status, answer), delay_seconds=_delay_seconds(retry_after))
        raise kind(self._refused(status, answer))

    def _refused(self, status: int, answer: bytes = b"") -> str:
        if 300 <= status < 400:
            return f"{self.name} leads to another address ({status}); name that one in SKUREEL_READER__ENDPOINT"
        if status in _NOT_ALLOWED:
            return f"{self.name} refuses the key ({status}); check SKUREEL_READER__KEY"
        if status == HTTPStatus.NOT_FOUND:
            return (
                f"{self.name} knows no such address or no model {self._model!r} ({status}); check "
                "SKUREEL_READER__ENDPOINT, which ends with /v1 for most servers, and SKUREEL_READER__MODEL"
            )
        if status in _WRONG_QUESTIONS:
            return f"{self.name} does not take the question ({status}): {self._shown(answer)}; look at its log"
        return f"{self.name} answers with status {status}; look at the server"

    def _shown(self, answer: bytes) -> str:
        text = answer.decode("utf-8", "replace")
        if self._key is not None:
            text = text.replace(self._key.get_secret_value(), "**********")
        return one_line(text, _TOLD_CHARACTERS)

    def _content(self, answer: bytes) -> str:
        if len(answer) > LIMIT_BYTES:
            raise UnusableAnswer(f"{self.name}: its answer has over {LIMIT_BYTES} bytes")
        try:
            completion = _Completion.model_validate_json(answer)
        except ValidationError as error:
            raise UnusableAnswer(f"{self.name}: its answer is no chat completion: {described(error)}") from error
        if not completion.choices:
            raise UnusableAnswer(f"{self.name}: its answer holds no choice")
        first = completion.choices[0]
        if first.message.refusal or first.finish_reason == "content_filter":
            raise UnusableAnswer(f"{self.name} refuses to answer")
        if first.finish_reason == "length":
            raise UnusableAnswer(f"{self.name}: its answer was cut off after {MOST_TOKENS} tokens")
        if first.message.content is None:
            raise UnusableAnswer(f"{self.name}: its answer holds no text")
        return first.message.content


def _delay_seconds(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After; a date is not heeded, since clocks differ."""
    if retry_after is None or not retry_after.strip().isdecimal():
        return None
    return min(float(retry_after), _LONGEST_DELAY_SECONDS)
