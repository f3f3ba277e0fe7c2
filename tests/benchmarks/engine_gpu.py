"""The engine at the published sizes on an accelerator, beside diffusers with the same random weights.

    python -m tests.benchmarks.engine_gpu [640x480x73] [1280x704x121] [--only forward|decode|clip]... [--eager]

Needs a CUDA device with 48 GB, or 32 GB with `--small-text-encoder`. The larger shape takes over ten minutes, most of
them for clips. `--rehearse` runs every line at toy size on a CPU, to prove the script, not the speed. Prints one JSON
object a line. A contest that fails is a line as well, the others go on, and the exit code counts the failures.

A denoiser's forward pass is taken as it is, compiled, and compiled and replayed as one CUDA graph, all from outside the
model; diffusers' as it is and compiled. Our decoder is taken as it is and compiled, diffusers' as it is. Denoiser and
VAE are timed by CUDA events; a clip by the clock, from an unseen prompt to the finished MP4 of ours, and from encoded
prompts to frames in memory of theirs. Random weights draw noise, which takes ffmpeg longer than any real clip:
`seconds_to_frames` stands beside. Memory is the first run's, compiling and recording included: what a replayed graph
works in is not seen any more.

Utilisation: the operations of all matrix products of a forward pass (`forward_flops`), over its seconds, over the most
that plain products of this dtype reach on this device.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from functions.render_video.encoding import encode_clip
from model_store.sampling import SamplerConfig
from model_store.wan.architectures import DenoiserConfig, TextEncoderConfig, VAEConfig
from model_store.wan.denoiser import Denoiser, PromptState, ShapeState
from model_store.wan.engine import Engine
from model_store.wan.names import checkpoint_names
from model_store.wan.precision import denoiser_dtype, vae_dtype
from model_store.wan.sampler import FASTWAN_TIMESTEPS
from model_store.wan.text_encoder import END, PromptTokenizer, TextEncoder
from model_store.wan.vae import VAE
from shared.drawing import ClipNumbers, ClipSpec
from tests.engine.closeness import relative_error

Shape = tuple[int, int, int]  # width, height, frames
SHAPES: dict[str, Shape] = {"640x480x73": (640, 480, 73), "1280x704x121": (1280, 704, 121)}
REHEARSAL: dict[str, Shape] = {"64x32x5": (64, 32, 5), "32x64x9": (32, 64, 9)}
PROMPT = " ".join(["a red kettle turns slowly on a table"] * 6)
FPS = 24
PARTS = ("forward", "decode", "clip")


# Measuring ----------------------------------------------------------------------------------------------------------


def report(**figures: object) -> None:
    """One line of results."""
    print(json.dumps(figures), flush=True)


@dataclass(frozen=True)
class Measured:
    """One run of some work."""

    seconds: float
    peak_gib: float | None  # all that the device held; None on a CPU
    working_gib: float | None  # of which beyond what it held before


class Stopwatch:
    """Times work on the device, and the most memory it held."""

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"

    def measure(self, work: Callable[[], object]) -> Measured:
        """By CUDA events, which the device itself stamps; on a CPU by the clock."""
        if not self.on_gpu:
            return self.measure_by_the_clock(work)
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        held = self._forget_peak()
        began.record()
        work()
        ended.record()
        ended.synchronize()
        return self._measured(began.elapsed_time(ended) / 1000, held)

    def measure_by_the_clock(self, work: Callable[[], object]) -> Measured:
        """For work that leaves the device: files, other processes."""
        held = self._forget_peak()
        began = time.perf_counter()
        work()
        if self.on_gpu:
            torch.cuda.synchronize()
        return self._measured(time.perf_counter() - began, held)

    def _forget_peak(self) -> int:
        if not self.on_gpu:
            return 0
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()

    def _measured(self, seconds: float, held: int) -> Measured:
        if not self.on_gpu:
            return Measured(seconds, None, None)
        peak = torch.cuda.max_memory_allocated()
        return Measured(seconds, peak / 2**30, (peak - held) / 2**30)


Measure = Callable[[Callable[[], object]], Measured]


def contest(
    what: str, contestants: dict[str, Callable[[], object]], measure: Measure, rounds: int, warm_ups: int = 2
) -> dict[str, float]:
    """Warm each up, let them take turns, print medians and the ratio of ours to theirs. {label: seconds}"""
    first: dict[str, Measured] = {}
    for label, work in contestants.items():
        first[label] = measure(work)
        for _ in range(warm_ups - 1):
            work()
    runs: dict[str, list[Measured]] = {label: [] for label in contestants}
    for _ in range(rounds):
        for label, work in contestants.items():
            runs[label].append(measure(work))
    medians = {label: statistics.median(run.seconds for run in taken) for label, taken in runs.items()}
    for label in runs:
        report(
            what=what,
            who=label,
            seconds=medians[label],
            rounds=rounds,
            peak_gib=first[label].peak_gib,
            working_gib=first[label].working_gib,
        )
    if {"skureel", "diffusers"} <= contestants.keys():
        ours, theirs = first["skureel"].working_gib, first["diffusers"].working_gib
        report(
            what=f"{what}, skureel over diffusers",
            seconds=medians["skureel"] / medians["diffusers"],
            working_gib=ours / theirs if ours is not None and theirs else None,
        )
    return medians


def succeeds(what: str, work: Callable[[], object]) -> bool:
    """Do the work; a failure becomes a line of the results, and what it held is let go of."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - a lent device's time goes to the contests that are left
        report(what=what, error=f"{type(error).__name__}: {error}"[:2000])
    else:
        return True
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


