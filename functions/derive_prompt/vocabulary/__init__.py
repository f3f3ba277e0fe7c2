"""Words of catalogues in Chinese and English, as TOML: colours, materials, kinds, looks, families. And their loader.

Nothing here decides anything: what a recognised word leads to is in the modules that read these tables.
"""

import tomllib
from functools import cache
from importlib import resources
from typing import Any


@cache
def table(name: str) -> dict[str, Any]:
    """One vocabulary file, by its name without `.toml`."""
    return tomllib.loads(resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
