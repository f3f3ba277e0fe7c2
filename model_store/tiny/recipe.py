"""From nothing to a checkpoint: `python -m model_store.tiny.recipe --work FOLDER --captions FILE`.

Each stage leaves files in the work folder and is skipped or continued when these are there, so the same command goes on
where it was stopped, and another one needs another folder. With `--start` the networks go on from those of a finished
checkpoint; its tokenizer and its encoder of pictures stay. A larger machine is used by larger budgets and `--device`;
nothing else changes.
"""

import argparse
import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import UMT5EncoderModel

from model_store.tiny.captions import NEGATIVE_PROMPT, Written, read_rows, spoken
from model_store.tiny.clips import draw_group
from model_store.tiny.curves import plot_curves
from model_store.tiny.export import export, refuse_what_is_no_model
from model_store.tiny.latents import FIRST_GROUP, FIRST_STILLS, captions_by_scene, encode_group, read_latents
from model_store.tiny.scenes import draw_scene
from model_store.tiny.tokens import train_tokenizer
from model_store.tiny.train_denoiser import Batches, text_config, train_denoiser
from model_store.tiny.train_text import load_words, teach_words
from model_store.tiny.train_vae import train_vae, vae_config
from model_store.tiny.training import Budget, load_state, save_state
from model_store.wan.checkpoint import Checkpoint
from model_store.wan.vae import VAE
from shared.errors import ConfigurationError

logger = logging.getLogger(__name__)

SPOKEN_FOR_TOKENS = 12_000


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
    vae_steps: int
    refine_steps: int
    word_steps: int
    steps: int
    vae_scale: int
    pictures: int
    clips: int


@dataclass(frozen=True)
class Taught:
    """All that a finished checkpoint knows."""

    vae: dict[str, Tensor]
    mean: Tensor  # [z, 1, 1, 1]
    std: Tensor
    tokenizer: Tokenizer
    words: dict[str, Tensor]
    denoiser: dict[str, Tensor]


def make(plan: Plan) -> None:
    """Run every stage in order."""
    refuse_what_is_no_model(plan.checkpoint)
    claim(plan)
    rows = read_rows(plan.captions)
    start = None if plan.start is None else read_taught(plan.start)
    vae = teach_vae(plan, None if start is None else start.vae)
    logger.info("drawing and encoding pictures and clips")
    encode_all(plan, vae, rows)
    mean, std = latent_statistics(plan.work) if start is None else (start.mean, start.std)

    logger.info("teaching the words")
    tokenizer = make_tokenizer(plan.work / "tokenizer.json", rows) if start is None else start.tokenizer
    words = make_words(plan, tokenizer, rows, None if start is None else start.words)
    logger.info("teaching the denoiser")
    train_denoiser(
        plan.work / "latents",
        plan.work / "denoiser",
        tokenizer,
        mean,
        std,
        Budget(plan.steps, learning_rate=2.5e-3 if start is None else 1.5e-3),
        Batches(plan.pictures, plan.clips, moving=(0.4, 0.8)),
        words,
        device=plan.device,
        start=None if start is None else start.denoiser,
    )
    manifest = export(
        plan.checkpoint,
        version=plan.version,
        vae_state=vae,
        mean=mean,
        std=std,
        denoiser_state=load_state(plan.work / "denoiser" / "average.pt"),
        words=words,
        tokenizer=tokenizer,
    )
    plot_curves(plan.work, plan.checkpoint.parent / "training.png")
    logger.info("%s: revision %s", plan.checkpoint, manifest.revision)