def matmul_ceiling(device: torch.device, dtype: torch.dtype, sizes: tuple[int, ...], watch: Stopwatch) -> float:
    """Operations a second of the fastest square product: what no forward pass can exceed."""
    best = 0.0
    for size in sizes:
        one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        product = torch.empty_like(one)
        work = lambda: torch.mm(one, other, out=product)  # noqa: E731, B023 - measured before the next size
        work()
        seconds = statistics.median(watch.measure(work).seconds for _ in range(20))
        best = max(best, 2 * size**3 / seconds)
    return best


def forward_flops(config: DenoiserConfig, tokens: int, text_tokens: int) -> int:
    """Multiplications and additions of all matrix products of one forward pass at one timestep.

    tokens of the video, text_tokens attended; what `prompt_state` did beforehand is left out.
    """
    dim = config.dim
    patch = config.patch[0] * config.patch[1] * config.patch[2]
    block = tokens * (6 * dim * dim + 2 * dim * config.ffn_dim)  # q k v o, q o, two of the feed-forward
    block += 2 * tokens * (tokens + text_tokens) * dim  # logits and mixtures
    edges = tokens * dim * patch * (config.in_channels + config.out_channels)
    time_embedding = config.freq_dim * dim + dim * dim + dim * 6 * dim
    return 2 * (config.layers * block + edges + time_embedding)


# What is measured ---------------------------------------------------------------------------------------------------


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


def their_denoiser(ours: Denoiser, device: torch.device, dtype: torch.dtype) -> WanTransformer3DModel:
    """diffusers' denoiser on the very tensors of ours."""
    config = ours.config
    with torch.device("meta"):
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
        )
    state = {name: ours.get_parameter(mine) for name, mine in checkpoint_names(ours, "diffusers").items()}
    for name, weight in state.items():  # which diffusers keeps in the large matrices' dtype
        if "time_proj" in name:
            state[name] = nn.Parameter(weight.to(dtype), requires_grad=False)
    theirs.load_state_dict(state, strict=True, assign=True)
    with device:  # its tables are no weights and would stay on the meta device
        theirs.rope = type(theirs.rope)(config.head_dim, config.patch, 1024)
    return theirs.eval()


def their_vae(ours: VAE, dtype: torch.dtype) -> AutoencoderKLWan:
    """diffusers' VAE with the weights of ours in one dtype, laid out as it expects them."""
    with torch.device("meta"):
        theirs = AutoencoderKLWan(**ours.config.to_diffusers())
    names = checkpoint_names(ours, "diffusers")
    state = {name: ours.get_parameter(mine).to(dtype).contiguous() for name, mine in names.items()}
    theirs.load_state_dict(state, strict=True, assign=True)
    return theirs.eval().requires_grad_(False)


def tokenizer(folder: Path) -> PromptTokenizer:
    """Any tokenizer will do: only the number of tokens matters here."""
    words = {word: number for number, word in enumerate(["<pad>", END, "<unk>", *sorted(set(PROMPT.split()))])}
    pieces = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    pieces.save(str(folder / "tokenizer.json"))
    return PromptTokenizer(folder / "tokenizer.json")


