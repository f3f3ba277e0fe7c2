"""What checkpoints call the tensors of a network: one mechanism for all three.

A layer whose parts are called otherwise in a layout has a table `names`, beside its parts: {layout: {path of a part:
its name there}}. A path may lead through parts that have no table, as "ffn.0" does. What no table names has the same
name there as here.
"""

from collections.abc import Mapping
from typing import Literal

from torch import nn

Layout = Literal["original", "diffusers"]
Names = Mapping[Layout, Mapping[str, str]]


def checkpoint_names(network: nn.Module, layout: Layout) -> dict[str, str]:
    """{name in a checkpoint of that layout: name here} for every tensor of a network; shapes are equal."""
    return {stored_name(network, name, layout): name for name, _ in network.named_parameters()}


def stored_name(layer: nn.Module, name: str, layout: Layout) -> str:
    """The name in that layout of the tensor `name` of a layer."""
    table: Mapping[str, str] = getattr(layer, "names", {}).get(layout, {})
    parts = name.split(".")
    paths = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]  # the longest first
    path = next((path for path in paths if path in table), parts[0])
    theirs, rest = table.get(path, path), name[len(path) + 1 :]
    return f"{theirs}.{stored_name(layer.get_submodule(path), rest, layout)}" if rest else theirs
