"""The published pickles, and how their tensors become safetensors. The one home of `torch.load`.

Only the import comes here: a pickle is a program. PyTorch's restricted unpickler runs none of it, and what is no plain
tensor is refused. Tensors stay memory-mapped and are written one by one: 11 GB of text encoder need no 11 GB of memory.
"""

import json
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model_store.wan.checkpoint import TensorFile
from shared.errors import CheckpointError

STORED_AS = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


class PickledTensors:
    """The tensors of one pickle by name."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors

    def keys(self) -> list[str]:
        return list(self._tensors)

    def get_tensor(self, name: str) -> Tensor:
        return self._tensors[name]


@contextmanager
def opened_pickle(file: Path) -> Iterator[PickledTensors]:
    """A .pth file of named tensors. CheckpointError: it is damaged, or holds anything else."""
    try:
        # Only zip archives can be mapped; PyTorch wrote another format before 1.6.
        held: Any = torch.load(  # noqa: TID251 - the one home of pickle: nothing but tensors is unpickled
            file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
        )
    except Exception as error:  # a damaged archive and a refused object have no error in common
        raise CheckpointError(complaint(file, str(error))) from error
    if not isinstance(held, dict):
        raise CheckpointError(f"{file} holds a {type(held).__name__}, not named tensors; give the published file")
    for name, value in held.items():
        if not isinstance(name, str) or not is_plain(value):
            raise CheckpointError(
                f"{file}: {name!r} is no tensor of plain numbers but a {type(value).__name__}; give the published file"
            )
    yield PickledTensors(held)


def complaint(file: Path, said: str) -> str:
    """What was wrong, without PyTorch's advice to unpickle it all the same."""
    refused = re.search(r"GLOBAL (\S+)", said)
    if refused is not None:
        return (
            f"{file} holds {refused[1]}, and only tensors are unpickled, as anything else may run code; do not use it"
        )
    return (
        f"{file} is no complete file of tensors: {said.splitlines()[0] if said else 'it ends early'}; download it again"
    )


def is_plain(value: object) -> bool:
    """Whether it is a tensor whose numbers lie in memory as they are."""
    if type(value) not in (Tensor, nn.Parameter):
        return False
    assert isinstance(value, Tensor)
    return value.layout == torch.strided and value.device.type == "cpu"


def write_safetensors(file: Path, tensors: TensorFile, written: Callable[[int], None]) -> None:
    """Write `file` anew and to the disk, tensor by tensor; `written` is told the bytes of each.

    The format: https://github.com/huggingface/safetensors#format. Its library takes all tensors at once, and before 0.8
    copied them all first.
    """
    # Wider numbers first keep every tensor aligned.
    names = sorted(tensors.keys(), key=lambda name: (-tensors.get_tensor(name).itemsize, name))
    header: dict[str, object] = {}
    end = 0
    for name in names:
        tensor = tensors.get_tensor(name)
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": STORED_AS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            tensor = tensors.get_tensor(name).detach()
            stream.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
            written(tensor.nbytes)
        stream.flush()
        os.fsync(stream.fileno())
