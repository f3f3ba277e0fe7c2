"""The engine at the published sizes on an accelerator, with random weights: times, matmul utilisation, peak memory.

    python -m tests.benchmarks.engine_gpu [--compile] [--without-text-encoder] [--diffusers]

Needs a CUDA device with 40 GB; without the text encoder 24 GB. It has been rehearsed, not yet run on one: `--rehearse`
runs the same lines at toy size on a CPU, to prove the script, not the speed. Prints one JSON object a line.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn

from model_store.wan.denoiser import Denoiser, DenoiserConfig
from model_store.wan.engine import ClipSpec, Engine
from model_store.wan.precision import denoiser_dtype, vae_dtype
from model_store.wan.sampler import FASTWAN_TIMESTEPS, SamplerConfig
from model_store.wan.text_encoder import END, PromptTokenizer, TextEncoder, TextEncoderConfig
from model_store.wan.vae import VAE, VAEConfig

SHAPES = {"640x480x73": (640, 480, 73), "1280x704x121": (1280, 704, 121)}
REHEARSAL = {"64x32x5": (64, 32, 5)}
PROMPT = " ".join(["a red kettle turns slowly on a table"] * 6)


def report(**figures: object) -> None:
    """One line of results."""
    print(json.dumps(figures), flush=True)


class Stopwatch:
    """Times work on the device, and the most memory it held."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def seconds(self, work: Callable[[], object], rounds: int) -> float:
        """The median of `rounds` after one warm-up."""
        work()
        spent = []
        for _ in range(rounds):
            self._settle()
            began = time.perf_counter()
            work()
            self._settle()
            spent.append(time.perf_counter() - began)
        return statistics.median(spent)

    def forget_peak(self) -> None:
        """Begin a new measurement of memory."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_gib(self) -> float | None:
        """The most memory allocated since, in GiB; None on a CPU."""
        return torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else None

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def random_weights(build: Callable[[], nn.Module], device: torch.device, dtype_of: Callable[[str], torch.dtype]) -> Any:
    """A network with small random weights, drawn on the device: never twice in memory, never on the host."""
    with torch.device("meta"):
        network = build()
    generator = torch.Generator(device).manual_seed(0)
    filled = {}
    for name, parameter in network.named_parameters():
        weight = torch.empty(parameter.shape, dtype=dtype_of(name), device=device)
        scale = 0.02 if weight.dim() > 1 else 0.1
        filled[name] = weight.normal_(0, scale, generator=generator).add_(float("norm" in name or "gamma" in name))
    network.load_state_dict(filled, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def tokenizer(folder: Path) -> PromptTokenizer:
    """Any tokenizer will do: only the number of tokens matters here."""
    words = {word: number for number, word in enumerate(["<pad>", END, "<unk>", *sorted(set(PROMPT.split()))])}
    pieces = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    pieces.save(str(folder / "tokenizer.json"))
    return PromptTokenizer(folder / "tokenizer.json")


def matmul_ceiling(device: torch.device, dtype: torch.dtype, size: int, watch: Stopwatch) -> float:
    """FLOP/s of the largest product this device does well: the ceiling of every utilisation below."""
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / watch.seconds(lambda: one @ other, 20)


def forward_flops(config: DenoiserConfig, tokens: int, text_tokens: int) -> float:
    """Multiplications and additions of one forward pass, the prompt's share done beforehand left out."""
    dim = config.dim
    linear = 2 * tokens * (6 * dim * dim + 2 * dim * config.ffn_dim)
    attention = 4 * tokens * (tokens + text_tokens) * dim
    return config.layers * float(linear + attention)


