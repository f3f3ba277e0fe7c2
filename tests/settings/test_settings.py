"""Settings: promised defaults, the environment, and what a wrong value says."""

import pytest

from shared.errors import ConfigurationError, WrongSettings
from shared.settings import SettingRow, Settings, describe, load_settings, survey
from shared.wanted import wanted


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in describe(load_settings()):
        monkeypatch.delenv(row.variable, raising=False)


def test_promised_defaults() -> None:
    settings = load_settings()
    assert settings.kafka.bootstrap_servers is None
    assert settings.kafka.offsets == "transaction"
    assert settings.kafka.transaction_timeout_ms == 30_000
    assert settings.kafka.max_poll_interval_ms == 300_000
    assert settings.objects.bucket == "skureel"
    assert settings.objects.secure is True
    assert settings.model.name == "tiny"
    assert settings.render.label_profile == "cn"
    assert settings.render.max_attempts == 3
    assert settings.reader.is_set is False
    assert (settings.reader.asked, settings.reader.when_away) == ("unsure", "retry")
    assert settings.health.port is None  # each function's own


def test_the_environment_is_read_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_KAFKA__BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("SKUREEL_OBJECTS__SECRET_KEY", "hush")
    monkeypatch.setenv("SKUREEL_RENDER__IMAGE_HOSTS", '["img.example.com"]')
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "broker:9092"
    assert settings.objects.secret_key is not None
    assert settings.objects.secret_key.get_secret_value() == "hush"
    assert settings.render.image_hosts == ("img.example.com",)


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_RENDER__WIDTH", "720")
    with pytest.raises(ConfigurationError, match=r"SKUREEL_RENDER__WIDTH: .*multiple of 32"):
        load_settings()


@pytest.mark.parametrize("name", ["SKUREEL_KAFKA__BOOTSTRAP_SERVER", "SKUREEL_BUCKET", "SKUREEL_KAFKA"])
def test_a_misspelt_setting_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "{}")
    with pytest.raises(ConfigurationError, match=f"{name}: no such setting"):
        load_settings()


