"""Every setting, read in this one place: environment variables `SKUREEL_<GROUP>__<NAME>`, grouped, typed, documented.

Units are in the names. Lists are items with commas between, or JSON: `[]` is the empty one. White space around a value
counts for nothing, nor does a byte order mark: secrets that were made from files have such. An empty variable is one
that is not set. `skureel config` prints this table, in words that can be set again; tests pin the promised defaults.
"""

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.bounds import Seed
from shared.drawing import ClipWishes
from shared.errors import WrongSettings
from shared.printable import one_line
from shared.wanted import Wanted, wanted

ENVIRONMENT_PREFIX = "SKUREEL_"

_USERINFO = re.compile(r"(^|//|,)[^/@:,\s]*:[^/@,\s]*@")
"""A name and a password before a host, which a url or an address may have."""
_HIDDEN = "**********"
_GIVEN_CHARACTERS = 100


_AROUND = "\ufeff\u200b" + "".join(filter(str.isspace, map(chr, range(0x3001))))
"""What may stand around a value: white space, also of no width, and the byte order mark."""
_IN_NO_LINE = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories: controls, line breaks among them, and separators of lines and paragraphs."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        bare = {name: value.strip(_AROUND) if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in bare.items() if value or not values[name]}

    @field_validator("*")
    @classmethod
    def _one_line(cls, value: object) -> object:
        """No setting has more, and headers, requests and logs can hold no more."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if isinstance(value, str | SecretStr | Path) and not text.isprintable():
            kinds = set(map(unicodedata.category, text))
            if "Cs" in kinds:
                raise ValueError("it is not UTF-8")
            if kinds & _IN_NO_LINE:
                raise ValueError("a line break or another control character is in it")
        return value


def _listed(value: object) -> object:
    """The items of a list as the environment has it: with commas between, or a JSON array."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith("["):
        return [item.strip() for item in text.split(",")] if text else []
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError("not a list; separate the items by commas, or write a JSON array") from error


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AtLeastOne = Annotated[int, Field(ge=1)]
HostName = Annotated[str, Field(pattern=r"^[^\s,:/@\[\]]+$")]
Delay = Annotated[float, Field(ge=0.001, le=24 * 3600)]
Delays = Annotated[
    tuple[Delay, ...],
    NoDecode,
    BeforeValidator(_listed),
    Wanted("seconds, comma separated, from 0.001 to 86400 each, e.g. 30,300"),
]
HostNames = Annotated[
    tuple[HostName, ...],
    NoDecode,
    BeforeValidator(_listed),
    Wanted("host names without scheme and port, comma separated, e.g. img.example.com,cdn.example.com"),
]


def _store_host(text: str) -> str:
    if "@" in text:
        raise ValueError("the keys have settings of their own")
    if "://" in text:
        raise ValueError("SKUREEL_OBJECTS__SECURE says whether it speaks TLS, and no scheme")
    if not text.isascii() or set(text) & set(_AROUND):
        raise ValueError("no host is named so; names beyond ASCII have an xn-- form")
    return text.rstrip("/")


def _public_url(text: str) -> str:
    """Urls are in events and in logs: what is in one is known to all who read these."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not a url of http or https")
    if "@" in parts.netloc:
        raise ValueError("a user name or password in it would be in every event or log")
    if parts.query or parts.fragment:
        raise ValueError("urls are made by adding to it")
    return text


def _public_host(text: str) -> str:
    parts = urlsplit(_public_url(text))
    if parts.path.strip("/"):
        raise ValueError("a signature holds the whole path")
    return f"{parts.scheme}://{parts.netloc}"


def _servers(text: str) -> str:
    servers = [server.strip(_AROUND) for server in text.split(",")]
    if any(set(server) & set(_AROUND) for server in servers):
        raise ValueError("a blank is in an address")
    return ",".join(servers)


def _in_header(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("it travels in a header, which cannot hold that")
    return text


def _secret_in_header(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        _in_header(secret.get_secret_value())
    return secret


Servers = Annotated[str, AfterValidator(_servers), Wanted("host:port, comma separated, e.g. one:9092,two:9092")]
Secret = Annotated[SecretStr | None, Wanted("one line of text")]
HeaderText = Annotated[str, AfterValidator(_in_header), Wanted("printable ASCII without blanks")]
HeaderSecret = Annotated[SecretStr | None, AfterValidator(_secret_in_header), Wanted("printable ASCII without blanks")]
Endpoint = Annotated[
    str, AfterValidator(_store_host), Wanted("host:port without http:// and without user name, e.g. store:9000")
]
PublicUrl = Annotated[
    str,
    AfterValidator(_public_url),
    Wanted("an http or https url without user name, query and fragment, e.g. https://cdn.example.com/video"),
]
ApiUrl = Annotated[
    str,
    AfterValidator(_public_url),
    Wanted("an http or https url without user name, query and fragment, e.g. https://llm.example.com/v1"),
]
PublicHost = Annotated[
    str, AfterValidator(_public_host), Wanted("an http or https url without a path, e.g. https://media.example.com")
]


class KafkaSettings(_Group):
    """How Kafka is reached, and how the worker treats it."""

    bootstrap_servers: Servers | None = None
    """Brokers as host:port, comma separated. Empty: `skureel demo` starts an embedded one; all else asks for it."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Transport security and authentication of the broker's listener."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """SASL mechanism; needed with a SASL_ protocol."""
    sasl_username: str | None = None
    """SASL user name."""
    sasl_password: Secret = None
    """SASL password."""
    ssl_cafile: Path | None = None
    """PEM file with the authorities that sign the brokers' certificates; empty: the system's."""
    ssl_certfile: Path | None = None
    """PEM file with the client's certificate, for mutual TLS."""
    ssl_keyfile: Path | None = None
    """PEM file with the client's key, for mutual TLS."""
    topic_prefix: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$"), Wanted("up to 64 letters, digits, dots, dashes and underscores")
    ] = ""
    """Put before every topic name and consumer group, so that environments can share a cluster."""
    api_version: Annotated[str, Field(pattern=r"^\d+\.\d+(\.\d+)?$"), Wanted("a broker's version, e.g. 2.3")] | None = (
        None
    )
    """Broker version to assume, e.g. 2.3; empty: ask the broker. The embedded broker needs 2.3."""
    offsets: Literal["transaction", "plain"] = "transaction"
    """Where finished offsets go: into the transaction of the outputs (exactly once for Kafka readers), or committed
    plainly after it (at least once), for brokers that keep no offsets sent in transactions, like the embedded one."""
    handler_threads: Annotated[int, Field(ge=1, le=64)] = 4
    """Handlers in work at once in one worker. The device is guarded by the engine."""
    handler_deadline_seconds: Positive | None = None
    """How long a handler may have a record; then it is given up and the record is retried. Empty: what the function
    asks for, derive_prompt 120, render_video 3600."""
    max_in_flight: AtLeastOne = 256
    """Records taken and not yet committed, of one partition; above it that partition is paused, and no other."""
    max_poll_interval_ms: AtLeastOne = 300_000
    """How long the group waits for a poll before it takes the partitions away. The worker polls while it works."""
    session_timeout_ms: AtLeastOne = 45_000
    """How long the group waits for a heartbeat of a worker that died."""
    heartbeat_interval_ms: AtLeastOne = 3_000
    """Time between heartbeats; a third of the session timeout at most."""
    transaction_timeout_ms: AtLeastOne = 30_000
    """After this, and up to 10 s more, the broker aborts the open transaction of a worker that died; until then nobody
    reads on behind it. One is open only while outputs and offsets are sent, never while a handler works: shorter than
    the session timeout it delays no rebalance. The most that is in flight, 64 MB, took 7 s to send on two cores."""
    commit_interval_seconds: Annotated[float, Field(ge=0)] = 0.05
    """Finished work is gathered this long for one transaction; 0 commits each time something is finished."""
    max_request_size_bytes: AtLeastOne = 8 * 1024 * 1024
    """Largest record the producer sends: a dead letter holds the exact bytes of whatever came."""
    retries_in_place: Annotated[int, Field(ge=0, le=10)] = 2
    """Further attempts right after a TemporaryError, with jittered waits; after them a retry topic takes over."""
    retry_wait_seconds: Positive = 0.5
    """First wait between attempts in place; it doubles."""
    retry_delays_seconds: Delays = (30.0, 300.0)
    """Waits of the rounds through retry topics, each wait with topics of its own (`<topic>.retry.30s`); after the last
    one the record is a dead letter. A day at most: brokers keep records for a week unless told otherwise."""
    drain_seconds: Positive = 240.0
    """How long SIGTERM may take to finish work in flight; below terminationGracePeriodSeconds."""


