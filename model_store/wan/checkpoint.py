"""Public checkpoints on disk, and how their tensors reach a network.

Two layouts are read. "diffusers" is a folder with model_index.json and a folder for each network. "original" has

    config.json, diffusion_pytorch_model*.safetensors
    Wan2.2_VAE.safetensors, models_t5_umt5-xxl-enc-bf16.safetensors
    google/umt5-xxl/tokenizer.json

where the second line's are the published pickles, which `skureel models import` turned into safetensors. Beside either
may lie its sizes, under the same name with .json, in the diffusers layout's words; without, the published ones hold.
The denoiser may also be a repack: one safetensors file of any other name, its tensors prefixed or not.

A network is built on the meta device, so its weights never lie in memory twice, and filled strictly: a tensor that is
missing, surplus, misshapen or not a floating-point number is an error that names file and tensor.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from model_store.manifest import MANIFEST_NAME, read_manifest
from model_store.sampling import SamplerConfig
from model_store.wan.architectures import DenoiserConfig, TextEncoderConfig, VAEConfig
from model_store.wan.denoiser import Denoiser
from model_store.wan.names import Layout, checkpoint_names
from model_store.wan.precision import denoiser_dtype, vae_dtype
from model_store.wan.sampler import FASTWAN_TIMESTEPS, read_scheduler
from model_store.wan.text_encoder import PromptTokenizer, TextEncoder
from model_store.wan.vae import VAE
from shared.bounds import FRAMES_STEP, SIDE_MULTIPLE
from shared.errors import CheckpointError
from shared.validation import described

Config = TypeVar("Config")
Network = TypeVar("Network", Denoiser, VAE, TextEncoder)

ORIGINAL_DENOISER = "diffusion_pytorch_model"
ORIGINAL_VAE = "Wan2.2_VAE"
ORIGINAL_TEXT_ENCODER = "models_t5_umt5-xxl-enc-bf16"
ORIGINAL_TOKENIZER = "google/umt5-xxl/tokenizer.json"
REPACK_PREFIX = "model.diffusion_model."
# transformers stores the embedding under a second name too, or under that alone.
EMBEDDING_AGAIN = {"encoder.embed_tokens.weight": "token_embedding.weight"}
READABLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


# What is read beside the weights, where it is there.
CONFIGURATIONS: dict[Layout, tuple[str, ...]] = {
    "diffusers": (
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer.json",
        "transformer/config.json",
        "vae/config.json",
    ),
    "original": ("config.json", f"{ORIGINAL_VAE}.json", f"{ORIGINAL_TEXT_ENCODER}.json", ORIGINAL_TOKENIZER),
}


class TensorFile(Protocol):
    """A file's tensors by name; what safetensors' `safe_open` gives."""

    def keys(self) -> Iterable[str]: ...

    def get_tensor(self, name: str) -> Tensor: ...


Reader = Callable[[Path], AbstractContextManager[TensorFile]]


@dataclass(frozen=True)
class Weights:
    """Where the tensors of one network lie."""

    files: tuple[Path, ...]
    index: Path | None  # says which file holds which tensor, where there are several files
    prefix: str  # before every tensor's name in the files
    read: Reader

    @classmethod
    def find(cls, folder: Path, stem: str, pickles: Reader | None = None) -> "Weights":
        """`stem`.safetensors, or the shards that `stem`.safetensors.index.json names, or `stem`.pth for `pickles`."""
        single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
        if single.is_file() and index.is_file():
            raise CheckpointError(
                f"{folder} holds both {single.name} and {index.name}; remove the one that is not meant"
            )
        if single.is_file():
            return cls((single,), None, common_prefix(single), opened)
        if index.is_file():
            shards = sorted(set(read_weight_map(index).values()))
            return cls(tuple(folder / shard for shard in shards), index, "", opened)
        pickled = folder / f"{stem}.pth"
        if pickled.is_file():
            if pickles is None:
                raise CheckpointError(
                    f"{pickled} is a pickle, which is not loaded here; convert it with `skureel models import`"
                )
            return cls((pickled,), None, "", pickles)
        raise CheckpointError(f"{folder} has no {single.name} and no {index.name}; download the model again")

    def locate(self) -> dict[str, Path]:
        """{tensor name, without the prefix: its file}. CheckpointError: files and index disagree."""
        located: dict[str, Path] = {}
        for file in self.files:
            with self.read(file) as tensors:
                for key in tensors.keys():
                    if key in located:
                        raise CheckpointError(
                            f"tensor {key} is in {located[key]} and in {file}; download the model again"
                        )
                    located[key] = file
        if self.index is not None:
            self._check_index(located)
        return {key.removeprefix(self.prefix): file for key, file in located.items()}

    def _check_index(self, located: Mapping[str, Path]) -> None:
        assert self.index is not None
        promised = read_weight_map(self.index)
        for key in sorted(promised.keys() | located.keys()):
            if key not in located:
                raise CheckpointError(f"{self.index} promises {key} in {promised[key]}, which lacks it; download both")
            if key not in promised:
                raise CheckpointError(f"{located[key]} holds {key}, which {self.index} does not list; download both")
            if located[key].name != promised[key]:
                raise CheckpointError(
                    f"{self.index} promises {key} in {promised[key]}, but it is in {located[key].name}; download both"
                )


@dataclass(frozen=True)
class Checkpoint:
    """A model folder that has been looked through: every configuration read, no weights yet."""

    layout: Layout
    denoiser_config: DenoiserConfig
    denoiser_weights: Weights
    vae_config: VAEConfig
    vae_weights: Weights
    text_encoder_config: TextEncoderConfig
    text_encoder_weights: Weights
    tokenizer_path: Path
    sampler: SamplerConfig

    @classmethod
    def open(cls, folder: Path, pickles: Reader | None = None) -> "Checkpoint":
        """Recognise the layout and read all but the weights. CheckpointError names the file that is wrong.

        pickles: how to read the original layout's .pth files, for the import alone; without, they are refused.
        """
        if not folder.is_dir():
            raise CheckpointError(f"model folder {folder} does not exist; import or pull the model first")
        is_diffusers = (folder / "model_index.json").is_file()
        found = open_diffusers(folder) if is_diffusers else open_original(folder, pickles)
        found._check_fit(folder)
        return found

    def _check_fit(self, folder: Path) -> None:
        """The networks must be of one model: a folder may have been put together by hand."""
        channels = self.denoiser_config.in_channels
        for what, size, other, expected in (
            ("the denoiser returns channels", self.denoiser_config.out_channels, "takes", channels),
            ("the VAE has latent channels", self.vae_config.z_dim, "the denoiser takes", channels),
            (
                "the text encoder's width",
                self.text_encoder_config.dim,
                "the denoiser reads",
                self.denoiser_config.text_dim,
            ),
        ):
            if size != expected:
                raise CheckpointError(
                    f"{folder} mixes models: {what}: {size}; {other}: {expected}; download the model again"
                )
        side_px = self.vae_config.pixels_per_latent * self.denoiser_config.patch[1]
        frames = self.vae_config.frames_per_latent
        if SIDE_MULTIPLE % side_px or FRAMES_STEP % frames:
            raise CheckpointError(
                f"{folder} draws sides of {side_px}n pixels and {frames}n+1 frames; clips here have sides of "
                f"{SIDE_MULTIPLE}n and {FRAMES_STEP}n+1 frames: it is another model"
            )

    def load_denoiser(self, device: torch.device, dtype: torch.dtype) -> Denoiser:
        """The denoiser, its weights on `device` in the precision policy's dtypes."""
        with torch.device("meta"):
            denoiser = Denoiser(self.denoiser_config)
        return self._filled(denoiser, self.denoiser_weights, device, lambda name: denoiser_dtype(name, dtype))

    def load_vae(self, device: torch.device, dtype: torch.dtype) -> VAE:
        """The VAE, its weights on `device` in the precision policy's dtypes, laid out as its activations are."""
        with torch.device("meta"):
            vae = VAE(self.vae_config)
        return self._filled(vae, self.vae_weights, device, lambda name: vae_dtype(name, dtype)).innermost_channels_()

    def load_text_encoder(self, device: torch.device, dtype: torch.dtype) -> TextEncoder:
        """The text encoder, its weights on `device` in `dtype`."""
        with torch.device("meta"):
            encoder = TextEncoder(self.text_encoder_config)
        names = checkpoint_names(encoder, self.layout)
        if self.layout == "diffusers":
            names |= EMBEDDING_AGAIN
        fill(encoder, self.text_encoder_weights, names, device, lambda _: dtype)
        return encoder.eval().requires_grad_(False)

    def load_tokenizer(self) -> PromptTokenizer:
        """The tokenizer. CheckpointError: it is broken, or knows more tokens than the text encoder."""
        if not self.tokenizer_path.is_file():
            raise CheckpointError(f"{self.tokenizer_path} is missing; download the model's tokenizer")
        try:
            tokenizer = PromptTokenizer(self.tokenizer_path)
        except Exception as error:  # what the tokenizers library raises
            raise CheckpointError(f"{self.tokenizer_path} is no tokenizer: {error}; download it again") from error
        if tokenizer.size > self.text_encoder_config.vocabulary:
            raise CheckpointError(
                f"{self.tokenizer_path} knows {tokenizer.size} tokens, the text encoder only "
                f"{self.text_encoder_config.vocabulary}; download the model again"
            )
        return tokenizer

    def _filled(
        self, network: Network, weights: Weights, device: torch.device, dtype_of: Callable[[str], torch.dtype]
    ) -> Network:
        fill(network, weights, checkpoint_names(network, self.layout), device, dtype_of)
        return network.eval().requires_grad_(False)


