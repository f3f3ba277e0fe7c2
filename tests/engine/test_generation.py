"""Seeds, progress, cancelling, turns, and what happens to bad input: a clear error, and the engine stays usable."""

import threading
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from model_store.sampling import SamplerConfig
from model_store.wan import engine as engine_module
from model_store.wan.checkpoint import Checkpoint
from model_store.wan.engine import Engine
from model_store.wan.first_frame import cover
from model_store.wan.turns import Turns
from shared.drawing import ClipSpec
from shared.errors import ConfigurationError, DeviceOutOfMemory, NotANumber, PermanentError, TemporaryError

SPEC = ClipSpec(
    prompt="a red mug on a table",
    negative_prompt="blue",
    width=32,
    height=32,
    frames=5,
    fps=24,
    steps=2,
    guidance=3.0,
    seed=1,
)


@pytest.fixture(scope="module")
def engine(diffusers_folder):
    engine = Engine.load(diffusers_folder)
    yield engine
    engine.close()


def clip(engine, spec=SPEC, progress=None):
    return np.stack(list(engine.generate(spec, progress)))


# Seeds and steps


def test_one_seed_gives_one_clip(engine, diffusers_folder):
    first = clip(engine)
    clip(engine, SPEC.changed(seed=2))
    assert np.array_equal(clip(engine), first)
    assert np.array_equal(clip(Engine.load(diffusers_folder)), first)


def test_another_seed_or_prompt_gives_another_clip(engine):
    first = clip(engine)
    assert not np.array_equal(clip(engine, SPEC.changed(seed=2)), first)
    assert not np.array_equal(engine.denoise(SPEC.changed(prompt="耳机")), engine.denoise(SPEC))


def test_progress_is_told_after_each_step(engine):
    told = []
    clip(engine, SPEC.changed(steps=4), lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_no_guidance_needs_one_velocity_a_step(engine, monkeypatch):
    denoiser, _, _ = engine._loaded()
    calls = []
    hook = denoiser.register_forward_hook(lambda *_: calls.append(1))
    engine.denoise(SPEC.changed(steps=3, guidance=1.0))
    assert len(calls) == 3
    engine.denoise(SPEC.changed(steps=3, guidance=1.5))
    assert len(calls) == 3 + 6
    hook.remove()


def test_a_prompt_is_read_once_for_all_steps(engine):
    """Text encoder, text layers, and every block's keys and values: once for the prompt, once for the unwanted."""
    denoiser, _, text_encoder = engine._loaded()
    calls = Counter()
    once = {"encoder": text_encoder, "text": denoiser.text_embedding}
    for number, block in enumerate(denoiser.blocks):
        once |= {f"keys {number}": block.cross_attn.k, f"values {number}": block.cross_attn.v}
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, module in (*once.items(), ("time", denoiser.time_embedding))
    ]
    engine.denoise(SPEC.changed(prompt="turn slow blue", negative_prompt="red kettle", steps=4))
    for hook in hooks:
        hook.remove()
    assert calls == dict.fromkeys(once, 2) | {"time": 2 * 4}


def test_raising_in_progress_cancels_and_the_engine_renders_on(engine):
    expected = clip(engine)

    class Cancelled(Exception):
        pass

    def cancel(done, total):
        raise Cancelled

    frames = engine.generate(SPEC, cancel)
    with pytest.raises(Cancelled):
        next(frames)
    assert np.array_equal(clip(engine), expected)


def test_a_clip_abandoned_halfway_leaves_the_engine_usable(engine):
    expected = clip(engine)
    frames = engine.generate(SPEC)
    next(frames)
    frames.close()
    unread = engine.generate(SPEC)
    next(unread)
    assert np.array_equal(clip(engine), expected)


def test_the_caller_keeps_its_gradient_mode_between_frames(engine):
    for _ in engine.generate(SPEC):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_a_distilled_model_takes_the_steps_it_was_made_for(diffusers_folder):
    engine = Engine.load(diffusers_folder, sampler=SamplerConfig(kind="few-step", timesteps=(1000.0, 500.0, 250.0)))
    spec = SPEC.changed(steps=3, guidance=1.0)
    assert np.array_equal(clip(engine, spec), clip(engine, spec))
    with pytest.raises(PermanentError, match="20 steps cannot be taken: this model was distilled to 3"):
        engine.generate(spec.changed(steps=20))


# Several threads


