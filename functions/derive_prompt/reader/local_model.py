"""A reader on this machine: a chat model through transformers, greedy. The one place here that imports torch."""

import hashlib
import importlib.util
import threading
import time
from pathlib import Path
from typing import Any

import jinja2

from functions.derive_prompt.reader.answer import UnusableAnswer
from functions.derive_prompt.reader.endpoint import SLOW_DELAY_SECONDS
from functions.derive_prompt.reader.question import INSTRUCTION, MOST_TOKENS
from shared.errors import ConfigurationError, Unavailable
from shared.settings import ReaderSettings

_HASHED_BYTES = 1024 * 1024


class LocalModel:
    """A model folder as `save_pretrained` writes it. It reads one product at a time; others wait for their turn."""

    def __init__(self, folder: Path, settings: ReaderSettings) -> None:
        """Loads nothing yet: `start` does."""
        self._folder = folder
        self.name = f"reader {folder}"
        self._timeout_seconds = settings.timeout_seconds
        self._device = settings.device
        self._turn = threading.Lock()
        self._tokenizer: Any = None
        self._model: Any = None
        self._takes_instructions = True
        self._digest = ""

    @property
    def identity(self) -> str:
        """Of every byte of the folder, once started."""
        return f"local:{self._digest}"

    def start(self) -> None:
        """Load it. Raises ConfigurationError for a folder that holds no chat model, or without the extra `reader`."""
        if self._model is not None:
            return
        if not self._folder.is_dir():
            raise ConfigurationError(
                f"SKUREEL_READER__MODEL: {self._folder} is no folder; give one with a chat model's files, or name the "
                "server that has it in SKUREEL_READER__ENDPOINT"
            )
        missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigurationError(f"{self.name}: {', '.join(missing)} missing; install skureel[reader]")
        import transformers

        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                self._folder, local_files_only=True, use_safetensors=True, dtype="auto"
            )
            model = model.to(self._device).eval()
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise ConfigurationError(
                f"{self.name} cannot be loaded: {_fact(error)}; give a chat model's folder"
            ) from error
        if tokenizer.chat_template is None:
            raise ConfigurationError(f"{self.name} has no chat template; give a model that was made to be asked")
        self._digest = _digest(self._folder)
        self._tokenizer, self._model = tokenizer, model
        self._takes_instructions = self._may_be_instructed()

    def check(self) -> None:
        """It stands on nothing but this process."""

    def ask(self, question: str) -> str:
        """The text of the model's answer: at each step the likeliest token.

        Unavailable: it was busy or slow. UnusableAnswer: the product's text is longer than the model can read.
        """
        end = time.monotonic() + self._timeout_seconds
        if not self._turn.acquire(timeout=self._timeout_seconds):
            raise self._slow()
        try:
            return self._generated(question, end)
        finally:
            self._turn.release()

    def _generated(self, question: str, end: float) -> str:
        import torch

        tokens = self._tokens(question, in_two=self._takes_instructions).to(self._device)
        begins = tokens["input_ids"].shape[1]
        room = getattr(self._model.config, "max_position_embeddings", None)
        if room is not None and begins + MOST_TOKENS > room:
            raise UnusableAnswer(f"{self.name}: the product's text has more tokens than the model can read")
        try:
            with torch.inference_mode():
                made = self._model.generate(
                    **tokens,
                    do_sample=False,
                    num_beams=1,
                    max_new_tokens=MOST_TOKENS,
                    max_time=max(end - time.monotonic(), 0.0),
                    pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
                )
        except RuntimeError as error:
            raise Unavailable(f"{self.name} failed: {_fact(error)}; look at the device and its memory") from error
        if time.monotonic() >= end:
            raise self._slow()
        return str(self._tokenizer.decode(made[0, begins:], skip_special_tokens=True))

    def _may_be_instructed(self) -> bool:
        """Whether the chat template knows a system's message; some refuse it."""
        try:
            self._tokens("{}", in_two=True)
        except jinja2.TemplateError:
            return False
        return True

    def _tokens(self, question: str, *, in_two: bool) -> Any:
        asked = {"role": "user", "content": question if in_two else f"{INSTRUCTION}\n\n{question}"}
        return self._tokenizer.apply_chat_template(
            [{"role": "system", "content": INSTRUCTION}, asked] if in_two else [asked],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
            enable_thinking=False,  # read by the templates of models that think aloud
        )

    def _slow(self) -> Unavailable:
        return Unavailable(
            f"{self.name} did not answer in {self._timeout_seconds:g} s; give it more in "
            "SKUREEL_READER__TIMEOUT_SECONDS, or a faster machine",
            delay_seconds=SLOW_DELAY_SECONDS,
        )


def _fact(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _digest(folder: Path) -> str:
    """SHA-256 of every file's name and bytes."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(_HASHED_BYTES):
                    content.update(chunk)
            found.update(f"{path.relative_to(folder).as_posix()}\0{content.hexdigest()}\n".encode())
    return found.hexdigest()
