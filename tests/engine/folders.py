"""Model folders made from others: the original layout, shards, and published sizes without their bytes."""

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_store.wan.checkpoint import (
    ORIGINAL_DENOISER,
    ORIGINAL_TEXT_ENCODER,
    ORIGINAL_TOKENIZER,
    ORIGINAL_VAE,
    Checkpoint,
)
from model_store.wan.names import checkpoint_names


def write_original(diffusers_folder: Path, folder: Path) -> Path:
    """The same weights under the names and in the files of the first release."""
    checkpoint = Checkpoint.open(diffusers_folder)
    cpu = torch.device("cpu")
    folder.mkdir()
    for network, stem in (
        (checkpoint.load_denoiser(cpu, torch.float32), ORIGINAL_DENOISER),
        (checkpoint.load_vae(cpu, torch.float32), ORIGINAL_VAE),
        (checkpoint.load_text_encoder(cpu, torch.float32), ORIGINAL_TEXT_ENCODER),
    ):
        ours = network.state_dict()
        stored = {theirs: ours[name].contiguous() for theirs, name in checkpoint_names(network, "original").items()}
        save_file(stored, folder / f"{stem}.safetensors")
    (folder / "config.json").write_text(json.dumps(checkpoint.denoiser_config.to_original()))
    shutil.copy(diffusers_folder / "vae" / "config.json", folder / f"{ORIGINAL_VAE}.json")
    shutil.copy(diffusers_folder / "text_encoder" / "config.json", folder / f"{ORIGINAL_TEXT_ENCODER}.json")
    (folder / ORIGINAL_TOKENIZER).parent.mkdir(parents=True)
    shutil.copy(diffusers_folder / "tokenizer" / "tokenizer.json", folder / ORIGINAL_TOKENIZER)
    return folder


def shard(file: Path, count: int) -> list[Path]:
    """Replace one safetensors file by `count` shards and their index."""
    tensors = load_file(file)
    names = [f"{file.stem}-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    shards: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    for position, (key, tensor) in enumerate(tensors.items()):
        shards[names[position * count // len(tensors)]][key] = tensor
    for name, held in shards.items():
        save_file(held, file.with_name(name))
    write_index(file, {key: name for name, held in shards.items() for key in held})
    file.unlink()
    return [file.with_name(name) for name in names]


def write_index(file: Path, weight_map: Mapping[str, str]) -> Path:
    index = file.with_name(f"{file.name}.index.json")
    index.write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": dict(weight_map)}))
    return index


def write_hollow(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A bf16 safetensors file of any size whose tensors are holes: it takes a page of disk."""
    header, end = {}, 0
    for key, shape in shapes.items():
        start, end = end, end + 2 * torch.Size(shape).numel()
        header[key] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    written = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(written)) + written)
        stream.truncate(8 + len(written) + end)
