"""From nothing to a checkpoint: `python -m model_store.tiny.recipe --work FOLDER --captions FILE`.

Each stage leaves files in the work folder and is skipped or continued when these are there, so the same command goes on
where it was stopped. With `--start` a finished checkpoint stands for the stages before the decoder's refinement and the
large clips, and only its text encoder is taught the captions anew. A larger machine is used by larger budgets and
`--device`; nothing else changes.
"""

import argparse
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import UMT5EncoderModel

from model_store.tiny.captions import NEGATIVE_PROMPT, Written, read_rows, spoken
from model_store.tiny.clips import LARGE, SMALL, Size, draw_group
from model_store.tiny.curves import plot_curves
from model_store.tiny.export import export
from model_store.tiny.latents import FIRST_GROUP, FIRST_STILLS, captions_by_scene, encode_group, read_latents
from model_store.tiny.scenes import draw_scene
from model_store.tiny.tokens import train_tokenizer
from model_store.tiny.train_denoiser import Batches, text_config, train_denoiser
from model_store.tiny.train_text import teach_words
from model_store.tiny.train_vae import train_vae, vae_config
from model_store.tiny.training import Budget, load_state, save_state
from model_store.wan.checkpoint import Checkpoint
from model_store.wan.vae import VAE

logger = logging.getLogger(__name__)

SPOKEN_FOR_TOKENS = 12_000

LARGE_GROUPS = 5_000
"""Added to a group's number for the large size, so that the denoiser meets other shapes there."""


@dataclass(frozen=True)
class Plan:
    """Where, from what, and how much of everything; budgets are steps."""

    work: Path
    captions: Path
    checkpoint: Path
    start: Path | None
    version: str
    device: str
    vae_groups: int
    clip_groups: int
    still_groups: int
    large_clip_groups: int
    large_still_groups: int
    vae_steps: int
    refine_steps: int
    small_steps: int
    large_steps: int
    vae_scale: int
    pictures: int
    clips: int


@dataclass(frozen=True)
class Taught:
    """All that the last stages go on from: the decoder's refinement, and the denoiser's learning at the large size."""

    vae: dict[str, Tensor]
    mean: Tensor  # [z, 1, 1, 1]
    std: Tensor
    tokenizer: Tokenizer
    words: dict[str, Tensor]
    denoiser: dict[str, Tensor]


