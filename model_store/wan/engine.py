"""The engine: a prompt in, frames out, one clip at a time on one device.

engine = Engine.load(Path("models/tiny"))
for frame in engine.generate(ClipSpec(...)):  # uint8 [H, W, 3]
    ...
engine.close()
"""

import gc
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.sampling import SamplerConfig
from model_store.wan.axes import permute
from model_store.wan.checkpoint import Checkpoint
from model_store.wan.denoiser import Denoiser, PromptState
from model_store.wan.first_frame import cover, hold
from model_store.wan.precision import default_dtype
from model_store.wan.sampler import build_sampler, draw_noise
from model_store.wan.text_encoder import PromptTokenizer, TextEncoder, clean_prompt, pad_text
from model_store.wan.turns import Turns
from model_store.wan.vae import VAE
from shared.drawing import ClipSpec
from shared.errors import ConfigurationError, DeviceOutOfMemory, NotANumber, PermanentError

REMEMBERED_PROMPTS = 16

OnStep = Callable[[int, int], None]
"""Told after each step: how many are done, and how many there are in all."""
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt's meaning, ready for the denoiser."""

    embeddings: Tensor  # [1, text_len, text_dim], zero after the prompt's tokens
    length: int  # its tokens


class Engine:
    """Wan2.2-TI2V on one device.

    Calls from several threads are safe: one clip is denoised at a time, and prompts are encoded and other clips decoded
    between its steps.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        vae: VAE,
        text_encoder: TextEncoder,
        tokenizer: PromptTokenizer,
        sampler: SamplerConfig,
        device: torch.device,
    ) -> None:
        self.sampler = sampler
        self.device = device
        self._networks: tuple[Denoiser, VAE, TextEncoder] | None = (denoiser, vae, text_encoder)
        self._tokenizer = tokenizer
        self._text_len = denoiser.config.text_len
        self._denoising = Turns()  # one clip's steps
        self._device_turns = Turns()  # one step, one prompt, one chunk of frames
        self._prompts: OrderedDict[str, EncodedPrompt] = OrderedDict()  # oldest first
        self._prompts_guard = Lock()

    @classmethod
    def load(
        cls,
        model_dir: Path,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        sampler: SamplerConfig | None = None,
    ) -> "Engine":
        """Load a model folder, diffusers or original layout.

        dtype: of the large matrices; by default bf16, on a CPU float32 (see `precision`). sampler: by default what the
        folder says. CheckpointError: the folder is incomplete, damaged or of another model; DeviceOutOfMemory: it does
        not fit.
        """
        checkpoint = Checkpoint.open(model_dir)
        on = torch.device(device)
        asked = dtype or default_dtype(on)
        tokenizer = checkpoint.load_tokenizer()
        with out_of_memory_translated(f"model {model_dir}", on, "use a larger device or a quantised model"):
            text_encoder = checkpoint.load_text_encoder(on, asked)
            denoiser = checkpoint.load_denoiser(on, asked)
            vae = checkpoint.load_vae(on, asked)
        return cls(denoiser, vae, text_encoder, tokenizer, sampler or checkpoint.sampler, on)

    def close(self) -> None:
        """Give the device's memory back. Clips that are being rendered finish first; later calls are refused."""
        with self._denoising.taken(), self._device_turns.taken():
            self._networks = None
            self._prompts.clear()
        release_memory(self.device)

    # From a spec to frames --------------------------------------------------------------------------------------

    def generate(self, spec: ClipSpec, on_step: OnStep | None = None) -> Generator[NDArray[np.uint8], None, None]:
        """Render a clip: uint8 RGB frames [H, W, 3], handed out as they are decoded.

        The spec is checked before this returns; PermanentError: it cannot be rendered, `reason` says why. Work starts
        with the first frame asked for. `on_step` may raise to cancel: what it raises comes out here, and the engine
        stays usable. Close the iterator of a clip that is given up: it holds the clip's memory. DeviceOutOfMemory,
        NotANumber: see there.
        """
        self._loaded()
        self._check(spec)
        photo = None if spec.image is None else cover(spec.image, spec.width, spec.height)
        return self._render(spec, photo, on_step)

    def _render(
        self, spec: ClipSpec, photo: Tensor | None, on_step: OnStep | None
    ) -> Generator[NDArray[np.uint8], None, None]:
        latents = self.denoise(spec, photo, on_step)
        for chunk in self.decode(latents):
            yield from to_pictures(chunk)

    def denoise(self, spec: ClipSpec, photo: Tensor | None = None, on_step: OnStep | None = None) -> Tensor:
        """The clip's normalised latents, float32 [1, z, F, H, W]. photo [1, 3, 1, H, W] in [-1, 1]: its first frame."""
        with self._denoising.taken(), self._guarded(spec):
            denoiser, vae, _ = self._loaded()
            generator = torch.Generator().manual_seed(spec.seed)
            sampler = build_sampler(self.sampler, spec.steps, generator)
            latents = draw_noise(self._latent_shape(spec), generator, self.device)
            shape = denoiser.shape_state(latents.shape, first_frame_given=photo is not None)
            wanted = self._prompt_state(spec.prompt)
            unwanted = self._prompt_state(spec.negative_prompt) if spec.guidance > 1 else None
            first_frame = None if photo is None else self._on_device(vae.encode, photo.to(self.device))

            def velocity(latents: Tensor, timestep: float) -> Tensor:
                timesteps = torch.full((1,), timestep, device=self.device)
                towards: Tensor = denoiser(latents, timesteps, wanted, shape).float()
                if unwanted is None:
                    return towards
                away: Tensor = denoiser(latents, timesteps, unwanted, shape).float()
                return away + spec.guidance * (towards - away)

            def step(latents: Tensor, timestep: float) -> Tensor:
                given = latents if first_frame is None else hold(first_frame, latents)
                return sampler.step(latents, velocity(given, timestep))

            for done, timestep in enumerate(sampler.timesteps, start=1):
                latents = self._on_device(step, latents, timestep)
                check_numbers(latents, f"latents of a {said(spec)}, after step {done} of {len(sampler.timesteps)}")
                if on_step is not None:
                    on_step(done, len(sampler.timesteps))
            return latents if first_frame is None else hold(first_frame, latents)

    def decode(self, latents: Tensor) -> Iterator[Tensor]:
        """Latents to frames [1, 3, f, H, W] in [-1, 1], a few at a time; memory does not grow with the clip."""
        _, vae, _ = self._loaded()
        chunks = vae.decode(latents)
        while True:
            with self._guarded(None):
                chunk = self._on_device(next, chunks, None)
            if chunk is None:
                return
            check_numbers(chunk, "decoded frames")
            yield chunk

    def encode_prompt(self, prompt: str) -> EncodedPrompt:
        """Encode a prompt, or recall it: `generate` finds what was encoded here beforehand.

        PermanentError: it has more tokens than the model reads.
        """
        key = clean_prompt(prompt)
        with self._prompts_guard:
            if key in self._prompts:
                self._prompts.move_to_end(key)
                return self._prompts[key]
        tokens = self._tokens(prompt, "prompt")
        _, _, text_encoder = self._loaded()
        with self._guarded(None):
            embeddings = self._on_device(text_encoder, torch.tensor([tokens], device=self.device))
        check_numbers(embeddings, "an encoded prompt")  # before it is remembered: it would spoil clip after clip
        encoded = EncodedPrompt(pad_text(embeddings, self._text_len), len(tokens))
        with self._prompts_guard:
            self._prompts[key] = encoded
            while len(self._prompts) > REMEMBERED_PROMPTS:
                self._prompts.popitem(last=False)
        return encoded

    # Parts ------------------------------------------------------------------------------------------------------

    def _prompt_state(self, prompt: str) -> PromptState:
        encoded = self.encode_prompt(prompt)
        denoiser, _, _ = self._loaded()
        # Folded padding saves a CPU most of the cross-attention; a GPU's fastest kernels take no bias.
        lengths = [encoded.length] if self.device.type == "cpu" else None
        return self._on_device(denoiser.prompt_state, encoded.embeddings, lengths)

    def _latent_shape(self, spec: ClipSpec) -> tuple[int, int, int, int, int]:
        denoiser, vae, _ = self._loaded()
        frames = (spec.frames - 1) // vae.config.frames_per_latent + 1
        side = vae.config.pixels_per_latent
        return 1, denoiser.config.in_channels, frames, spec.height // side, spec.width // side

    def _on_device(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Do one piece of work on the device when it is its turn. Nothing here keeps gradients."""
        with self._device_turns.taken(), torch.inference_mode():
            return work(*args, **kwargs)

    def _loaded(self) -> tuple[Denoiser, VAE, TextEncoder]:
        if self._networks is None:
            raise ConfigurationError("engine is closed and its model released; load it again")
        return self._networks

    def _tokens(self, prompt: str, name: str) -> list[int]:
        tokens = self._tokenizer.tokens(prompt)
        if len(tokens) > self._text_len:
            raise PermanentError(
                f"{name} has {len(tokens)} tokens, the model reads {self._text_len}; shorten it",
                reason="prompt-too-long",
            )
        return tokens

    def _check(self, spec: ClipSpec) -> None:
        """PermanentError: this model cannot render it. What no model can is never a ClipSpec."""
        if not clean_prompt(spec.prompt):
            raise PermanentError("prompt is empty; describe the clip", reason="empty-prompt")
        self._tokens(spec.prompt, "prompt")
        self._tokens(spec.negative_prompt, "negative prompt")
        levels = len(self.sampler.timesteps)
        if levels and spec.steps != levels:
            raise PermanentError(
                f"{spec.steps} steps cannot be taken: this model was distilled to {levels}; ask for {levels}",
                reason="invalid-steps",
            )

    @contextmanager
    def _guarded(self, spec: ClipSpec | None) -> Iterator[None]:
        subject = "clip" if spec is None else said(spec)
        with out_of_memory_translated(subject, self.device, "render fewer frames or a smaller size"):
            yield


def said(spec: ClipSpec) -> str:
    """The clip, as messages call it."""
    return f"clip of {spec.width}x{spec.height}, {spec.frames} frames"


def check_numbers(values: Tensor, subject: str) -> None:
    """NotANumber: values are NaN or infinite. A picture made of them would be black, and the next one too."""
    lost = int((~values.isfinite()).sum())
    if lost:
        raise NotANumber(
            f"{subject}: {lost:,} of {values.numel():,} values are NaN or infinite on {values.device}; prove the "
            "model's files, then try float32 or another device"
        )


@contextmanager
def out_of_memory_translated(subject: str, device: torch.device, next_step: str) -> Iterator[None]:
    """DeviceOutOfMemory for every way in which PyTorch says so."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "can't allocate memory" not in str(error):
            raise
        fact = str(error).splitlines()[0] if str(error) else "no memory left"
    else:
        return
    release_memory(device)  # outside the handler: its traceback would keep the tensors alive
    raise DeviceOutOfMemory(f"{subject}: {device} is out of memory ({fact}); {next_step}")


def release_memory(device: torch.device) -> None:
    """Hand freed memory back to the device, for other processes and for a fresh, unfragmented start."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def to_pictures(chunk: Tensor) -> Iterator[NDArray[np.uint8]]:
    """[1, 3, f, H, W] in [-1, 1] -> f arrays uint8 [H, W, 3]"""
    pixels = (chunk[0].float() * 127.5 + 127.5).round().to(torch.uint8)
    yield from permute(pixels, "C f H W -> f H W C").contiguous().cpu().numpy()
