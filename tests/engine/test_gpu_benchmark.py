"""The GPU benchmark is proven before a GPU is lent: every line runs on a CPU, its formulas are counted after."""

import contextlib
import json
import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model_store.wan.architectures import DenoiserConfig
from model_store.wan.denoiser import Denoiser
from tests.benchmarks import engine_gpu
from tests.benchmarks.engine_gpu import (
    ReplayedDenoiser,
    Stopwatch,
    contest,
    forward_flops,
    random_weights,
    recorded,
    their_denoiser,
)
from tests.engine.closeness import relative_error

CPU = torch.device("cpu")
GPU = torch.device("cuda")
SMALL = replace(DenoiserConfig.wan22(), dim=96, heads=2, ffn_dim=128, layers=3, text_dim=64, text_len=40)


def a_denoiser(dtype=torch.float32):
    return random_weights(lambda: Denoiser(SMALL), CPU, lambda name: dtype)


def inputs(denoiser, seed, frames=3, first_frame_given=False):
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(1, 48, frames, 4, 6, generator=generator)
    prompt = denoiser.prompt_state(torch.randn(1, 40, 64, generator=generator))
    return latents, torch.tensor([100.0 * seed]), prompt, denoiser.shape_state(latents.shape, first_frame_given)


# The whole script


@pytest.mark.slow
def test_the_rehearsal_runs_every_contest_and_prints_finite_figures(capsys):
    assert engine_gpu.main(["--rehearse", "--rounds", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["teraflops"] > 0
    said = {(line["what"], line.get("who")) for line in lines}
    for shape in engine_gpu.REHEARSAL:
        for part, how in product(("denoiser", "decode"), ("as it is", "compiled")):
            what = f"{part} {shape} {how}"
            assert {(what, "skureel"), (what, "diffusers"), (f"{what}, skureel over diffusers", None)} <= said
        assert (f"denoiser {shape} compiled", "skureel, replayed") in said
        for how in ("20 steps, guided", "3 steps"):
            assert {(f"clip {shape} {how}", "skureel"), (f"clip {shape} {how}", "diffusers")} <= said
    numbers = [value for line in lines for value in line.values() if isinstance(value, float)]
    assert all(math.isfinite(number) and number >= 0 for number in numbers)
    clips = [line for line in lines if "seconds_to_mp4" in line]
    assert all(line["seconds_to_frames"] < line["seconds_to_mp4"] for line in clips)
    errors = [line["relative_error"] for line in lines if "relative_error" in line]
    assert len(errors) == 5 * len(engine_gpu.REHEARSAL)
    assert max(errors) <= 2e-2  # both in bf16, of the same weights


def test_one_contest_alone_can_be_asked_for(capsys):
    engine_gpu.main(["--rehearse", "--rounds", "1", "--only", "forward", "--eager"])
    said = [json.loads(line)["what"] for line in capsys.readouterr().out.splitlines()]
    assert said[0] == "ceiling"
    assert all(what.startswith("denoiser") and "as it is" in what for what in said[1:])


def test_the_published_shapes_are_measured_by_default(monkeypatch):
    asked = []
    monkeypatch.setattr(engine_gpu, "run", lambda shapes, options: asked.append((list(shapes), options.only)) or 0)
    engine_gpu.main([])
    engine_gpu.main(["640x480x73", "--only", "clip"])
    assert asked == [
        (["640x480x73", "1280x704x121"], ("forward", "decode", "clip")),
        (["640x480x73"], ["clip"]),
    ]


def test_a_contest_that_fails_is_reported_and_the_others_go_on(capsys, monkeypatch):
    def fail(arena, shape, name, how):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(engine_gpu, "decode_contest", fail)
    options = ["--rehearse", "--rounds", "1", "--only", "forward", "--only", "decode", "--eager"]
    assert engine_gpu.main(options) == len(engine_gpu.REHEARSAL)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["what"] for line in lines if line.get("error") == "RuntimeError: no kernel"] == [
        f"decode {shape} as it is" for shape in engine_gpu.REHEARSAL
    ]
    assert "denoiser 32x64x9 as it is, utilisation" in {line["what"] for line in lines}


# Its formulas


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, dim=144, heads=3, ffn_dim=300, layers=2, text_len=7)])
def test_forward_flops_are_those_that_pytorch_counts(config):
    denoiser = random_weights(lambda: Denoiser(config), CPU, lambda name: torch.float32)
    latents = torch.randn(1, 48, 3, 4, 6)
    prompt = denoiser.prompt_state(torch.randn(1, config.text_len, 64))
    shape = denoiser.shape_state(latents.shape)
    # Gradients are on and attention is spelt out: the CPU's own kernels are not counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        denoiser(latents, torch.tensor([500.0]), prompt, shape)
    assert forward_flops(config, tokens=18, text_tokens=config.text_len) == counted.get_total_flops()