class ObjectSettings(_Group):
    """How the object store (MinIO or another S3) is reached."""

    endpoint: Endpoint | None = None
    """host:port without scheme. Empty: `skureel demo` starts an embedded store; everything else asks for it."""
    access_key: HeaderText | None = None
    """Access key."""
    secret_key: Secret = None
    """Secret key."""
    bucket: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"),
        Wanted("3 to 63 lower-case letters, digits, dots and dashes, a letter or digit first and last"),
    ] = "skureel"
    """Bucket of clips, posters and records."""
    secure: bool = True
    """TLS to the store."""
    region: HeaderText = "us-east-1"
    """Region to sign for; MinIO takes any."""
    addressing: Literal["auto", "path", "virtual"] = "auto"
    """Where addresses name the bucket: path (store:9000/bucket/key) or virtual (bucket.store/key); auto: virtual at
    Amazon S3, Aliyun OSS and Tencent COS, path elsewhere."""
    public_url: PublicUrl | None = None
    """Base of the urls in events, e.g. https://cdn.example.com/video; empty: the endpoint and bucket."""
    presign_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600)] = 0
    """Life of presigned urls in events; 0: plain urls."""
    presign_endpoint: PublicHost | None = None
    """Scheme and host that presigned urls are made for, where their readers reach the store by another name, e.g.
    https://media.example.com; empty: the endpoint."""
    timeout_seconds: Positive = 10.0
    """Wait for the store to connect or to send a next byte."""
    create_bucket: bool = False
    """Create the bucket at start where it is missing. Production buckets are made by whoever owns them."""


