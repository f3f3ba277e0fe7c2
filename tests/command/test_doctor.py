"""What cannot start is said before it fails: by `skureel doctor`, and by the functions when they start."""

import pytest
from click.testing import CliRunner, Result

from functions.cli import main
from functions.derive_prompt import DerivePrompt
from shared.clips import ClipStore
from shared.errors import ConfigurationError
from shared.objects import ObjectStore
from shared.settings import ObjectSettings, Settings, describe, load_settings


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
