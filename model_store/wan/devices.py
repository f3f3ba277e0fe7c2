"""The device that networks run on, proved before a model is loaded onto it."""

import torch

from shared.errors import ConfigurationError


def find_device(name: str) -> torch.device:
    """A device by its name; `auto` is the GPU where there is one. ConfigurationError: it is not there, or no device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # what has no memory, such as `meta`, fails here
    except (RuntimeError, AssertionError) as error:  # a build of PyTorch without CUDA asserts
        there = ", ".join(["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))])
        raise ConfigurationError(
            f"{name} cannot be used: {str(error).splitlines()[0]}; there are {there}: set "
            "SKUREEL_MODEL__DEVICE to one of them or to auto"
        ) from error
    return device