class ModelSettings(_Group):
    """Which model draws."""

    name: str = "tiny"
    """A bundled model's name, or a folder with a checkpoint."""
    revision: str | None = None
    """The manifest's digest that must be loaded, so that a rollout can't mix weights; empty: whatever is there."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto: cuda where there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the networks; auto: bfloat16 on cuda, float32 on the cpu."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads for the networks; 0: all cores this process may use."""


class RenderSettings(ClipWishes, _Group):
    """What is asked of a clip. What is empty is taken from the model's manifest."""

    seed: Seed | None = None
    """One noise seed for all clips; empty: from the video id."""
    label_profile: Literal["cn", "metadata-only"] = "cn"
    """How clips say that they were generated: cn burns in a mark and writes AIGC metadata; metadata-only the latter."""
    label_producer: Annotated[
        str,
        Field(pattern=r"^[!#-\[\]-~]{1,64}$"),
        Wanted("up to 64 printable ASCII characters without spaces, quotes and backslashes"),
    ] = "skureel"
    """Who generated the clip, for the AIGC metadata: a name or a 27-character code, printable ASCII without spaces."""
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Renders of one clip, each with the next seed, before a person has to look at it."""
    image_prefix: Annotated[
        str,
        Field(pattern=r"^([A-Za-z0-9._-]+/)+$"),
        Wanted("folders of letters, digits, dots, dashes and underscores, with a slash at the end, e.g. uploads/"),
    ] = "uploads/"
    """Where in the bucket uploaded product photos lie. No other key is read for a product; whoever knows a key below
    may name it, so uploads are best named by chance, as a UUID."""
    image_hosts: HostNames = ()
    """Hosts, without scheme and port, that product photos may be fetched from over https; none: uploads only."""


class PromptSettings(_Group):
    """How a prompt is made of a product."""

    when_unsure: Literal["reject", "film"] = "reject"
    """What becomes of a product without a photo whose kind is not known: reject answers video.rejected and says what to
    send; film draws whatever its category is like, under a general word, so that unlike products share a clip."""


class ReaderSettings(_Group):
    """A language model that reads products of which the rules are not sure. None, unless a model or endpoint is set."""

    model: str | None = None
    """A folder with a chat model, read by transformers (the extra `reader`); with an endpoint, the model's name there.
    Empty: no reader, or whichever model the endpoint has."""
    endpoint: ApiUrl | None = None
    """A server that speaks OpenAI's chat completions with JSON Schema, e.g. https://llm.example.com/v1."""
    key: HeaderSecret = None
    """Key for the endpoint, sent as a bearer token."""
    revision: str | None = None
    """Any text, to be changed when the endpoint's model changes behind its name: answers kept before count no more."""
    asked: Literal["unsure", "always"] = "unsure"
    """Which products are read: unsure, those whose kind the rules do not know or hardly know; always, all of them."""
    when_away: Literal["retry", "rules"] = "retry"
    """What becomes of a product while the reader is away, slow or answers nonsense: retry has it wait, and lets the
    rules decide after the last retry if the reader answers others; rules lets them decide at once."""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=90)] = 20.0
    """How long the reader may take for one product, from connecting to the last byte."""
    device: str = "cpu"
    """Where a local model runs: cpu, cuda, cuda:1, ..."""

    @property
    def is_set(self) -> bool:
        """Whether there is a reader."""
        return self.model is not None or self.endpoint is not None


class HealthSettings(_Group):
    """The probes' and metrics' own server."""

    host: str = "0.0.0.0"  # probes come from the node
    """Address to listen on; :: is every address of IPv6 and IPv4."""
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port of /health/live, /health/ready and /metrics. Empty: each function's own, so that all can run on one host
    (derive_prompt 8080, render_video 8081, redeliver 8082); 0: any free one, which the log names."""


class LogSettings(_Group):
    """What is written to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity written."""
    format: Literal["auto", "json", "text"] = "auto"
    """json: one object a line; text: for people; auto: text on a terminal."""


class Settings(BaseSettings):
    """All settings. `load_settings` reads them and refuses unknown SKUREEL_ names, since a typo must not pass."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
    )

    kafka: KafkaSettings = KafkaSettings()
    objects: ObjectSettings = ObjectSettings()
    model: ModelSettings = ModelSettings()
    render: RenderSettings = RenderSettings()
    prompt: PromptSettings = PromptSettings()
    reader: ReaderSettings = ReaderSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()


