"""The models that the engine's benchmarks run on: random weights, sizes between a toy and the real thing."""

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

from model_store.wan.architectures import VAEConfig

WIDTH, HEIGHT = 640, 480
WORDS = "a red kettle turn s slow ly on table blue".split()


def write_model(folder: Path) -> Path:
    """A diffusers folder: denoiser of 100 M parameters, a VAE a sixth as wide as the published one, a small encoder."""
    torch.manual_seed(0)
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocabulary += [(f"▁{word}", -3.0) for word in WORDS] + [(word, -4.0) for word in WORDS]
    vae = VAEConfig.wan22().to_diffusers() | {"base_dim": 24, "decoder_base_dim": 40}
    pipeline = WanPipeline(
        T5Tokenizer(vocab=vocabulary, extra_ids=0),
        UMT5EncoderModel(UMT5Config(vocab_size=32_000, d_model=512, d_kv=64, d_ff=1024, num_layers=8, num_heads=8)),
        AutoencoderKLWan(**vae),
        UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0, num_train_timesteps=1000
        ),
        WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=8,
            attention_head_dim=96,
            in_channels=48,
            out_channels=48,
            text_dim=512,
            freq_dim=256,
            ffn_dim=3072,
            num_layers=10,
        ),
        expand_timesteps=True,
    )
    pipeline.save_pretrained(folder)
    return folder