def test_forward_flops_of_the_published_shape():
    """516.9 TF with the prompt's keys and values, which are done beforehand here and take 0.6 of them."""
    flops = forward_flops(DenoiserConfig.wan22(), tokens=31 * 22 * 40, text_tokens=512)
    assert flops / 1e12 == pytest.approx(516.9 - 0.6, abs=0.6)


def test_the_ratio_is_of_medians_after_the_warm_up(capsys):
    told = iter([99.0, 99.0, 9.0, 4.0, 1.0, 4.0, 2.0, 8.0])  # the first runs, then ours and theirs by turns
    done = []
    contest(
        "race",
        {"skureel": lambda: done.append("ours"), "diffusers": lambda: done.append("theirs")},
        lambda work: (work(), engine_gpu.Measured(next(told), 3.0, 1.5))[1],
        rounds=3,
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seconds"] for line in lines] == [2.0, 4.0, 0.5]
    assert lines[2]["working_gib"] == 1.0
    assert done == ["ours", "ours", "theirs", "theirs"] + ["ours", "theirs"] * 3


def test_both_denoisers_read_the_same_weights():
    ours = a_denoiser()
    theirs = their_denoiser(ours, CPU, torch.float32)
    assert theirs.blocks[1].ffn.net[2].weight.data_ptr() == ours.blocks[1].ffn[-1].weight.data_ptr()
    latents, timesteps, _, _ = inputs(ours, 1)
    text = torch.randn(1, 40, 64)
    with torch.no_grad():
        expected = theirs(latents, timesteps, text).sample
        actual = ours(latents, timesteps, ours.prompt_state(text), ours.shape_state(latents.shape))
    assert relative_error(actual, expected) <= 1e-5


# What only a GPU does, on a stand-in for torch.cuda


class StandInCuda:
    """Remembers what was asked of it; recorded work is done again when it is replayed."""

    def __init__(self, monkeypatch):
        self.asked = []
        self.memory = iter(())
        for name, stand_in in {
            "Stream": lambda: self,
            "current_stream": lambda: self,
            "stream": self.entered("stream"),
            "graph": self.entered("graph"),
            "CUDAGraph": lambda: self,
            "Event": self.event,
            "synchronize": lambda: self.asked.append("synchronize"),
            "reset_peak_memory_stats": lambda: self.asked.append("reset"),
            "memory_allocated": lambda: 2 * 2**30,
            "max_memory_allocated": lambda: 5 * 2**30,
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)

    def entered(self, name):
        @contextlib.contextmanager
        def enter(argument):
            assert argument is self
            self.asked.append(name)
            yield

        return enter

    def wait_stream(self, other):
        self.asked.append("wait")

    def replay(self):
        self.asked.append("replay")

    def event(self, enable_timing):
        assert enable_timing
        return StandInEvent(self)


class StandInEvent:
    def __init__(self, cuda):
        self.cuda = cuda

    def record(self):
        self.cuda.asked.append("record")

    def synchronize(self):
        self.cuda.asked.append("event synchronize")

    def elapsed_time(self, other):
        assert other is not self
        return 1500.0  # milliseconds


@pytest.fixture
def cuda(monkeypatch):
    return StandInCuda(monkeypatch)


def test_the_device_stamps_the_beginning_and_the_end(cuda):
    measured = Stopwatch(GPU).measure(lambda: cuda.asked.append("work"))
    assert (measured.seconds, measured.peak_gib, measured.working_gib) == (1.5, 5.0, 3.0)
    assert cuda.asked == ["synchronize", "reset", "record", "work", "record", "event synchronize"]


def test_the_clock_waits_for_the_device(cuda):
    Stopwatch(GPU).measure_by_the_clock(lambda: cuda.asked.append("work"))
    assert cuda.asked == ["synchronize", "reset", "work", "synchronize"]


def test_work_is_warmed_up_aside_before_it_is_recorded(cuda):
    runs = []
    replay = recorded(lambda: runs.append(1) or torch.full((2,), float(len(runs))), GPU)
    assert cuda.asked == ["wait", "stream", "wait", "graph"]
    assert len(runs) == 4
    assert replay().tolist() == [4.0, 4.0]  # the memory that was recorded
    assert cuda.asked[-1] == "replay"
    assert len(runs) == 4


@torch.inference_mode()
def test_a_replayed_denoiser_follows_its_inputs():
    """Other latents, timesteps and prompts, first frames and shapes, by turns, as a guided clip asks."""
    denoiser = a_denoiser()
    replayed = ReplayedDenoiser(denoiser, CPU)
    kept = []
    for first_frame_given in (False, True):
        asked = [inputs(denoiser, seed, first_frame_given=first_frame_given) for seed in (1, 2, 3)]
        asked.append(inputs(denoiser, 4, 2, first_frame_given))
        for given in (*asked, asked[0], asked[2]):
            kept.append((replayed(*given), denoiser(*given)))
    assert all(torch.equal(result, expected) for result, expected in kept)  # none was written over since
    assert len(replayed._recordings) == 4