def test_every_setting_is_documented_and_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_OBJECTS__SECRET_KEY", "hush")
    monkeypatch.setenv("SKUREEL_READER__KEY", "hush")
    rows = list(describe(load_settings()))
    assert [row.variable for row in rows if not row.description] == []
    assert "hush" not in "".join(row.value for row in rows)
    secrets = {"SKUREEL_OBJECTS__SECRET_KEY", "SKUREEL_READER__KEY"}
    assert {row.variable for row in rows if not row.is_default} == secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEED", str(2**63)),
        ("FRAMES", "245"),
        ("FRAMES", "72"),
        ("WIDTH", "8192"),
        ("HEIGHT", "4128"),
        ("FPS", "121"),
        ("STEPS", "201"),
        ("GUIDANCE", "nan"),
    ],
)
def test_what_no_spec_can_hold_is_no_setting(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SKUREEL_RENDER__{name}", value)
    with pytest.raises(ConfigurationError, match=f"SKUREEL_RENDER__{name}: "):
        load_settings()


@pytest.mark.parametrize(
    ("text", "delays"),
    [("30.0,300.0", (30.0, 300.0)), ("5", (5.0,)), (" 1, 2 ", (1.0, 2.0)), ("[1, 2.5]", (1.0, 2.5)), ("[]", ())],
)
def test_a_list_is_items_with_commas_or_json(
    text: str, delays: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKUREEL_KAFKA__RETRY_DELAYS_SECONDS", text)
    assert load_settings().kafka.retry_delays_seconds == delays


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KAFKA__RETRY_DELAYS_SECONDS", "30,soon"),
        ("KAFKA__RETRY_DELAYS_SECONDS", "30,,300"),
        ("KAFKA__RETRY_DELAYS_SECONDS", "[30"),
        ("KAFKA__RETRY_DELAYS_SECONDS", "inf"),
        ("RENDER__IMAGE_HOSTS", '["a.example.com"'),
        ("RENDER__IMAGE_HOSTS", "[1]"),
        ("RENDER__IMAGE_HOSTS", "https://a.example.com"),
        ("RENDER__IMAGE_HOSTS", "a.example.com,"),
    ],
)
def test_a_list_that_cannot_be_read_names_its_variable(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SKUREEL_{name}", text)
    with pytest.raises(ConfigurationError, match=f"^SKUREEL_{name}: .* was given.*; give .*, comma separated, "):
        load_settings()


WRONG = {
    "KAFKA__SECURITY_PROTOCOL": ("TLS", "'TLS' was given; give one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
    "KAFKA__TOPIC_PREFIX": ("a b", "give up to 64 letters, digits, dots, dashes and underscores"),
    "KAFKA__HANDLER_THREADS": ("0", "'0' was given; give a whole number from 1 to 64"),
    "KAFKA__RETRY_WAIT_SECONDS": ("soon", "'soon' was given; give a number above 0"),
    "KAFKA__RETRY_DELAYS_SECONDS": ("30;300", "give seconds, comma separated, from 0.001 to 86400 each, e.g. 30,300"),
    "OBJECTS__ENDPOINT": ("http://s3:9000", "; give host:port without http:// and without user name, e.g. store:9000"),
    "OBJECTS__BUCKET": ("My_Clips", "give 3 to 63 lower-case letters"),
    "OBJECTS__SECURE": ("perhaps", "'perhaps' was given; give true or false"),
    "OBJECTS__PUBLIC_URL": ("cdn.example.com", "; give an http or https url without"),
    "RENDER__WIDTH": ("720", "'720' was given; give a whole number from 32 to 4096, a multiple of 32"),
    "RENDER__IMAGE_HOSTS": ("https://a.example.com", "give host names without scheme and port, comma separated"),
    "READER__ENDPOINT": ("https://me:hush@llm.example.com/v1", "; give an http or https url without user name"),
    "READER__WHEN_AWAY": ("guess", "'guess' was given; give one of retry, rules"),
    "READER__TIMEOUT_SECONDS": ("600", "'600' was given; give a number from 0.1 to 90"),
    "HEALTH__PORT": ("http", "'http' was given; give a whole number from 0 to 65535"),
}


def test_all_that_is_wrong_is_told_at_once_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (value, _) in WRONG.items():
        monkeypatch.setenv(f"SKUREEL_{name}", value)
    monkeypatch.setenv("SKUREEL_KAFKA__SASL_PASWORD", "hush")
    with pytest.raises(WrongSettings) as caught:
        load_settings()
    unknown, *wrong = caught.value.problems
    assert unknown == (
        "SKUREEL_KAFKA__SASL_PASWORD: no such setting; SKUREEL_KAFKA__SASL_PASSWORD is one, and `skureel config` lists "
        "them all"
    )
    assert {text.split(":")[0].removeprefix("SKUREEL_") for text in wrong} == set(WRONG)
    assert len(wrong) == len(WRONG)
    for text in wrong:
        told = WRONG[text.split(":")[0].removeprefix("SKUREEL_")][1]
        assert told in text
        assert "hush" not in text
        assert "pattern" not in text


@pytest.mark.parametrize("row", list(describe(Settings.model_construct())), ids=lambda row: row.variable)
def test_every_setting_says_what_it_takes(row: SettingRow) -> None:
    group, name = row.variable.removeprefix("SKUREEL_").lower().split("__")
    words = wanted(type(getattr(Settings.model_construct(), group)).model_fields[name])
    assert words
    assert not any(mark in words for mark in "^$[]()\\")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OBJECTS__ENDPOINT", "me:hush@store:9000"),
        ("OBJECTS__PUBLIC_URL", "https://me:hu@sh@cdn.example.com"),
        ("OBJECTS__PUBLIC_URL", "https://cdn.example.com/?X-Amz-Signature=hush"),
        ("OBJECTS__PRESIGN_ENDPOINT", "ftp://hush@cdn.example.com/"),
        ("RENDER__IMAGE_HOSTS", "https://me:hush@cdn.example.com"),
    ],
)
def test_a_wrong_value_is_told_without_the_secret_in_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SKUREEL_{name}", value)
    with pytest.raises(WrongSettings) as caught:
        load_settings()
    assert "**********" in str(caught.value)
    assert not any(part in str(caught.value) for part in ("hush", "hu@", "sh@"))


