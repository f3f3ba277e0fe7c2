"""How far a result is from what it should be."""

from torch import Tensor


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Euclidean distance over the expected tensor's length, in float64."""
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    difference = actual.double() - expected.double()
    return float(difference.norm() / expected.double().norm())