# Layouts ------------------------------------------------------------------------------------------------------------


def open_diffusers(folder: Path) -> Checkpoint:
    """model_index.json and one folder a network."""
    path = folder / "model_index.json"
    index = read_json(path)
    if index.get("boundary_ratio") is not None or (index.get("transformer_2") or [None])[0] is not None:
        raise CheckpointError(f"{path} is of a model with two denoisers; only Wan2.2-TI2V models are supported")
    return Checkpoint(
        layout="diffusers",
        denoiser_config=read_config(folder / "transformer" / "config.json", DenoiserConfig.from_diffusers),
        denoiser_weights=Weights.find(folder / "transformer", "diffusion_pytorch_model"),
        vae_config=read_config(folder / "vae" / "config.json", VAEConfig.from_diffusers),
        vae_weights=Weights.find(folder / "vae", "diffusion_pytorch_model"),
        text_encoder_config=read_config(folder / "text_encoder" / "config.json", TextEncoderConfig.from_transformers),
        text_encoder_weights=Weights.find(folder / "text_encoder", "model"),
        tokenizer_path=folder / "tokenizer" / "tokenizer.json",
        sampler=sampler_of_manifest(folder) or sampler_of_diffusers(folder, str(index.get("_class_name"))),
    )


def open_original(folder: Path, pickles: Reader | None) -> Checkpoint:
    """The files of the first release side by side; sizes that no file states are the published ones."""
    config = folder / "config.json"
    vae, text_encoder = folder / f"{ORIGINAL_VAE}.json", folder / f"{ORIGINAL_TEXT_ENCODER}.json"
    denoiser_weights = find_original_denoiser(folder)
    return Checkpoint(
        layout="original",
        denoiser_config=read_config(config, DenoiserConfig.from_original)
        if config.is_file()
        else DenoiserConfig.wan22(),
        denoiser_weights=denoiser_weights,
        vae_config=read_config(vae, VAEConfig.from_diffusers) if vae.is_file() else VAEConfig.wan22(),
        vae_weights=Weights.find(folder, ORIGINAL_VAE, pickles),
        text_encoder_config=(
            read_config(text_encoder, TextEncoderConfig.from_transformers)
            if text_encoder.is_file()
            else TextEncoderConfig.umt5_xxl()
        ),
        text_encoder_weights=Weights.find(folder, ORIGINAL_TEXT_ENCODER, pickles),
        tokenizer_path=folder / ORIGINAL_TOKENIZER,
        sampler=sampler_of_manifest(folder) or SamplerConfig(kind="unipc"),
    )