def recorded(work: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """`work` as one CUDA graph, which a call repeats on the same memory. A CPU has no graphs and does the work anew."""
    if device.type != "cuda":
        return work
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # what is chosen and compiled at first must not be recorded
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


class ReplayedDenoiser:
    """A denoiser whose forward pass is recorded at the first latents of each shape and replayed from then on."""

    def __init__(self, denoiser: Denoiser, device: torch.device) -> None:
        self.config = denoiser.config
        self.prompt_state, self.shape_state = denoiser.prompt_state, denoiser.shape_state
        self._denoiser, self._device = denoiser, device
        self._recordings: dict[tuple[torch.Size, torch.Size, torch.Size], Recording] = {}

    def __call__(
        self,
        latents: Tensor,
        timesteps: Tensor,
        prompt: PromptState,
        shape: ShapeState,
    ) -> Tensor:
        key = latents.shape, prompt.keys[0].shape, shape.timestep_shares.shape
        if key not in self._recordings:
            self._recordings[key] = Recording(self._denoiser, self._device, latents, timesteps, prompt, shape)
        return self._recordings[key].replay(latents, timesteps, prompt)


class Recording:
    """One recorded forward pass and the memory that it reads."""

    def __init__(
        self,
        denoiser: Denoiser,
        device: torch.device,
        latents: Tensor,
        timesteps: Tensor,
        prompt: PromptState,
        shape: ShapeState,
    ) -> None:
        self.latents, self.timesteps = latents.clone(), timesteps.clone()
        self.prompt = PromptState(
            tuple(keys.clone() for keys in prompt.keys),
            tuple(values.clone() for values in prompt.values),
            None if prompt.key_bias is None else prompt.key_bias.clone(),
        )
        self.read = prompt  # whose keys and values lie there
        self.run = recorded(lambda: denoiser(self.latents, self.timesteps, self.prompt, shape), device)

    def replay(self, latents: Tensor, timesteps: Tensor, prompt: PromptState) -> Tensor:
        """The forward pass of these inputs, in memory of its own."""
        self.latents.copy_(latents)
        self.timesteps.copy_(timesteps)
        if prompt is not self.read:
            kept = (*self.prompt.keys, *self.prompt.values)
            for mine, given in zip(kept, (*prompt.keys, *prompt.values), strict=True):
                mine.copy_(given)
            if self.prompt.key_bias is not None and prompt.key_bias is not None:
                self.prompt.key_bias.copy_(prompt.key_bias)
            self.read = prompt
        return self.run().clone()


# Contests -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arena:
    """Both engines, and what measures them."""

    denoiser: Denoiser
    vae: VAE
    text_encoder: TextEncoder
    their_denoiser: WanTransformer3DModel
    their_vae: AutoencoderKLWan
    device: torch.device
    dtype: torch.dtype
    ceiling: float  # operations a second
    watch: Stopwatch
    rounds: int
    scratch: Path

    def latents(self, shape: Shape) -> Tensor:
        """Noise for a clip of this shape, [1, z, F, H, W]."""
        width, height, frames = shape
        side, step = self.vae.config.pixels_per_latent, self.vae.config.frames_per_latent
        grid = (frames - 1) // step + 1, height // side, width // side
        return torch.randn(1, self.vae.config.z_dim, *grid, device=self.device)

    def text(self) -> Tensor:
        """A prompt of 60 tokens, zero after them, [1, text_len, text_dim]."""
        text = torch.zeros(1, self.denoiser.config.text_len, self.denoiser.config.text_dim, device=self.device)
        text[:, :60].normal_()
        return text


def forward_contest(arena: Arena, shape: Shape, name: str, how: str) -> None:
    """One forward pass at one timestep, ours and theirs; `how`: as it is, or compiled, and then replayed as well."""
    latents, text = arena.latents(shape), arena.text()
    timesteps = torch.full((1,), 500.0, device=arena.device)
    state, grid = arena.denoiser.prompt_state(text), arena.denoiser.shape_state(latents.shape)
    their_latents, their_text = latents.to(arena.dtype), text.to(arena.dtype)
    replayed = ReplayedDenoiser(arena.denoiser, arena.device)
    contestants: dict[str, Callable[[], Any]] = {
        "skureel": lambda: arena.denoiser(latents, timesteps, state, grid),
        "diffusers": lambda: arena.their_denoiser(their_latents, timesteps, their_text),
    }
    if how == "compiled":
        contestants["skureel, replayed"] = lambda: replayed(latents, timesteps, state, grid)
    medians = contest(f"denoiser {name} {how}", contestants, arena.watch.measure, arena.rounds)
    if how == "compiled":
        difference = relative_error(contestants["skureel, replayed"](), contestants["skureel"]())
        report(what=f"denoiser {name} {how}, replayed beside called", relative_error=difference)
    difference = relative_error(contestants["skureel"](), contestants["diffusers"]().sample)
    report(what=f"denoiser {name} {how}, skureel beside diffusers", relative_error=difference)
    flops = forward_flops(arena.denoiser.config, grid.rotation.shape[0], text.shape[1])
    used = {label: flops / seconds / arena.ceiling for label, seconds in medians.items()}
    report(what=f"denoiser {name} {how}, utilisation", teraflops=flops / 1e12, target=0.6, **used)


def decode_contest(arena: Arena, shape: Shape, name: str, how: str) -> None:
    """Latents to frames on the device; as it is, ours in chunks of one, two and four latent frames, compiled of one."""
    latents = arena.latents(shape)
    their_latents = arena.vae.denormalise(latents).to(arena.dtype)

    def stream(per_chunk: int) -> None:
        for _ in arena.vae.decode(latents, per_chunk):
            pass

    contestants: dict[str, Callable[[], object]] = {
        "skureel": lambda: stream(1),
        "diffusers": lambda: arena.their_vae.decode(their_latents),
    }
    if how == "as it is":
        contestants |= {"skureel, by 2": lambda: stream(2), "skureel, by 4": lambda: stream(4)}
    contest(f"decode {name} {how}", contestants, arena.watch.measure, min(arena.rounds, 3), warm_ups=1)
    difference = relative_error(arena.vae.decode_all(latents), arena.their_vae.decode(their_latents).sample)
    report(what=f"decode {name} {how}, skureel beside diffusers", relative_error=difference)


def clip_contest(arena: Arena, shape: Shape, name: str) -> None:
    """Whole clips, of ours from an unseen prompt to the MP4: 20 steps with guidance, 3 steps of a distilled model."""
    width, height, frames = shape
    replayed: Any = ReplayedDenoiser(arena.denoiser, arena.device)
    engine = Engine(
        replayed, arena.vae, arena.text_encoder, tokenizer(arena.scratch), SamplerConfig(kind="unipc"), arena.device
    )
    pipeline = WanPipeline(
        None,
        None,
        arena.their_vae,
        UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0, num_train_timesteps=1000
        ),
        arena.their_denoiser,
        expand_timesteps=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    text = arena.text().to(arena.dtype)
    distilled = SamplerConfig(kind="few-step", timesteps=FASTWAN_TIMESTEPS)
    taken: list[float] = []
    numbers = ClipNumbers(width=width, height=height, frames=frames, fps=FPS, steps=20, guidance=5.0)

    def to_mp4(spec: ClipSpec) -> None:
        began = time.perf_counter()

        def timed() -> Iterator[NDArray[Any]]:
            yield from engine.generate(spec.changed(prompt=f"{PROMPT} {len(taken)}"))  # one it does not remember
            taken.append(time.perf_counter() - began)

        encode_clip(timed(), arena.scratch / "clip.mp4", width=width, height=height, fps=FPS, tags={})

    def to_frames(spec: ClipSpec) -> None:
        pipeline(
            prompt_embeds=text,
            negative_prompt_embeds=text,
            width=width,
            height=height,
            num_frames=frames,
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance,
            output_type="np",
        )

    for label, sampler, steps, guidance, target_seconds in (
        ("20 steps, guided", SamplerConfig(kind="unipc"), 20, 5.0, 6.0),
        ("3 steps", distilled, 3, 1.0, 2.0),
    ):
        engine.sampler = sampler
        spec = numbers.changed(steps=steps, guidance=guidance).clip(PROMPT, "blue", seed=1)
        contestants: dict[str, Callable[[], object]] = {
            "skureel": lambda spec=spec: to_mp4(spec),
            "diffusers": lambda spec=spec: to_frames(spec),
        }
        what = f"clip {name} {label}"
        rounds = min(arena.rounds, 3)
        medians = contest(what, contestants, arena.watch.measure_by_the_clock, rounds, warm_ups=1)
        target = target_seconds if name == "640x480x73" else None
        seconds_to_frames = statistics.median(taken[-rounds:])
        report(what=what, seconds_to_mp4=medians["skureel"], seconds_to_frames=seconds_to_frames, target=target)
    engine.close()


def run(shapes: dict[str, Shape], options: argparse.Namespace) -> int:
    """Measure every shape, print the results, and count the contests that failed."""
    device = torch.device("cpu" if options.rehearse else "cuda")
    dtype = torch.bfloat16
    denoiser_config, vae_config, text_config = DenoiserConfig.wan22(), VAEConfig.wan22(), TextEncoderConfig.umt5_xxl()
    if options.rehearse:
        denoiser_config = replace(denoiser_config, dim=96, heads=2, ffn_dim=128, layers=2, text_dim=64)
        vae_config = replace(vae_config, base_dim=4, decoder_base_dim=4, num_res_blocks=1)
        text_config = replace(text_config, dim=64)
    if options.rehearse or options.small_text_encoder:
        text_config = replace(text_config, vocabulary=512, ffn_dim=256, layers=1)

    denoiser = random_weights(lambda: Denoiser(denoiser_config), device, lambda name: denoiser_dtype(name, dtype))
    vae = random_weights(lambda: VAE(vae_config), device, lambda name: vae_dtype(name, dtype)).innermost_channels_()
    text_encoder = random_weights(lambda: TextEncoder(text_config), device, lambda name: dtype)
    watch = Stopwatch(device)
    ceiling = matmul_ceiling(device, dtype, (128, 256) if options.rehearse else (4096, 8192, 16384), watch)
    name = "CPU" if options.rehearse else torch.cuda.get_device_name()
    report(what="ceiling", device=name, torch=torch.__version__, dtype=str(dtype), teraflops=ceiling / 1e12)
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        arena = Arena(
            denoiser,
            vae,
            text_encoder,
            their_denoiser(denoiser, device, dtype),
            their_vae(vae, dtype),
            device,
            dtype,
            ceiling,
            watch,
            options.rounds,
            Path(scratch),
        )
        backend = "eager" if options.rehearse else "inductor"
        failures = 0

        def attempt(part: str, what: str, work: Callable[..., None], *arguments: object) -> bool:
            nonlocal failures
            if part not in options.only:
                return False
            done = succeeds(f"{part} {what}", lambda: work(arena, *arguments))
            failures += not done
            return done

        for label, shape in shapes.items():
            attempt("forward", f"{label} as it is", forward_contest, shape, label, "as it is")
            attempt("decode", f"{label} as it is", decode_contest, shape, label, "as it is")
        if not options.eager:
            compile_blocks((*denoiser.blocks, *arena.their_denoiser.blocks), backend)
            plain = vae.decoder
            vae.decoder = torch.compile(plain, backend=backend, fullgraph=True, dynamic=False)
            for label, shape in shapes.items():
                attempt("forward", f"{label} compiled", forward_contest, shape, label, "compiled")
                if not attempt("decode", f"{label} compiled", decode_contest, shape, label, "compiled"):
                    vae.decoder = plain  # clips are rendered with what was seen to work
        for label, shape in shapes.items():
            attempt("clip", label, clip_contest, shape, label)
        return failures


def compile_blocks(blocks: tuple[nn.Module, ...], backend: str) -> None:
    """Compile each block in place, from outside the model; equal blocks share what was compiled."""
    for block in blocks:
        block.compile(backend=backend, fullgraph=True, dynamic=False)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; returns how many contests failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shapes", nargs="*", choices=[*SHAPES, []], help="by default both")
    parser.add_argument("--rounds", type=int, default=5, help="of each contest; of clips at most 3")
    parser.add_argument("--only", action="append", choices=PARTS, help="may be repeated; by default all")
    parser.add_argument("--eager", action="store_true", help="compile nothing")
    parser.add_argument("--tune-convolutions", action="store_true", help="let cuDNN try its algorithms, for both")
    parser.add_argument("--small-text-encoder", action="store_true", help="not the 11 GB of UMT5-XXL")
    parser.add_argument("--rehearse", action="store_true", help="toy sizes on a CPU")
    options = parser.parse_args(arguments)
    options.only = options.only or PARTS
    torch.backends.cudnn.benchmark = options.tune_convolutions
    return run(REHEARSAL if options.rehearse else {name: SHAPES[name] for name in options.shapes or SHAPES}, options)


if __name__ == "__main__":
    sys.exit(main())