def claim(plan: Plan) -> None:
    """Note in the work folder what it is for. Raises ConfigurationError where it was begun for something else."""
    with plan.captions.open("rb") as captions:
        digest = hashlib.file_digest(captions, "sha256").hexdigest()
    elsewhere = {"work", "checkpoint", "version", "device"}  # what may change on the way
    asked = {name: str(value) for name, value in asdict(plan).items() if name not in elsewhere} | {"captions": digest}
    path = plan.work / "plan.json"
    if not path.exists():
        write_whole(path, json.dumps(asked, indent=1))
    begun = json.loads(path.read_text(encoding="utf-8"))
    if begun != asked:
        differing = ", ".join(name for name in asked if begun.get(name) != asked[name])
        raise ConfigurationError(
            f"{plan.work} was begun with other {differing}; name another work folder, or delete it"
        )


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def teach_vae(plan: Plan, start: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """The autoencoder, from nothing unless there is one already, and then its decoder alone."""
    logger.info("drawing %d groups of clips", plan.vae_groups)
    clips = plan.work / "clips"
    for group in range(plan.vae_groups):
        draw_group(group, clips)
    if start is None:
        logger.info("teaching the autoencoder")
        budget = Budget(plan.vae_steps, learning_rate=3e-3)
        train_vae(clips, plan.work / "vae", budget, scale=plan.vae_scale, device=plan.device)
        start = load_state(plan.work / "vae" / "average.pt")
    logger.info("refining the decoder")
    budget = Budget(plan.refine_steps, learning_rate=1.5e-3)
    train_vae(clips, plan.work / "vae-refined", budget, scale=plan.vae_scale, device=plan.device, start=start)
    refined: dict[str, Tensor] = load_state(plan.work / "vae-refined" / "average.pt")
    return refined


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


def encode_all(plan: Plan, vae_state: dict[str, Tensor], rows: list[Written]) -> None:
    """The groups of latents that are not there yet."""
    vae = VAE(vae_config())
    vae.load_state_dict(vae_state)
    vae = vae.eval().to(torch.bfloat16).innermost_channels_()
    fitting = captions_by_scene(rows)
    for first, count in ((FIRST_STILLS, plan.still_groups), (FIRST_GROUP, plan.clip_groups)):
        for group in range(first, first + count):
            encode_group(group, plan.work / "latents", vae, fitting)


def latent_statistics(work: Path) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each latent channel over the clips, each [z, 1, 1, 1]; measured once, then kept."""
    path = work / "statistics.pt"
    if not path.exists():
        clips = [clip.latents for clip in read_latents(work / "latents") if clip.latents.shape[1] > 1]
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
        write_whole(path, train_tokenizer([*texts, NEGATIVE_PROMPT]).to_str(pretty=True))
    return Tokenizer.from_file(str(path))


def make_words(
    plan: Plan, tokenizer: Tokenizer, rows: list[Written], start: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """The text encoder, taught its words, from nothing or from earlier ones; trained once, then kept."""
    path = plan.work / "words.pt"
    if not path.exists():
        torch.manual_seed(0)
        encoder = UMT5EncoderModel(text_config(tokenizer.get_vocab_size()))
        encoder.shared.weight.data.normal_(0, 0.5)
        if start is not None:
            load_words(encoder, start)
        # A denoiser reads the earlier ones already, so they are to stay nearly where they are.
        budget = Budget(plan.word_steps, learning_rate=2e-3 if start is None else 5e-4)
        known = teach_words(encoder, tokenizer, rows, budget)
        logger.info("share of tokens that know each choice: %s", known)
        save_state(path, {name: weight.detach() for name, weight in encoder.named_parameters()})
    taught: dict[str, Tensor] = load_state(path)
    return taught


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main() -> None:
    """Parse the command line and make the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of all intermediate files")
    parser.add_argument("--captions", type=Path, required=True, help="made by `python -m functions.cli.write_captions`")
    parser.add_argument("--checkpoint", type=Path, default=Path("build/tiny-checkpoint"))
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from")
    parser.add_argument("--version", default="5")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--vae-groups", type=at_least_one, default=51, help="of 6 clips each")
    parser.add_argument("--clip-groups", type=at_least_one, default=187, help="of 12 clips each, for the denoiser")
    parser.add_argument("--still-groups", type=at_least_one, default=408, help="of 24 pictures each, for the denoiser")
    parser.add_argument("--vae-steps", type=at_least_one, default=2_600)
    parser.add_argument("--refine-steps", type=at_least_one, default=2_000, help="of the decoder alone")
    parser.add_argument("--word-steps", type=at_least_one, default=4_000, help="of the text encoder")
    parser.add_argument("--steps", type=at_least_one, default=16_000, help="of the denoiser")
    parser.add_argument(
        "--vae-scale", type=at_least_one, default=1, help="times the autoencoder's batch; 8 or more on a GPU"
    )
    parser.add_argument("--pictures", type=at_least_one, default=48, help="in a batch of pictures")
    parser.add_argument("--clips", type=at_least_one, default=6, help="in a batch of clips")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    make(Plan(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
