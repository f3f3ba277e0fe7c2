"""Teach the text encoder its words before any picture: every token is to know what the whole caption asks for.

A denoiser alone takes very long to find the few words that matter: its loss hardly depends on them, and at first its
attention is spread over all positions, padding included. So linear heads read kind, colour, material, background and
motion from each token's embedding, for captions in both languages; the heads are thrown away.
"""

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import UMT5EncoderModel

from model_store.tiny.captions import Written, spoken
from model_store.tiny.scenes import BACKGROUNDS, COLOURS, MATERIALS, MOTIONS, draw_scene
from model_store.tiny.shapes import KINDS

CHOICES: dict[str, list[str]] = {
    "kind": list(KINDS),
    "colour": list(COLOURS),
    "material": list(MATERIALS),
    "background": list(BACKGROUNDS),
    "motion": list(MOTIONS),
}
LEFT_OPEN = -100
"""The label of a choice that a caption does not make; cross-entropy leaves it out."""


def draw_batch(rows: list[Written], count: int, generator: np.random.Generator) -> tuple[list[str], list[list[int]]]:
    """Captions, written ones or spoken ones, and the number of each of their choices."""
    texts, labels = [], []
    long = generator.random() < 0.45
    for _ in range(count):
        if long:
            row = rows[int(generator.integers(len(rows)))]
            said = [row.kind, row.colour, row.material, row.background, row.motion]
            texts.append(row.text)
        else:
            scene = draw_scene(int(generator.integers(2**31)))
            said = [scene.kind, scene.colour, None, scene.background, scene.motion]
            texts.append(spoken(scene, str(generator.choice(("zh", "en"))), generator))
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


def teach_words(
    encoder: UMT5EncoderModel, tokenizer: Tokenizer, rows: list[Written], *, steps: int = 1500, seed: int = 0
) -> dict[str, float]:
    """Train a float32 encoder in place; returns the share of tokens that knew each choice at the end."""
    torch.manual_seed(seed)
    encoder.shared.weight.data.normal_(0, 0.5)
    sizes = [len(choices) for choices in CHOICES.values()]
    heads = nn.Linear(encoder.config.d_model, sum(sizes))
    optimiser = torch.optim.AdamW([*encoder.parameters(), *heads.parameters()], lr=2e-3, weight_decay=0.01)
    right: dict[str, list[float]] = {name: [] for name in CHOICES}
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * max(0.03, 1 - step / steps)
        texts, labels = draw_batch(rows, 48, np.random.default_rng((seed, step)))
        tokens, lengths = tokenise(tokenizer, texts)
        mask = torch.arange(tokens.shape[1])[None] < torch.tensor(lengths)[:, None]
        known = heads(encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state)[mask]
        truth = torch.tensor(labels)[:, None].expand(-1, tokens.shape[1], -1)[mask]
        loss = torch.zeros(())
        for index, (name, guess) in enumerate(zip(CHOICES, known.split(sizes, dim=-1), strict=True)):
            said = truth[:, index] != LEFT_OPEN
            if said.any():
                loss = loss + nn.functional.cross_entropy(guess, truth[:, index], ignore_index=LEFT_OPEN)
                right[name].append(float((guess.argmax(-1) == truth[:, index])[said].float().mean()))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
    return {name: float(np.mean(shares[-30:])) for name, shares in right.items()}
