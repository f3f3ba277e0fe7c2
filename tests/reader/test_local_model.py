"""A chat model on this machine, through transformers: a small random one, whose nonsense is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from functions.derive_prompt.reader.answer import NOTHING, UnusableAnswer
from functions.derive_prompt.reader.local_model import LocalModel
from functions.derive_prompt.reader.question import question_of
from functions.derive_prompt.reader.reading import Reader
from functions.derive_prompt.recognise.understanding import visible_fields
from shared.errors import ConfigurationError, Unavailable
from shared.settings import ReaderSettings, Settings, child_environment
from tests.prompts.conftest import created, product, started
from tests.reader.recorded import RACK

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nonsense does not end by itself; sixty bytes of it tell enough."""
    monkeypatch.setattr("functions.derive_prompt.reader.local_model.MOST_TOKENS", 60)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of a few thousand random weights, over single bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("checkpoint")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>")
    wrapped.chat_template = TEMPLATE
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=4096,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def started_model(folder: Path, **settings: float) -> LocalModel:
    model = LocalModel(folder, ReaderSettings(model=str(folder), timeout_seconds=settings.get("timeout_seconds", 60.0)))
    model.start()
    return model


def test_its_nonsense_is_refused_and_the_same_each_time(checkpoint: Path) -> None:
    question = question_of(visible_fields(product(**RACK)))
    one, other = started_model(checkpoint), started_model(checkpoint)
    assert one.identity == other.identity
    text = one.ask(question)
    assert text
    assert text == other.ask(question)
    settings = ReaderSettings(model=str(checkpoint), when_away="rules", timeout_seconds=60.0)
    reader = Reader(one, settings, None)
    assert reader.answer(visible_fields(product(**RACK))) == NOTHING
    function = started(Settings(reader=settings), reader=reader)
    assert function.handle(created(product(**RACK))) == started().handle(created(product(**RACK)))


def test_other_weights_are_another_reader(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(checkpoint, folder)
    (folder / "README.md").write_text("retrained")
    assert started_model(folder).identity != started_model(checkpoint).identity


def test_a_slow_one_is_away_and_a_long_text_is_no_fault_of_others(checkpoint: Path) -> None:
    slow = started_model(checkpoint)
    slow._timeout_seconds = 0.001  # less than any machine takes, and than a setting may be
    with pytest.raises(Unavailable, match="did not answer in"):
        slow.ask('{"name":["x"]}')
    with pytest.raises(UnusableAnswer, match="more tokens"):
        started_model(checkpoint).ask("x" * 5000)


def test_a_template_that_knows_no_system_is_asked_in_one_message(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(checkpoint, folder)
    (folder / "chat_template.jinja").write_text(
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
    )
    model = started_model(folder)
    assert model.ask("{}")
    asked = model._tokenizer.decode(model._tokens("{}", in_two=False)["input_ids"][0])
    assert asked.startswith("<|user|>You read catalogue entries")
    assert asked.endswith("{}<|assistant|>")


def test_a_device_that_fails_is_away(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    model = started_model(checkpoint)
    monkeypatch.setattr(model._model, "generate", fail)
    with pytest.raises(Unavailable, match="CUDA out of memory"):
        model.ask("{}")


def test_a_busy_one_is_away(checkpoint: Path) -> None:
    model = started_model(checkpoint, timeout_seconds=0.1)
    with model._turn, pytest.raises(Unavailable):
        model.ask("{}")


def test_a_folder_that_holds_no_chat_model_is_told(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no folder"):
        started_model(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        started_model(tmp_path / "empty")
    untold = tmp_path / "untold"
    shutil.copytree(checkpoint, untold, ignore=shutil.ignore_patterns("chat_template*"))
    with pytest.raises(ConfigurationError, match="no chat template"):
        started_model(untold)


@pytest.mark.parametrize("settings", [{}, {"SKUREEL_READER__ENDPOINT": "http://127.0.0.1:9/v1"}])
def test_without_a_local_model_torch_is_not_imported(settings: dict[str, str]) -> None:
    script = (
        "import sys\n"
        "from functions.derive_prompt import build\n"
        "from shared.settings import load_settings\n"
        "build(load_settings())\n"
        "import functions.cli.replaying\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    environment = child_environment(
        {
            "SKUREEL_OBJECTS__ENDPOINT": "127.0.0.1:9",
            "SKUREEL_OBJECTS__ACCESS_KEY": "a",
            "SKUREEL_OBJECTS__SECRET_KEY": "b",
        }
        | settings
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=environment)