@pytest.mark.parametrize("hosts", ["[]", "img.example.com", "a.example.com,b.example.com"])
@pytest.mark.parametrize("delays", ["[]", "5", "30.0,300.0", "[1, 2]"])
def test_what_config_prints_can_be_read_again(hosts: str, delays: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_RENDER__IMAGE_HOSTS", hosts)
    monkeypatch.setenv("SKUREEL_KAFKA__RETRY_DELAYS_SECONDS", delays)
    monkeypatch.setenv("SKUREEL_KAFKA__SSL_CAFILE", "/etc/ca.pem")
    monkeypatch.setenv("SKUREEL_OBJECTS__SECURE", "no")
    settings = load_settings()
    for row in describe(settings):
        monkeypatch.setenv(row.variable, row.value)
    assert load_settings() == settings


@pytest.mark.parametrize("row", list(describe(Settings.model_construct())), ids=lambda row: row.variable)
def test_an_empty_variable_is_one_that_is_not_set(row: SettingRow, monkeypatch: pytest.MonkeyPatch) -> None:
    for empty in ("", " ", "\n", "\ufeff\r\n"):
        monkeypatch.setenv(row.variable, empty)
        assert load_settings() == Settings.model_construct()


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("KAFKA__BOOTSTRAP_SERVERS", "a:1,me:hush@b:2", "a:1,**********@b:2"),
        ("KAFKA__SASL_USERNAME", "me@example.com", "me@example.com"),
        ("OBJECTS__PUBLIC_URL", "https://cdn.example.com/@me", "https://cdn.example.com/@me"),
    ],
)
def test_a_password_in_an_address_is_not_shown(
    name: str, value: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SKUREEL_{name}", value)
    (row,) = (row for row in describe(Settings()) if row.variable == f"SKUREEL_{name}")
    assert row.value == shown


AROUND = [("", "\n"), ("", "\r\n"), (" ", " "), ("\t", "\u00a0"), ("\ufeff", ""), ("\ufeff ", "\u3000\n\n")]
SOME = {
    "KAFKA__BOOTSTRAP_SERVERS": "one:9092,two:9092",
    "KAFKA__SASL_USERNAME": "me",
    "KAFKA__SASL_PASSWORD": "hu sh",
    "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA__SSL_CAFILE": "/etc/ca.pem",
    "KAFKA__HANDLER_THREADS": "8",
    "KAFKA__RETRY_DELAYS_SECONDS": "30,300",
    "OBJECTS__ENDPOINT": "store:9000",
    "OBJECTS__ACCESS_KEY": "admin",
    "OBJECTS__SECRET_KEY": "hush",
    "OBJECTS__BUCKET": "clips",
    "OBJECTS__REGION": "eu-1",
    "OBJECTS__SECURE": "false",
    "OBJECTS__PUBLIC_URL": "https://cdn.example.com",
    "MODEL__DEVICE": "cuda:1",
    "RENDER__IMAGE_HOSTS": '["a.example.com"]',
    "RENDER__SEED": "7",
    "READER__KEY": "hush",
    "HEALTH__HOST": "::",
}


@pytest.mark.parametrize(("before", "after"), AROUND, ids=ascii)
def test_what_stands_around_a_value_is_none_of_it(before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret made from a file ends with a line break, and editors put a byte order mark before it."""
    for name, value in SOME.items():
        monkeypatch.setenv(f"SKUREEL_{name}", value)
    plain = load_settings()
    assert plain != Settings.model_construct()
    for name, value in SOME.items():
        monkeypatch.setenv(f"SKUREEL_{name}", before + value + after)
    assert load_settings() == plain


def test_servers_may_stand_on_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_KAFKA__BOOTSTRAP_SERVERS", "one:9092,\n  two:9092\n")
    assert load_settings().kafka.bootstrap_servers == "one:9092,two:9092"


@pytest.mark.parametrize("inside", ["\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\udcff"], ids=ascii)
@pytest.mark.parametrize("name", [name for name, value in SOME.items() if len(value) > 1 and value[0] not in "[3"])
def test_what_no_line_can_hold_is_refused_by_its_variable(
    name: str, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = SOME[name]
    monkeypatch.setenv(f"SKUREEL_{name}", f"{value[:1]}{inside}{value[1:]}")
    with pytest.raises(WrongSettings) as caught:
        load_settings()
    (told,) = caught.value.problems
    assert told.startswith(f"SKUREEL_{name}: ")
    assert "was given" in told
    assert "; give " in told
    assert told.isprintable()
    if name in ("KAFKA__SASL_PASSWORD", "OBJECTS__SECRET_KEY", "READER__KEY"):
        assert "**********" in told
        assert "ush" not in told
        assert "u sh" not in told


@pytest.mark.parametrize("name", ["OBJECTS__ACCESS_KEY", "OBJECTS__REGION", "OBJECTS__ENDPOINT", "READER__KEY"])
@pytest.mark.parametrize("value", ["商店", "hüsh", "hu sh", "hu\u00a0sh"])
def test_what_no_header_can_hold_is_refused_by_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SKUREEL_{name}", value)
    with pytest.raises(WrongSettings, match=rf"^SKUREEL_{name}: .* was given: .*; give ") as caught:
        load_settings()
    assert value not in str(caught.value) or name != "READER__KEY"


def test_the_survey_shows_no_secret_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKUREEL_OBJECTS__SECRET_KEY", "hu\nsh")
    shown = []
    with pytest.raises(WrongSettings):
        shown.extend(row.value for row in survey())
    assert not any("hu" in value for value in shown)
