"""The engine beside diffusers on a CPU: same weights, same run, medians and their ratios.

    python -m tests.benchmarks.engine_cpu [denoiser] [decode] [clip] [memory] [start] [--rounds 3]

Without a name, all of them: eight minutes on one idle core. Contestants take turns, so that a busy neighbour slows
both; the ratio of CPU seconds stands beside that of wall seconds, because it hardly feels the neighbour. On a shared
machine set OMP_NUM_THREADS=1: two threads that wait for each other on busy cores take minutes for seconds of work.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tests.benchmarks.engine_models import HEIGHT, WIDTH, write_model
from tests.engine.closeness import relative_error

PROMPT = "a red kettle turns slowly on a table"


def contest(
    name: str,
    theirs: Callable[[], object],
    ours: Callable[[], object],
    target: float,
    rounds: int,
    warm_ups: int = 1,
) -> None:
    """Time both alternately after their warm-ups, print medians and ratios."""
    spent: dict[str, list[list[float]]] = {"diffusers": [], "skureel": []}
    for turn in range(-warm_ups, rounds):
        for label, work in (("diffusers", theirs), ("skureel", ours)):
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            if turn >= 0:
                spent[label].append([time.perf_counter() - wall, time.process_time() - cpu])
    print_ratios(name, spent, target)


def print_ratios(name: str, spent: dict[str, list[list[float]]], target: float) -> None:
    """Medians of the wall and CPU seconds of both, and ours over theirs."""
    medians = {label: [statistics.median(c) for c in zip(*turns, strict=True)] for label, turns in spent.items()}
    for label, (wall, cpu) in medians.items():
        print(f"{name:9} {label:10} {wall:8.3f} s  {cpu:8.3f} CPU s")
    wall, cpu = (medians["skureel"][column] / medians["diffusers"][column] for column in (0, 1))
    print(f"{name:9} ratio      {wall:8.2f}    {cpu:8.2f}        target {target}")


def denoiser(folder: Path, rounds: int) -> None:
    """One forward pass at 640x480x25, about 100 M parameters, a prompt of 60 tokens."""
    from diffusers import WanTransformer3DModel

    from model_store.wan.checkpoint import Checkpoint

    theirs = WanTransformer3DModel.from_pretrained(folder / "transformer")
    ours = Checkpoint.open(folder).load_denoiser(torch.device("cpu"), torch.float32)
    latents = torch.randn(1, ours.config.in_channels, 7, HEIGHT // 16, WIDTH // 16)
    text = torch.zeros(1, 512, ours.config.text_dim)
    text[:, :60].normal_()
    timesteps = torch.tensor([500])
    with torch.inference_mode():
        state, shape = ours.prompt_state(text, [60]), ours.shape_state(latents.shape)
        error = relative_error(ours(latents, timesteps, state, shape), theirs(latents, timesteps, text).sample)
        print(f"denoiser  {sum(p.numel() for p in ours.parameters()) / 1e6:.0f} M parameters, error {error:.1e}")
        contest(
            "denoiser",
            lambda: theirs(latents, timesteps, text),
            lambda: ours(latents, timesteps, state, shape),
            0.8,
            rounds,
        )


def decode(folder: Path, rounds: int) -> None:
    """The VAE's decoding of 640x480x25."""
    from diffusers import AutoencoderKLWan

    from model_store.wan.checkpoint import Checkpoint

    theirs = AutoencoderKLWan.from_pretrained(folder / "vae")
    ours = Checkpoint.open(folder).load_vae(torch.device("cpu"), torch.float32)
    latents = torch.randn(1, ours.config.z_dim, 7, HEIGHT // 16, WIDTH // 16)
    with torch.inference_mode():
        contest(
            "decode",
            lambda: theirs.decode(ours.denormalise(latents)),
            lambda: [None for _ in ours.decode(latents)],
            0.8,
            rounds,
            warm_ups=0,
        )


def clip(folder: Path, rounds: int) -> None:
    """From prompt to frames: 320x256x25, 4 guided steps."""
    import numpy as np
    from diffusers import WanPipeline

    from model_store.wan.engine import Engine
    from shared.drawing import ClipNumbers

    theirs = WanPipeline.from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    ours = Engine.load(folder)
    spec = ClipNumbers(width=320, height=256, frames=25, fps=24, steps=4, guidance=5.0).clip(PROMPT, "blue", seed=7)

    def their_clip() -> np.ndarray:
        return theirs(
            prompt=spec.prompt,
            negative_prompt=spec.negative_prompt,
            width=spec.width,
            height=spec.height,
            num_frames=spec.frames,
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance,
            generator=torch.Generator().manual_seed(spec.seed),
        ).frames[0]

    def our_clip() -> np.ndarray:
        return np.stack(list(ours.generate(spec)))

    difference = np.abs(their_clip() * 255 - our_clip()).max()
    print(f"clip      pixels differ by at most {difference:.2f} of 255")
    contest("clip", their_clip, our_clip, 0.8, rounds, warm_ups=0)


# Memory and start are measured in processes of their own ------------------------------------------------------------

DECODE = {
    "diffusers": """
from diffusers import AutoencoderKLWan
vae = AutoencoderKLWan.from_pretrained(folder / "vae")
decode = lambda latents: vae.decode(latents)
""",
    "skureel": """
from model_store.wan.checkpoint import Checkpoint
vae = Checkpoint.open(folder).load_vae(torch.device("cpu"), torch.float32)
decode = lambda latents: [None for _ in vae.decode(latents)]
""",
}
MEASURE_DECODE = """
import json, sys, torch
from pathlib import Path
folder, frames, height, width = Path(sys.argv[1]), *map(int, sys.argv[2:])
{setup}
def resident(entry):
    return int(Path("/proc/self/status").read_text().partition(entry + ":")[2].split()[0]) * 1024
latents = torch.randn(1, vae.config.z_dim, (frames - 1) // 4 + 1, height // 16, width // 16)
before = resident("VmRSS")
with torch.inference_mode():
    decode(latents)
print(json.dumps([before, resident("VmHWM")]))  # of this program alone; getrusage begins with its parent's peak
"""
START = {
    "diffusers": "from diffusers import WanPipeline; WanPipeline.from_pretrained(sys.argv[1])",
    "skureel": "from model_store.wan.engine import Engine; Engine.load(Path(sys.argv[1]))",
}


def in_process(code: str, *arguments: object) -> str:
    """The last line that `code` prints in a fresh Python."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True, text=True, timeout=1800
    )
    return done.stdout.strip().rpartition("\n")[2]


def memory(folder: Path, rounds: int) -> None:
    """Peak resident memory of decoding 320x256, 25 and 121 frames, once each; from run to run it moves by 50 MiB."""
    peaks: dict[tuple[str, int], float] = {}
    for frames in (25, 121):
        for label, setup in DECODE.items():
            before, peak = json.loads(in_process(MEASURE_DECODE.format(setup=setup), folder, frames, 256, 320))
            peaks[label, frames] = peak
            print(
                f"memory    {label:10} {frames:4} frames: peak {peak / 2**20:6.0f} MiB, "
                f"of which decoding {(peak - before) / 2**20:6.0f} MiB"
            )
    for frames in (25, 121):
        ratio = peaks["skureel", frames] / peaks["diffusers", frames]
        print(f"memory    ratio at {frames} frames {ratio:.2f}  target 0.7")
    print(f"memory    skureel, 121 over 25 frames {peaks['skureel', 121] / peaks['skureel', 25]:.3f}")


def start(folder: Path, rounds: int) -> None:
    """Import and load of a small model, in a fresh Python."""
    clocks = "[time.perf_counter(), time.process_time()]"
    code = f"import json, sys, time; from pathlib import Path; began = {clocks}; {{}}; "
    code += f"print(json.dumps([began, {clocks}]))"
    spent: dict[str, list[list[float]]] = {label: [] for label in START}
    for turn in range(rounds + 1):
        for label, body in START.items():
            began, ended = json.loads(in_process(code.format(body), folder))
            if turn:
                spent[label].append([end - begin for begin, end in zip(began, ended, strict=True)])
    print_ratios("start", spent, 0.5)


CONTESTS = {contest.__name__: contest for contest in (denoiser, decode, clip, memory, start)}


def main() -> None:
    """Run the named contests, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("contests", nargs="*", choices=[*CONTESTS, []], help="which, by default all")
    parser.add_argument("--rounds", type=int, default=3, help="of each contest, whose median counts")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_model(Path(scratch) / "middle")
        for name in options.contests or CONTESTS:
            CONTESTS[name](folder, options.rounds)


if __name__ == "__main__":
    main()
