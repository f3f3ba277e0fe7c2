"""The whole journey on either pair of servers, with a painter where the engine would be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import functions.cli.demo
from functions.render_video import RenderVideo
from model_store.manifest import write_manifest
from shared.clips import ClipStore
from shared.objects import ObjectStore
from shared.photos import Photos
from shared.settings import Settings
from tests.painting import MANIFEST, Painter, studio


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.connected)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A broker, a store and a model folder. Both servers are stand-ins, or both are real."""
    kafka, objects = (
        ("embedded_kafka", "embedded_objects") if request.param == "embedded" else ("real_kafka", "real_minio")
    )
    folder = tmp_path / "model"
    folder.mkdir()
    write_manifest(folder, MANIFEST)
    bare = Settings()
    return bare.model_copy(
        update={
            "kafka": request.getfixturevalue(kafka),
            "objects": request.getfixturevalue(objects),
            "model": bare.model.model_copy(update={"name": str(folder)}),
        }
    )


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    """Takes the engine's place in every render_video that the demo builds."""
    painter = Painter()
    build: Callable[[str, Settings], Any] = functions.cli.demo.build

    def build_with_painter(name: str, settings: Settings) -> Any:
        if name != "render_video":
            return build(name, settings)
        objects = ObjectStore(settings.objects)
        photos = Photos(objects, settings.render)
        return RenderVideo(settings, ClipStore(objects), photos, open_studio=lambda _settings, _folder: studio(painter))

    monkeypatch.setattr(functions.cli.demo, "build", build_with_painter)
    return painter