def measure_shape(
    engine: Engine, networks: tuple[Denoiser, VAE], size: tuple[int, int, int], ceiling: float, watch: Stopwatch
) -> None:
    """Forward, decode and whole clips at one shape."""
    denoiser, vae = networks
    width, height, frames = size
    name, device = f"{width}x{height}x{frames}", watch.device
    side = vae.config.pixels_per_latent
    latents = torch.randn(1, vae.config.z_dim, (frames - 1) // 4 + 1, height // side, width // side, device=device)
    text = torch.zeros(1, denoiser.config.text_len, denoiser.config.text_dim, device=device)
    text[:, :60].normal_()
    with torch.inference_mode():
        state, shape = denoiser.prompt_state(text), denoiser.shape_state(latents.shape)
        timesteps = torch.full((1,), 500.0, device=device)
        watch.forget_peak()
        forward = watch.seconds(lambda: denoiser(latents, timesteps, state, shape), 5)
        flops = forward_flops(denoiser.config, shape.rotation.shape[0], text.shape[1])
        report(
            what="denoiser forward",
            shape=name,
            seconds=forward,
            utilisation=flops / forward / ceiling,
            target_utilisation=0.6,
            peak_gib=watch.peak_gib(),
        )
        for per_chunk in (1, 2, 4):
            watch.forget_peak()
            decode = watch.seconds(lambda per_chunk=per_chunk: [None for _ in vae.decode(latents, per_chunk)], 3)
            report(
                what="VAE decode", shape=name, latents_per_chunk=per_chunk, seconds=decode, peak_gib=watch.peak_gib()
            )
    spec = ClipSpec(PROMPT, "blue", width, height, frames, 20, 5.0, 1)
    few = SamplerConfig("few-step", timesteps=FASTWAN_TIMESTEPS)
    for label, sampler, clip, target in (
        ("clip, 20 guided steps", SamplerConfig("unipc"), spec, 6.0),
        ("clip, 3 steps", few, replace(spec, steps=3, guidance=1.0), 2.0),
    ):
        engine.sampler = sampler
        watch.forget_peak()
        seconds = watch.seconds(lambda clip=clip: [None for _ in engine.generate(clip)], 3)
        report(what=label, shape=name, seconds=seconds, target_at_640x480x73=target, peak_gib=watch.peak_gib())


def measure_diffusers(config: DenoiserConfig, size: tuple[int, int, int], dtype: torch.dtype, watch: Stopwatch) -> None:
    """The peer's denoiser forward at the same shape, its weights random as well."""
    from diffusers import WanTransformer3DModel

    width, height, frames = size
    with watch.device:
        theirs = WanTransformer3DModel(
            patch_size=config.patch,
            num_attention_heads=config.heads,
            attention_head_dim=config.head_dim,
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            text_dim=config.text_dim,
            freq_dim=config.freq_dim,
            ffn_dim=config.ffn_dim,
            num_layers=config.layers,
        ).to(dtype)
        latents = torch.randn(1, config.in_channels, (frames - 1) // 4 + 1, height // 16, width // 16, dtype=dtype)
        text, timesteps = torch.randn(1, config.text_len, config.text_dim, dtype=dtype), torch.tensor([500])
    with torch.inference_mode():
        watch.forget_peak()
        seconds = watch.seconds(lambda: theirs(latents, timesteps, text), 5)
    report(
        what="diffusers denoiser forward",
        shape=f"{width}x{height}x{frames}",
        seconds=seconds,
        peak_gib=watch.peak_gib(),
    )


def main() -> None:
    """Measure every shape and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--compile", action="store_true", help="compile each block, from outside the model")
    parser.add_argument("--without-text-encoder", action="store_true", help="a small one in its place, for 24 GB")
    parser.add_argument("--diffusers", action="store_true", help="measure diffusers' denoiser as well")
    parser.add_argument("--rehearse", action="store_true", help="toy sizes on a CPU")
    options = parser.parse_args()

    device = torch.device("cpu" if options.rehearse else "cuda")
    dtype = torch.float32 if options.rehearse else torch.bfloat16
    denoiser_config, vae_config, text_config = DenoiserConfig.wan22(), VAEConfig.wan22(), TextEncoderConfig.umt5_xxl()
    if options.rehearse:
        denoiser_config = replace(denoiser_config, dim=96, heads=2, ffn_dim=128, layers=2)
        vae_config = replace(vae_config, base_dim=4, decoder_base_dim=4)
    if options.rehearse or options.without_text_encoder:
        text_config = replace(text_config, vocabulary=512, ffn_dim=256, layers=1)

    denoiser = random_weights(lambda: Denoiser(denoiser_config), device, lambda name: denoiser_dtype(name, dtype))
    vae = random_weights(lambda: VAE(vae_config), device, lambda name: vae_dtype(name, dtype)).innermost_channels_()
    text_encoder = random_weights(lambda: TextEncoder(text_config), device, lambda name: dtype)
    if options.compile:
        for block in denoiser.blocks:
            block.compile()

    watch = Stopwatch(device)
    ceiling = matmul_ceiling(device, dtype, 256 if options.rehearse else 8192, watch)
    name = "CPU" if options.rehearse else torch.cuda.get_device_name()
    report(what="ceiling", device=name, torch=torch.__version__, teraflops=ceiling / 1e12, compiled=options.compile)
    with tempfile.TemporaryDirectory() as scratch:
        engine = Engine(denoiser, vae, text_encoder, tokenizer(Path(scratch)), SamplerConfig("unipc"), device)
        for size in (REHEARSAL if options.rehearse else SHAPES).values():
            measure_shape(engine, (denoiser, vae), size, ceiling, watch)
        engine.close()
    del engine, denoiser, vae, text_encoder
    if options.diffusers:
        for size in (REHEARSAL if options.rehearse else SHAPES).values():
            measure_diffusers(denoiser_config, size, dtype, watch)


if __name__ == "__main__":
    main()
