"""Which functions there are, and how each is built. They are imported when asked for: only render_video needs torch."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import cast

from shared.events import READ_TYPES, read_by
from shared.function import Carrier, Function
from shared.settings import Settings

FUNCTIONS: Mapping[str, str] = {
    "derive_prompt": "functions.derive_prompt",
    "render_video": "functions.render_video",
    "redeliver": "functions.redeliver",
}

CONSUMES: Mapping[str, Sequence[str]] = {name: types for name in FUNCTIONS if (types := read_by(name))}
"""The event types whose topics each function reads."""
CARRIES: Mapping[str, Sequence[str]] = {"redeliver": READ_TYPES}
"""The event types whose retry topics each function reads."""


PORTS: Mapping[str, int] = {name: 8080 + place for place, name in enumerate(FUNCTIONS)}
"""Where each function's probes and metrics are unless SKUREEL_HEALTH__PORT says otherwise: one host can run all."""


def build(name: str, settings: Settings) -> Function | Carrier:
    """The function of that name, not started. Its package offers `build(settings)`."""
    builder = cast(Callable[[Settings], Function | Carrier], import_module(FUNCTIONS[name]).build)
    return builder(settings)
