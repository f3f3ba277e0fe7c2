"""Teach the text encoder its words before any picture: every token is to know what the whole caption asks for.

A denoiser alone takes very long to find the few words that matter: its loss hardly depends on them, and at first its
attention is spread over all positions, padding included. So linear heads read kind, colour, material, background and
motion from each token's embedding, for captions in both languages; the heads are thrown away.
"""

from collections.abc import Mapping

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import UMT5EncoderModel

from model_store.tiny.captions import MATERIAL_WORDS, Written, spoken
from model_store.tiny.scenes import BACKGROUNDS, COLOURS, MATERIALS, MOTIONS, draw_scene
from model_store.tiny.shapes import KINDS
from model_store.tiny.training import Budget

CHOICES: dict[str, list[str]] = {
    "kind": list(KINDS),
    "colour": list(COLOURS),
    "material": list(MATERIALS),
    "background": list(BACKGROUNDS),
    "motion": list(MOTIONS),
}
LEFT_OPEN = -100
"""The label of a choice that a caption does not make; cross-entropy leaves it out."""


LANGUAGES = ("zh", "en")


def draw_batch(
    rows: list[Written],
    count: int,
    generator: np.random.Generator,
    *,
    long: bool,
    languages: tuple[str, ...] = LANGUAGES,
) -> tuple[list[str], list[list[int]]]:
    """Captions, long ones as written or short ones as spoken, and the number of each of their choices."""
    texts, labels = [], []
    for _ in range(count):
        if long:
            row = rows[int(generator.integers(len(rows)))]
            said = [row.kind, row.colour, row.material, row.background, row.motion]
            texts.append(row.text)
        else:
            scene = draw_scene(int(generator.integers(2**31)))
            language = str(generator.choice(languages))
            text = spoken(scene, language, generator)
            named = any(word in text for word in MATERIAL_WORDS[scene.material][LANGUAGES.index(language)])
            said = [scene.kind, scene.colour, scene.material if named else None, scene.background, scene.motion]
            texts.append(text)
        labels.append(
            [
                LEFT_OPEN if word is None else choices.index(word)
                for word, choices in zip(said, CHOICES.values(), strict=True)
            ]
        )
    return texts, labels


def tokenise(tokenizer: Tokenizer, captions: list[str]) -> tuple[Tensor, list[int]]:
    """Token ids [B, T], zero behind each prompt, and the prompts' true lengths, closing token included."""
    rows = [tokenizer.encode(caption).ids for caption in captions]
    lengths = [len(row) for row in rows]
    tokens = torch.zeros(len(rows), max(lengths), dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = torch.tensor(row)
    return tokens, lengths


def load_words(encoder: UMT5EncoderModel, words: Mapping[str, Tensor]) -> None:
    """Give an encoder all its weights; the embedding goes by two names and is stored under one."""
    encoder.load_state_dict({**words, "encoder.embed_tokens.weight": words["shared.weight"]})


def teach_words(
    encoder: UMT5EncoderModel, tokenizer: Tokenizer, rows: list[Written], budget: Budget
) -> dict[str, float]:
    """Train a float32 encoder in place; returns the share of tokens that know each choice, by language, afterwards."""
    torch.manual_seed(0)
    reader = Reader(encoder, tokenizer)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=budget.learning_rate, weight_decay=0.01)
    for step in range(budget.steps):
        for group in optimiser.param_groups:
            group["lr"] = budget.learning_rate * min(1.0, (step + 1) / 50) * max(0.03, 1 - step / budget.steps)
        generator = np.random.default_rng((0, step))
        long = bool(generator.random() < 0.4)
        texts, labels = draw_batch(rows, 24 if long else 64, generator, long=long)
        guesses, truth = reader(texts, labels)
        loss = torch.stack(
            [
                nn.functional.cross_entropy(guess, truth[:, index], ignore_index=LEFT_OPEN)
                for index, guess in enumerate(guesses)
                if (truth[:, index] != LEFT_OPEN).any()
            ]
        ).sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimiser.step()
    return reader.examine(rows, np.random.default_rng((0, budget.steps)))


class Reader(nn.Module):
    """A text encoder with a linear head a choice on every token."""

    def __init__(self, encoder: UMT5EncoderModel, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.encoder, self.tokenizer = encoder, tokenizer
        self.heads = nn.ModuleList(nn.Linear(encoder.config.d_model, len(choices)) for choices in CHOICES.values())

    def forward(self, texts: list[str], labels: list[list[int]]) -> tuple[list[Tensor], Tensor]:
        """Scores [N, options] of each choice and the truth [N, choices], of all N tokens that are not padding."""
        tokens, lengths = tokenise(self.tokenizer, texts)
        mask = torch.arange(tokens.shape[1])[None] < torch.tensor(lengths)[:, None]
        known = self.encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state[mask]
        truth = torch.tensor(labels)[:, None].expand(-1, tokens.shape[1], -1)[mask]
        return [head(known) for head in self.heads], truth

    @torch.no_grad()
    def examine(self, rows: list[Written], generator: np.random.Generator) -> dict[str, float]:
        """The share of tokens that know each choice, in fresh captions of each sort."""
        shares = {}
        for sort, long, languages in (("zh", False, ("zh",)), ("en", False, ("en",)), ("written", True, LANGUAGES)):
            guesses, truth = self(*draw_batch(rows, 300, generator, long=long, languages=languages))
            for index, name in enumerate(CHOICES):
                said = truth[:, index] != LEFT_OPEN
                shares[f"{sort} {name}"] = float((guesses[index].argmax(-1) == truth[:, index])[said].float().mean())
        return shares