def find_original_denoiser(folder: Path) -> Weights:
    """The release's own files, or else the one safetensors file that is neither the VAE nor the text encoder."""
    if any(folder.glob(f"{ORIGINAL_DENOISER}*.safetensors*")):
        return Weights.find(folder, ORIGINAL_DENOISER)
    others = {f"{ORIGINAL_VAE}.safetensors", f"{ORIGINAL_TEXT_ENCODER}.safetensors"}
    repacks = sorted(path for path in folder.glob("*.safetensors") if path.name not in others)
    if len(repacks) != 1:
        raise CheckpointError(
            f"{folder} has no model_index.json, no {ORIGINAL_DENOISER}*.safetensors and {len(repacks)} other "
            "safetensors files, where one would be the denoiser; give the folder of a Wan2.2-TI2V model"
        )
    return Weights((repacks[0],), None, common_prefix(repacks[0]), opened)


def sampler_of_manifest(folder: Path) -> SamplerConfig | None:
    """What the model store's manifest says, where there is one. ConfigurationError: it is malformed."""
    return read_manifest(folder).sampler if (folder / MANIFEST_NAME).is_file() else None


def sampler_of_diffusers(folder: Path, pipeline: str) -> SamplerConfig:
    """What the pipeline's class or the scheduler's configuration says."""
    if pipeline == "WanDMDPipeline":
        return SamplerConfig(kind="few-step", timesteps=FASTWAN_TIMESTEPS)
    return read_config(folder / "scheduler" / "scheduler_config.json", read_scheduler)


