"""The VAE's decoding beside diffusers' `AutoencoderKLWan` on a CPU: same weights, same run, medians and their ratios.

    python -m tests.benchmarks.vae_decode [--width 64] [--size 640x480] [--frames 25] [--dtype float32] [--rounds 3]

`--width` is the decoder's base width (256 in the published model). Contestants take turns. CPU seconds stand beside
wall seconds, because they hardly feel a busy neighbour (with OMP_NUM_THREADS=1: waiting threads spin). Peak memory is
the resident set of a process that decodes once, less what it held before: activations, history, the frames it returns,
and the convolution library's scratch space.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import psutil
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from model_store.wan.vae import VAE, VAEConfig
from tests.benchmarks.engine_cpu import contest

Z_DIM = 16


def contestants(width: int, dtype: torch.dtype) -> tuple[VAE, AutoencoderKLWan]:
    """Ours and theirs with equal random weights."""
    config = VAEConfig(
        base_dim=8,
        decoder_base_dim=width,
        z_dim=Z_DIM,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=2,
        temporal_downsample=(False, True, True),
        patch_size=2,
        latents_mean=(0.0,) * Z_DIM,
        latents_std=(1.0,) * Z_DIM,
    )
    torch.manual_seed(0)
    theirs = AutoencoderKLWan(**config.to_diffusers()).eval()
    ours = VAE(config)
    names = ours.checkpoint_names("diffusers")
    ours.load_state_dict({names[name]: tensor for name, tensor in theirs.state_dict().items()})
    for vae in (ours, theirs):
        for parameter in vae.parameters():
            parameter.data = parameter.data.to(dtype)
    return ours.innermost_channels_(), theirs


def stream(vae: VAE, latents: Tensor) -> None:
    """Decode and let go of each chunk, as a writer of a file does."""
    for _ in vae.decode(latents):
        pass


def peak_mib(contestant: str, asked: argparse.Namespace) -> float:
    """What a fresh process that decodes once takes at its peak, above what it held before."""
    command = [sys.executable, "-m", "tests.benchmarks.vae_decode", "--peak-of", contestant]
    for name in ("width", "size", "frames", "dtype"):
        command += [f"--{name}", str(getattr(asked, name))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=3600)
    before, peak = json.loads(done.stdout.splitlines()[-1])
    return (peak - before) / 2**20


def decode_once(contestant: str, ours: VAE, theirs: AutoencoderKLWan, latents: Tensor) -> None:
    """Decode in this process and print its resident set before and its peak, in bytes."""
    before = psutil.Process().memory_info().rss
    if contestant == "skureel":
        stream(ours, latents)
    else:
        theirs.decode(latents)
    print(json.dumps([before, peak_resident_bytes()]))


def peak_resident_bytes() -> int:
    """The largest resident set of this process, from Linux. `getrusage` would count the parent's before the exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Print seconds, CPU seconds and peak memory of both, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", default="640x480", help="width x height in pixels")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-of", choices=("skureel", "diffusers"), help=argparse.SUPPRESS)
    asked = parser.parse_args()

    columns, rows = map(int, asked.size.split("x"))
    dtype = getattr(torch, asked.dtype)
    ours, theirs = contestants(asked.width, dtype)
    latents = torch.randn(1, Z_DIM, (asked.frames - 1) // 4 + 1, rows // 16, columns // 16, dtype=dtype)
    with torch.inference_mode():
        if asked.peak_of:
            decode_once(asked.peak_of, ours, theirs, latents)
            return
        size = f"{asked.size}x{asked.frames} {asked.dtype}"
        parameters = sum(parameter.numel() for parameter in ours.decoder.parameters()) / 1e6
        print(f"{size}, decoder of {parameters:.1f} M parameters, {torch.get_num_threads()} threads")
        contest("decode", lambda: theirs.decode(latents), lambda: stream(ours, latents), 0.8, asked.rounds)
    peaks = {contestant: peak_mib(contestant, asked) for contestant in ("diffusers", "skureel")}
    for contestant, peak in peaks.items():
        print(f"decode    {contestant:10} peak {peak:8.0f} MiB above what stood before")
    print(f"decode    ratio      {peaks['skureel'] / peaks['diffusers']:13.2f}        target 0.7")


if __name__ == "__main__":
    main()
