"""Make the model folder of what was trained: the diffusers layout, bfloat16 safetensors, and the manifest.

The autoencoder's encoder half stays float32 in use but is stored like the rest: the picture it makes of a photo differs
by less than the autoencoder's own error.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from model_store.manifest import (
    MANIFEST_NAME,
    Manifest,
    list_files,
    write_manifest,
)
from model_store.sampling import SamplerConfig
from model_store.tiny.clips import FPS, FRAMES, LARGE
from model_store.tiny.tokens import END, PAD, UNKNOWN
from model_store.tiny.train_denoiser import TEXT_FIELDS, TEXT_LEN, denoiser_config
from model_store.tiny.train_vae import vae_config
from model_store.wan.denoiser import Denoiser
from model_store.wan.names import checkpoint_names
from model_store.wan.vae import VAE
from shared.drawing import ClipNumbers
from shared.errors import ConfigurationError

SHIFT = 3.0
STEPS = 8
GUIDANCE = 3.0


def export(
    folder: Path,
    *,
    version: str,
    vae_state: Mapping[str, Tensor],
    mean: Tensor,
    std: Tensor,
    denoiser_state: Mapping[str, Tensor],
    words: Mapping[str, Tensor],
    tokenizer: Tokenizer,
) -> Manifest:
    """Write `folder` anew. mean and std [z, 1, 1, 1]; `words` is the taught text encoder."""
    refuse_what_is_no_model(folder)
    if folder.exists():
        shutil.rmtree(folder)
    config = vae_config(tuple(mean.flatten().tolist()), tuple(std.flatten().tolist()))
    with torch.device("meta"):
        vae, denoiser = VAE(config), Denoiser(denoiser_config())
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "WanPipeline",
            "_diffusers_version": "0.35.0",
            "boundary_ratio": None,
            "expand_timesteps": True,
            "scheduler": ["diffusers", "UniPCMultistepScheduler"],
            "text_encoder": ["transformers", "UMT5EncoderModel"],
            "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
            "transformer": ["diffusers", "WanTransformer3DModel"],
            "transformer_2": [None, None],
            "vae": ["diffusers", "AutoencoderKLWan"],
        },
    )
    write_json(
        folder / "scheduler" / "scheduler_config.json",
        {
            "_class_name": "UniPCMultistepScheduler",
            "num_train_timesteps": 1000,
            "prediction_type": "flow_prediction",
            "use_flow_sigmas": True,
            "flow_shift": SHIFT,
            "solver_order": 2,
            "solver_type": "bh2",
            "predict_x0": True,
            "lower_order_final": True,
            "final_sigmas_type": "zero",
            "thresholding": False,
        },
    )

    theirs = {ours: name for name, ours in checkpoint_names(vae, "diffusers").items()}
    save(folder / "vae", "diffusion_pytorch_model", {theirs[name]: tensor for name, tensor in vae_state.items()})
    write_json(folder / "vae" / "config.json", {"_class_name": "AutoencoderKLWan", **config.to_diffusers()})

    theirs = {ours: name for name, ours in checkpoint_names(denoiser, "diffusers").items()}
    save(
        folder / "transformer",
        "diffusion_pytorch_model",
        {theirs[name]: tensor for name, tensor in denoiser_state.items()},
    )
    write_json(folder / "transformer" / "config.json", transformer_config())

    save(folder / "text_encoder", "model", words)
    write_json(folder / "text_encoder" / "config.json", text_encoder_config(tokenizer.get_vocab_size()))

    (folder / "tokenizer").mkdir()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    write_json(
        folder / "tokenizer" / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": PAD,
            "eos_token": END,
            "unk_token": UNKNOWN,
            "model_max_length": TEXT_LEN,
        },
    )

    manifest = Manifest(
        name="tiny",
        version=version,
        architecture="wan2.2-ti2v",
        quantisation="none",
        licence="Apache-2.0",
        sampler=SamplerConfig(kind="unipc", shift=SHIFT),
        defaults=ClipNumbers(width=LARGE[0], height=LARGE[1], frames=FRAMES, fps=FPS, steps=STEPS, guidance=GUIDANCE),
        sizes=(LARGE,),
        files=list_files(folder),
    )
    write_manifest(folder, manifest)
    return manifest


def refuse_what_is_no_model(folder: Path) -> None:
    """Raises ConfigurationError for a folder that holds something else than a model: `export` empties it."""
    if folder.exists() and not (folder / MANIFEST_NAME).exists():
        raise ConfigurationError(f"{folder} is there and is no model; name a new folder, or a model to replace")


def transformer_config() -> dict[str, object]:
    """The `transformer/config.json` of the diffusers layout."""
    config = denoiser_config()
    return {
        "_class_name": "WanTransformer3DModel",
        "added_kv_proj_dim": None,
        "attention_head_dim": config.dim // config.heads,
        "cross_attn_norm": True,
        "eps": config.eps,
        "ffn_dim": config.ffn_dim,
        "freq_dim": config.freq_dim,
        "image_dim": None,
        "in_channels": config.in_channels,
        "num_attention_heads": config.heads,
        "num_layers": config.layers,
        "out_channels": config.out_channels,
        "patch_size": list(config.patch),
        "pos_embed_seq_len": None,
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024,
        "text_dim": config.text_dim,
    }


def text_encoder_config(vocabulary: int) -> dict[str, object]:
    """The `text_encoder/config.json`: what UMT5 is told, in words that no release of transformers adds to."""
    return {
        "architectures": ["UMT5EncoderModel"],
        "model_type": "umt5",
        "vocab_size": vocabulary,
        **TEXT_FIELDS,
    }


def save(folder: Path, stem: str, tensors: Mapping[str, Tensor]) -> None:
    """One safetensors file in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in tensors.items()}
    save_file(stored, folder / f"{stem}.safetensors", metadata={"format": "pt"})


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """A readable JSON file with a stable order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