def test_two_clips_at_once_come_out_as_if_alone(engine):
    specs = [SPEC.changed(seed=seed, steps=3) for seed in range(4)]
    alone = [clip(engine, spec) for spec in specs]
    together = [None] * len(specs)

    def render(position):
        together[position] = clip(engine, specs[position])

    threads = [threading.Thread(target=render, args=(position,)) for position in range(len(specs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_prompt_is_encoded_between_the_steps_of_another_clip(engine):
    """The encoding comes back while the clip waits inside its own progress callback."""
    encoded = threading.Event()

    def encode():
        engine.encode_prompt("slow blue kettle")
        encoded.set()

    def progress(done, total):
        if done == 1:
            threading.Thread(target=encode).start()
            assert encoded.wait(60)

    clip(engine, progress=progress)


def test_generate_finds_what_was_encoded_beforehand(engine, monkeypatch):
    engine.encode_prompt("a  kettle\n turns")
    engine.encode_prompt(SPEC.negative_prompt)
    _, _, text_encoder = engine._loaded()
    monkeypatch.setattr(text_encoder, "forward", None)
    clip(engine, SPEC.changed(prompt="a kettle turns"))


def test_encoded_prompts_do_not_pile_up(engine):
    for number in range(100):
        engine.encode_prompt("mug " * number)
    assert len(engine._prompts) == engine_module.REMEMBERED_PROMPTS


def test_turns_are_given_in_the_order_they_were_asked_for():
    turns, served = Turns(), []

    def take(name):
        with turns.taken():
            served.append(name)

    with turns.taken():
        threads = [threading.Thread(target=take, args=(name,)) for name in range(5)]
        for waiting, thread in enumerate(threads, start=1):
            thread.start()
            while len(turns._waiting) < waiting:  # until it has queued
                thread.join(0.001)
    for thread in threads:
        thread.join(60)
    assert served == list(range(5))


def test_a_waiter_comes_before_the_one_that_just_let_go():
    turns, order = Turns(), []
    with turns.taken():
        waiter = threading.Thread(target=lambda: (turns._take(), order.append("waiter"), turns._pass_on()))
        waiter.start()
        while not turns._waiting:
            waiter.join(0.001)
    with turns.taken():
        order.append("first again")
    waiter.join(60)
    assert order == ["waiter", "first again"]


# Bad input


@pytest.mark.parametrize(
    ("change", "reason", "said"),
    [
        ({"prompt": ""}, "empty-prompt", "prompt is empty"),
        ({"prompt": " \n\t&nbsp; "}, "empty-prompt", "prompt is empty"),
        ({"prompt": "mug " * 5000}, "prompt-too-long", "prompt has 5001 tokens, the model reads 512; shorten it"),
        ({"negative_prompt": "mug " * 512}, "prompt-too-long", "negative prompt has 513 tokens"),
    ],
)
def test_bad_input_is_refused_before_any_work_and_the_engine_renders_on(engine, change, reason, said):
    with pytest.raises(PermanentError, match=said) as caught:
        engine.generate(SPEC.changed(**change))
    assert caught.value.reason == reason
    assert len(clip(engine)) == SPEC.frames


def test_a_prompt_of_exactly_as_many_tokens_as_fit_is_rendered(engine):
    assert len(clip(engine, SPEC.changed(prompt="mug " * 511, steps=1))) == SPEC.frames


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "P", "CMYK", "1", "I;16", "F"])
def test_a_first_frame_whose_colours_nobody_decided_about_is_a_mistake(engine, mode):
    with pytest.raises(ValueError, match="decode it to upright sRGB"):
        engine.generate(SPEC.changed(image=Image.new(mode, (64, 48))))


def test_a_photo_covers_the_clip_and_is_cropped_evenly():
    photo = Image.new("RGB", (300, 100), "black")
    photo.paste("white", (100, 0, 200, 100))
    frame = cover(photo, 64, 64)
    assert frame.shape == (1, 3, 1, 64, 64)
    assert frame[..., 2:-2].min() > 0.98  # the middle third, and what a Lanczos kernel reaches beyond it
    assert frame.min() > 0.8
    tall = cover(photo.transpose(Image.Transpose.ROTATE_90), 96, 32)
    assert tall.shape == (1, 3, 1, 32, 96)
    assert tall[..., 2:-2, :].min() > 0.98


def test_a_very_long_photo_is_scaled_without_growing(monkeypatch):
    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image,
        "resize",
        lambda photo, size, *rest, **options: sizes.append(size) or resize(photo, size, *rest, **options),
    )
    cover(Image.new("RGB", (20_000, 16)), 640, 480)
    assert sizes == [(640, 480)]