def make(plan: Plan) -> None:
    """Run every stage in order."""
    rows = read_rows(plan.captions)
    logger.info("drawing %d groups of clips", plan.vae_groups)
    for group in range(plan.vae_groups):
        draw_group(group, plan.work / "clips")
    taught = teach_from_nothing(plan, rows) if plan.start is None else go_on_from(plan.start, plan, rows)

    logger.info("refining the decoder")
    train_vae(
        plan.work / "clips",
        plan.work / "vae-refined",
        Budget(plan.refine_steps, learning_rate=1.5e-3),
        scale=plan.vae_scale,
        device=plan.device,
        start=taught.vae,
    )
    vae = load_state(plan.work / "vae-refined" / "average.pt")

    logger.info("drawing and encoding large clips, and teaching the denoiser on them")
    first_clips, first_stills = FIRST_GROUP + LARGE_GROUPS, FIRST_STILLS + LARGE_GROUPS
    groups = [
        *range(first_stills, first_stills + plan.large_still_groups),
        *range(first_clips, first_clips + plan.large_clip_groups),
    ]
    encode_all(groups, plan.work / "latents-large", LARGE, vae, rows)
    train_denoiser(
        plan.work / "latents-large",
        plan.work / "denoiser-large",
        taught.tokenizer,
        taught.mean,
        taught.std,
        Budget(plan.large_steps, learning_rate=1.5e-3),
        Batches(plan.pictures, plan.clips * 3 // 4, moving=(0.5, 0.8)),
        taught.words,
        device=plan.device,
        start=taught.denoiser,
    )
    manifest = export(
        plan.checkpoint,
        version=plan.version,
        vae_state=vae,
        mean=taught.mean,
        std=taught.std,
        denoiser_state=load_state(plan.work / "denoiser-large" / "average.pt"),
        words=taught.words,
        tokenizer=taught.tokenizer,
    )
    plot_curves(plan.work, plan.checkpoint.parent / "training.png")
    logger.info("%s: revision %s", plan.checkpoint, manifest.revision)


def teach_from_nothing(plan: Plan, rows: list[Written]) -> Taught:
    """The autoencoder, then the text encoder, then the denoiser on small clips."""
    logger.info("teaching the autoencoder")
    train_vae(
        plan.work / "clips",
        plan.work / "vae",
        Budget(plan.vae_steps, learning_rate=3e-3),
        scale=plan.vae_scale,
        device=plan.device,
    )
    vae = load_state(plan.work / "vae" / "average.pt")

    logger.info("drawing and encoding small clips, and teaching the words, then the denoiser")
    groups = [
        *range(FIRST_STILLS, FIRST_STILLS + plan.still_groups),
        *range(FIRST_GROUP, FIRST_GROUP + plan.clip_groups),
    ]
    encode_all(groups, plan.work / "latents-small", SMALL, vae, rows)
    mean, std = latent_statistics(plan.work)
    tokenizer = make_tokenizer(plan.work / "tokenizer.json", rows)
    words = make_words(plan.work / "words.pt", tokenizer, rows)
    train_denoiser(
        plan.work / "latents-small",
        plan.work / "denoiser-small",
        tokenizer,
        mean,
        std,
        Budget(plan.small_steps, learning_rate=2.5e-3),
        Batches(plan.pictures, plan.clips, moving=(0.3, 0.5)),
        words,
        device=plan.device,
    )
    denoiser = load_state(plan.work / "denoiser-small" / "average.pt")
    return Taught(vae, mean, std, tokenizer, words, denoiser)


def go_on_from(start: Path, plan: Plan, rows: list[Written]) -> Taught:
    """What a finished checkpoint knows; its text encoder is taught the captions of today."""
    taught = read_taught(start)
    logger.info("going on from %s, and teaching it today's words", start)
    return replace(taught, words=make_words(plan.work / "words.pt", taught.tokenizer, rows, taught.words))


def read_taught(folder: Path) -> Taught:
    """What a finished checkpoint knows."""
    checkpoint, cpu = Checkpoint.open(folder), torch.device("cpu")
    mean, std = (
        torch.tensor(values).view(-1, 1, 1, 1)
        for values in (checkpoint.vae_config.latents_mean, checkpoint.vae_config.latents_std)
    )
    return Taught(
        checkpoint.load_vae(cpu, torch.float32).state_dict(),
        mean,
        std,
        Tokenizer.from_file(str(checkpoint.tokenizer_path)),
        load_file(folder / "text_encoder" / "model.safetensors"),
        checkpoint.load_denoiser(cpu, torch.float32).state_dict(),
    )


def encode_all(groups: list[int], folder: Path, size: Size, vae_state: dict[str, Tensor], rows: list[Written]) -> None:
    """Those groups of latents that are not there yet."""
    vae = VAE(vae_config())
    vae.load_state_dict(vae_state)
    vae = vae.eval().to(torch.bfloat16).innermost_channels_()
    fitting = captions_by_scene(rows)
    for group in groups:
        encode_group(group, folder, vae, fitting, size)


def latent_statistics(work: Path) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each latent channel over the clips, each [z, 1, 1, 1]; measured once, then kept."""
    path = work / "statistics.pt"
    if not path.exists():
        clips = [clip.latents for clip in read_latents(work / "latents-small", set()) if clip.latents.shape[1] > 1]
        latents = torch.stack(clips).float()
        save_state(path, {"mean": latents.mean((0, 2, 3, 4)), "std": latents.std((0, 2, 3, 4))})
    kept = load_state(path)
    return kept["mean"].view(-1, 1, 1, 1), kept["std"].view(-1, 1, 1, 1)


def make_tokenizer(path: Path, rows: list[Written]) -> Tokenizer:
    """The tokenizer of written and spoken captions; trained once, then kept."""
    if not path.exists():
        generator = np.random.default_rng(0)
        texts = [row.text for row in rows]
        texts += [spoken(draw_scene(seed), ("zh", "en")[seed % 2], generator) for seed in range(SPOKEN_FOR_TOKENS)]
        train_tokenizer([*texts, NEGATIVE_PROMPT]).save(str(path))
    return Tokenizer.from_file(str(path))


def make_words(
    path: Path, tokenizer: Tokenizer, rows: list[Written], start: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The text encoder, taught its words, from nothing or from earlier ones; trained once, then kept."""
    if not path.exists():
        torch.manual_seed(0)
        encoder = UMT5EncoderModel(text_config(tokenizer.get_vocab_size()))
        encoder.shared.weight.data.normal_(0, 0.5)
        if start is not None:
            encoder.load_state_dict(start, strict=False)  # the embedding is known by two names
        # A denoiser reads the earlier ones already, so they are to stay nearly where they are.
        budget = Budget(4_000, learning_rate=2e-3) if start is None else Budget(2_000, learning_rate=5e-4)
        known = teach_words(encoder, tokenizer, rows, budget)
        logger.info("share of tokens that know each choice: %s", known)
        save_state(path, {name: weight.detach() for name, weight in encoder.named_parameters()})
    taught: dict[str, Tensor] = load_state(path)
    return taught


def main() -> None:
    """Parse the command line and make the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of all intermediate files")
    parser.add_argument("--captions", type=Path, required=True, help="made by `python -m tests.tiny.write_captions`")
    parser.add_argument("--checkpoint", type=Path, default=Path("build/tiny-checkpoint"))
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from: only the last stages are taught")
    parser.add_argument("--version", default="4")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--vae-groups", type=int, default=51, help="of 6 clips each")
    parser.add_argument("--clip-groups", type=int, default=182, help="of 12 clips each, for the denoiser")
    parser.add_argument("--still-groups", type=int, default=248, help="of 24 pictures each, for the denoiser")
    parser.add_argument("--large-clip-groups", type=int, default=187)
    parser.add_argument("--large-still-groups", type=int, default=204)
    parser.add_argument("--vae-steps", type=int, default=2_600)
    parser.add_argument("--refine-steps", type=int, default=2_000, help="of the decoder alone")
    parser.add_argument("--small-steps", type=int, default=13_900, help="of the denoiser on small clips")
    parser.add_argument("--large-steps", type=int, default=9_500, help="of the denoiser on large clips")
    parser.add_argument("--vae-scale", type=int, default=1, help="times the autoencoder's batch; 8 or more on a GPU")
    parser.add_argument("--pictures", type=int, default=48, help="in a batch of small pictures")
    parser.add_argument("--clips", type=int, default=8, help="in a batch of small clips")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    make(Plan(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