class SettingRow(NamedTuple):
    """One documented setting."""

    variable: str
    value: str
    is_default: bool
    description: str
    is_wrong: bool = False
    """Whether it cannot be taken."""


def load_settings() -> Settings:
    """Read the environment. WrongSettings names every wrong value and every unknown name at once."""
    _check()
    return Settings()


def _check() -> None:
    problems = [*_unknown(), *_wrong()]
    if problems:
        raise WrongSettings(problems)


def _unknown() -> Iterator[str]:
    known = [row.variable for row in describe(Settings.model_construct())]
    for name in sorted(os.environ):
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            near = get_close_matches(name.upper(), known, n=1, cutoff=0.9)
            told = f"{near[0]} is one, and " if near else ""
            yield f"{name}: no such setting; {told}`skureel config` lists them all"


def _wrong() -> Iterator[str]:
    """What is wrong with the values that are set, a sentence for each variable."""
    for name, group in _groups().items():
        for field, problem in _problems(group, _given_to(name, group)).items():
            yield f"{_variable(name, field)}: {problem}"


def _groups() -> dict[str, type[_Group]]:
    return {name: type(field.default) for name, field in Settings.model_fields.items()}


def _variable(group_name: str, name: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{group_name}__{name}".upper()


def _given_to(group_name: str, group: type[_Group]) -> dict[str, str]:
    """The group's values as the environment has them."""
    given = {name.upper(): value for name, value in os.environ.items() if value}
    variables = {name: _variable(group_name, name) for name in group.model_fields}
    return {name: given[variable] for name, variable in variables.items() if variable in given}


def _problems(group: type[_Group], values: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with each of these values that cannot be taken, by its name, and what to give."""
    try:
        group.model_validate(values)
    except ValidationError as error:
        # Of a list each bad item is a problem of its own; the first is enough to find the others by.
        firsts = {str(problem["loc"][0]): problem for problem in reversed(error.errors(include_url=False))}
        problems = {}
        for name in sorted(firsts, key=list(values).index):
            problem = firsts[name]
            why = f": {problem['ctx']['error']}" if problem["type"] == "value_error" else ""
            given = _given(group, name, values[name])
            problems[name] = f"{given} was given{why}; give {wanted(group.model_fields[name])}"
        return problems
    return {}


def _given(group: type[_Group], name: str, text: str) -> str:
    """A wrong value as it may be told: no secret, no password before a host, no signature in a query."""
    if SecretStr in get_args(group.model_fields[name].annotation):
        return _HIDDEN
    before, at, host = text.rpartition("@")
    shown, query, _ = (f"{_HIDDEN}@{host}" if at and before else text).partition("?")
    return repr(one_line(f"{shown}?{_HIDDEN}" if query else shown, _GIVEN_CHARACTERS))


def survey() -> Iterator[SettingRow]:
    """Every setting as the environment has it; one that cannot be taken with what was given.

    Ends with WrongSettings, as `load_settings` raises it, where there is any.
    """
    taken: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for group_name, group in _groups().items():
        values = _given_to(group_name, group)
        wrong = _problems(group, values)
        taken[group_name] = group.model_validate({name: value for name, value in values.items() if name not in wrong})
        refused |= {_variable(group_name, name): _given(group, name, values[name]) for name in wrong}
    for row in describe(Settings.model_construct(**taken)):
        given = refused.get(row.variable)
        yield row if given is None else row._replace(value=given, is_default=False, is_wrong=True)
    _check()


def describe(settings: Settings) -> Iterator[SettingRow]:
    """Every setting with its variable, its value now (secrets hidden) and its description."""
    for group_name, group_field in Settings.model_fields.items():
        group = getattr(settings, group_name)
        for name, field in type(group).model_fields.items():
            value = getattr(group, name)
            default = getattr(group_field.default, name)
            yield SettingRow(
                variable=_variable(group_name, name),
                value=_shown(value),
                is_default=value == default,
                description=" ".join((field.description or "").split()),
            )


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `changes`, for a child process."""
    return {**os.environ, **changes}


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return _HIDDEN
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "[]"  # an empty variable would be the default
    return without_passwords(str(value))


def without_passwords(text: str) -> str:
    """Addresses as they may be shown."""
    return _USERINFO.sub(rf"\1{_HIDDEN}@", text)