# Devices


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize("where", ["denoiser", "vae.decoder", "text_encoder"])
def test_a_full_device_is_a_temporary_error_and_the_engine_renders_on(engine, error, where, monkeypatch):
    expected = clip(engine)
    spec = SPEC.changed(prompt=f"mug {where} {type(error).__name__}")  # not remembered from before
    denoiser, vae, text_encoder = engine._loaded()
    module = {"denoiser": denoiser, "vae.decoder": vae.decoder, "text_encoder": text_encoder}[where]

    def fail(*arguments):
        raise error

    hook = module.register_forward_pre_hook(fail)
    with pytest.raises(
        DeviceOutOfMemory, match=r"cpu is out of memory.*render fewer frames or a smaller size"
    ) as caught:
        clip(engine, spec)
    assert isinstance(caught.value, TemporaryError)
    hook.remove()
    assert np.array_equal(clip(engine), expected)


@pytest.mark.parametrize("part", ["load_text_encoder", "load_denoiser", "load_vae"])
def test_a_model_that_the_device_cannot_hold_is_a_temporary_error(diffusers_folder, part, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with monkeypatch.context() as full:
        full.setattr(Checkpoint, part, fail)
        with pytest.raises(DeviceOutOfMemory, match=rf"model {diffusers_folder}: cpu is out of memory.*use a larger"):
            Engine.load(diffusers_folder)
    assert len(clip(Engine.load(diffusers_folder))) == SPEC.frames


def test_other_runtime_errors_are_not_taken_for_a_full_device(engine):
    denoiser, _, _ = engine._loaded()

    def fail(*arguments):
        raise RuntimeError("a bug")

    hook = denoiser.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="a bug"):
        clip(engine)
    hook.remove()


# Numbers


@pytest.fixture(params=[float("nan"), float("inf"), float("-inf")], ids=str)
def spoilt(request):
    """A hook after which one number of a network's output is none."""

    def spoil(_module, _arguments, output):
        output = output.clone()
        output[(-1,) * output.dim()] = request.param
        return output

    return spoil


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("denoiser", "latents of a clip of 32x32, 5 frames, after step 1 of 2: 1 of "),
        ("text_encoder", "an encoded prompt: 1 of "),
    ],
)
def test_what_is_no_number_is_an_error_at_the_first_step_and_the_engine_renders_on(engine, where, said, spoilt):
    expected = clip(engine)
    denoiser, _, text_encoder = engine._loaded()
    hook = {"denoiser": denoiser, "text_encoder": text_encoder}[where].register_forward_hook(spoilt)
    engine._prompts.clear()
    told, prompt = [], "an unsteady mug"
    for _attempt in range(2):
        with pytest.raises(NotANumber, match=said) as caught:
            clip(engine, SPEC.changed(prompt=prompt), lambda done, total: told.append(done))
        assert "are NaN or infinite on cpu" in str(caught.value)
    hook.remove()
    assert told == []
    assert np.array_equal(clip(engine), expected)
    assert len(clip(engine, SPEC.changed(prompt=prompt))) == SPEC.frames  # nothing spoilt was remembered


def test_frames_that_are_no_numbers_are_not_shown_as_black(engine):
    _, vae, _ = engine._loaded()
    hook = vae.decoder.register_forward_hook(lambda _module, _arguments, output: output * float("nan"))
    frames = engine.generate(SPEC)
    with pytest.raises(NotANumber, match="decoded frames: 3,072 of 3,072 values are NaN"):
        next(frames)
    hook.remove()


def test_a_photo_that_is_encoded_to_no_numbers_is_noticed(engine):
    _, vae, _ = engine._loaded()
    hook = vae.encoder.register_forward_hook(lambda _module, _arguments, output: output * float("nan"))
    with pytest.raises(NotANumber, match="latents of a clip"):
        clip(engine, SPEC.changed(image=Image.new("RGB", (64, 48))))
    hook.remove()


def test_a_closed_engine_says_so(diffusers_folder):
    engine = Engine.load(diffusers_folder)
    engine.close()
    engine.close()
    with pytest.raises(ConfigurationError, match="engine is closed"):
        engine.generate(SPEC)
