"""Prompts are cleaned, split and encoded as the public implementation does it."""

import pytest
import torch
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

from model_store.wan.architectures import TextEncoderConfig
from model_store.wan.checkpoint import EMBEDDING_AGAIN
from model_store.wan.names import checkpoint_names
from model_store.wan.text_encoder import PromptTokenizer, TextEncoder, clean_prompt, pad_text
from tests.engine.closeness import relative_error

PROMPTS = [
    "a red kettle turns slowly",
    "无线蓝牙降噪耳机，黑色，缓缓旋转",
    "  tabs\tand\nnew lines  ",
    "caf&amp;eacute; &lt;b&gt;",
    "â€œquotedâ€\x9d and schÃ¶n",
    "",
    "word " * 100,
]


def their_encoder(**sizes: int) -> UMT5EncoderModel:
    torch.manual_seed(0)
    defaults = {"vocab_size": 300, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    encoder = UMT5EncoderModel(UMT5Config(**{**defaults, **sizes}, initializer_factor=1.0)).eval()
    for name, parameter in encoder.named_parameters():
        if "relative_attention_bias" in name or "norm" in name:  # large enough that an error shows
            torch.nn.init.normal_(parameter, 1.0)
    return encoder


def ours_with_weights_of(theirs: UMT5EncoderModel) -> TextEncoder:
    ours = TextEncoder(TextEncoderConfig.from_transformers(theirs.config.to_dict())).eval()
    names = checkpoint_names(ours, "diffusers") | EMBEDDING_AGAIN
    ours.load_state_dict({names[name]: value for name, value in theirs.state_dict().items()})
    return ours


@pytest.mark.parametrize("prompt", PROMPTS)
def test_cleaning_equals_the_public_implementation(prompt):
    assert clean_prompt(prompt) == prompt_clean(prompt)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"num_layers": 5, "num_heads": 3, "d_kv": 16},
        {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 20},
    ],
)
@pytest.mark.parametrize("length", [1, 7, 40, 300])
def test_encoding_equals_the_public_implementation_with_padding(sizes, length):
    theirs = their_encoder(**sizes)
    ours = ours_with_weights_of(theirs)
    tokens = torch.randint(3, 300, (1, length), generator=torch.Generator().manual_seed(length))
    padded = torch.nn.functional.pad(tokens, (0, 512 - length))
    with torch.no_grad():
        expected = theirs(padded, (padded > 0).long()).last_hidden_state
        expected[:, length:] = 0
        actual = pad_text(ours(tokens), 512)
    assert relative_error(actual, expected) <= 1e-5


def test_bf16_stays_near_the_exact_encoding():
    ours = ours_with_weights_of(their_encoder())
    tokens = torch.randint(3, 300, (1, 30), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert relative_error(ours.bfloat16()(tokens), ours.float()(tokens)) <= 2e-2


def a_tokenizer_file(folder):
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocabulary += [
        (piece, -float(rank)) for rank, piece in enumerate("▁a ▁red kett le t u r n s ▁slow ly 耳 机 黑".split(), 1)
    ]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0)
    tokenizer.save_pretrained(folder)
    return tokenizer, folder / "tokenizer.json"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_tokens_equal_the_public_tokenizer(tmp_path, prompt):
    theirs, path = a_tokenizer_file(tmp_path)
    assert PromptTokenizer(path).tokens(prompt) == theirs(prompt_clean(prompt)).input_ids


def test_a_tokenizer_without_a_closing_token_is_refused(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="no token '</s>'"):
        PromptTokenizer(tmp_path / "tokenizer.json")


def test_another_text_encoder_is_refused():
    config = UMT5Config().to_dict()
    with pytest.raises(ValueError, match="model_type is 't5'"):
        TextEncoderConfig.from_transformers({**config, "model_type": "t5"})
    with pytest.raises(ValueError, match="feed_forward_proj is 'relu'"):
        TextEncoderConfig.from_transformers({**config, "feed_forward_proj": "relu"})


def test_the_published_encoder_has_the_published_size():
    with torch.device("meta"):
        encoder = TextEncoder(TextEncoderConfig.umt5_xxl())
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 5_680_910_336
