"""A complete, tiny model of the public implementation with random weights, and its folder."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

WORDS = "a red blue kettle mug turn s slow ly on table 耳 机 黑 色 旋 转".split()


def a_public_pipeline(flow_shift: float = 5.0) -> WanPipeline:
    """Every weight random: the zeros and ones of fresh networks would hide a missing bias or a swapped norm."""
    torch.manual_seed(11)
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocabulary += [(f"▁{word}", -3.0) for word in WORDS] + [(word, -4.0) for word in WORDS]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0)
    text_encoder = UMT5EncoderModel(
        UMT5Config(vocab_size=64, d_model=24, d_kv=8, d_ff=40, num_layers=2, num_heads=3, dropout_rate=0.0)
    )
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=6,
        out_channels=6,
        text_dim=24,
        freq_dim=32,
        ffn_dim=64,
        num_layers=2,
    )
    vae = AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=6,
        z_dim=6,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        scale_factor_temporal=4,
        latents_mean=torch.linspace(-0.4, 0.3, 6).tolist(),
        latents_std=torch.linspace(0.5, 1.5, 6).tolist(),
    )
    for network in (text_encoder, transformer, vae):
        network.eval()
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or "norm" in name or "relative" in name:
                centre = 1.0 if name.endswith(("norm.weight", "gamma")) or ".norm" in name else 0.0
                torch.nn.init.normal_(parameter, centre if not name.endswith("bias") else 0.0, 0.2)
    for name, parameter in transformer.named_parameters():  # a prompt that hardly matters would hide what is done to it
        if name.endswith("weight") and ("attn2.to" in name or "text_embedder" in name or name.startswith("proj_out")):
            parameter.data *= 4
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=flow_shift, num_train_timesteps=1000
    )
    pipeline = WanPipeline(tokenizer, text_encoder, vae, scheduler, transformer, expand_timesteps=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def public_pipeline() -> Iterator[WanPipeline]:
    """The public text-to-video pipeline; tests leave its weights alone."""
    yield a_public_pipeline()
    gc.collect()


@pytest.fixture(scope="session")
def diffusers_folder(public_pipeline: WanPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What its `save_pretrained` writes; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("models") / "tiny-diffusers"
    public_pipeline.save_pretrained(folder)
    return folder