# Files --------------------------------------------------------------------------------------------------------------


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. CheckpointError: missing or malformed."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; download the model again") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}; download it again") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path} holds no JSON object; download it again")
    return document


def read_config(path: Path, read: Callable[[Mapping[str, Any]], Config]) -> Config:
    """A configuration, its own complaints completed with the file's name."""
    try:
        return read(read_json(path))
    except KeyError as error:
        raise CheckpointError(f"{path} lacks {error}; is it of a Wan2.2-TI2V model?") from error
    except (ValueError, TypeError) as error:
        fact = described(error) if isinstance(error, ValidationError) else error
        raise CheckpointError(f"{path}: {fact}; only Wan2.2-TI2V models are supported") from error


def read_weight_map(index: Path) -> dict[str, str]:
    """{tensor name: file name} of an index. CheckpointError: malformed, or it names a file elsewhere or none."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map; download it again")
    for key, name in weight_map.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{index} puts {key} into {name!r}, not a file beside it; download the index again")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index} puts {key} into {name}, which is missing; download that file")
    return weight_map


def common_prefix(file: Path) -> str:
    """The repackers' prefix if every tensor has it, else nothing."""
    with opened(file) as tensors:
        return REPACK_PREFIX if all(key.startswith(REPACK_PREFIX) for key in tensors.keys()) else ""


@contextmanager
def opened(file: Path) -> Iterator[TensorFile]:
    """A safetensors file, memory-mapped. CheckpointError: truncated, damaged or something else."""
    try:
        with safe_open(str(file), framework="pt") as tensors:
            yield tensors
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is no complete safetensors file: {error}; download it again") from error


def fill(
    network: nn.Module,
    weights: Weights,
    names: Mapping[str, str],
    device: torch.device,
    dtype_of: Callable[[str], torch.dtype],
) -> None:
    """Give `network`, built on the meta device, its weights; `names` maps stored names to its own.

    Tensors move one at a time. On a CPU, a tensor that keeps its dtype stays memory-mapped and is not copied at all.
    """
    located = weights.locate()
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    check_names(weights, located, names, shapes)
    by_file: defaultdict[Path, list[str]] = defaultdict(list)
    for key, file in located.items():
        by_file[file].append(key)
    filled: dict[str, Tensor] = {}
    for file, keys in by_file.items():
        with weights.read(file) as tensors:
            for key in keys:
                name = names[key]
                stored = tensors.get_tensor(weights.prefix + key)
                if tuple(stored.shape) != shapes[name]:
                    raise CheckpointError(
                        f"{file}: {key} has shape {tuple(stored.shape)}, the configuration says {shapes[name]}; "
                        "weights and configuration are of different models"
                    )
                if stored.dtype not in READABLE:
                    raise CheckpointError(f"{file}: {key} is stored as {stored.dtype}; use a bf16, fp16 or fp32 model")
                if name not in filled:
                    filled[name] = stored.to(device=device, dtype=dtype_of(name))
    network.load_state_dict(filled, strict=True, assign=True)


def check_names(
    weights: Weights, located: Mapping[str, Path], names: Mapping[str, str], shapes: Mapping[str, object]
) -> None:
    """CheckpointError: a tensor too many or too few."""
    for key, file in located.items():
        if key not in names:
            raise CheckpointError(f"{file}: {key} belongs to no layer of this model; is it another model's file?")
    missing = sorted(shapes.keys() - {names[key] for key in located})
    if missing:
        stored_as = min(key for key, name in names.items() if name == missing[0])
        where = weights.index or weights.files[0]
        raise CheckpointError(f"{where}: {stored_as} is missing, and {len(missing) - 1} more; download the model again")
