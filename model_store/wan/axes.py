"""Axes by their names, so that a change of shape says what it does."""

from torch import Tensor


def permute(x: Tensor, pattern: str) -> Tensor:
    """The axes in another order, as in permute(x, "B C H W -> B H W C"). A view; every axis is named on both sides."""
    before, after = (side.split() for side in pattern.split("->"))
    return x.permute([before.index(axis) for axis in after])
