"""Which functions there are, and how each is built. They are imported when asked for: only render_video needs torch."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import cast

from shared.function import Function
from shared.settings import Settings

FUNCTIONS: Mapping[str, str] = {
    "derive_prompt": "functions.derive_prompt",
    "render_video": "functions.render_video",
}

CONSUMES: Mapping[str, Sequence[str]] = {
    "derive_prompt": ("product.created", "product.updated"),
    "render_video": ("video.requested", "video.requested.bulk"),
}
"""What each function says it consumes, for those who must not import it: `skureel lag` needs no torch."""


def build(name: str, settings: Settings) -> Function:
    """The function of that name, not started. Its package offers `build(settings)`."""
    builder = cast(Callable[[Settings], Function], import_module(FUNCTIONS[name]).build)
    return builder(settings)
