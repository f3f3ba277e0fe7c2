"""Clips and models on this machine: `skureel demo`, `generate` and `models`."""

import sys
from pathlib import Path

import click

from functions.cli.frame import EXIT_FAILED, Command, Commands, read_settings
from functions.cli.printing import say, tell
from functions.cli.products_file import ProductsFile, mapping_option
from shared.bounds import LARGEST_GUIDANCE, LARGEST_SEED, MOST_FPS, MOST_FRAMES, MOST_STEPS, SIDE_MULTIPLE


def _timesteps(_: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...]:
    """Read whole numbers with commas between them."""
    try:
        return tuple(int(number) for number in text.split(",")) if text is not None else ()
    except ValueError:
        raise click.BadParameter(f"{text!r} are no timesteps; give e.g. 1000,757,522", param=option) from None


def _size(_: click.Context, option: click.Parameter, text: str | None) -> tuple[int | None, int | None]:
    """Read WIDTHxHEIGHT."""
    if text is None:
        return None, None
    width, cross, height = text.lower().partition("x")
    sides = [int(side) for side in (width, height) if side.isascii() and side.isdecimal() and len(side) <= 5]
    if not cross or len(sides) != 2 or not all(side and side % SIDE_MULTIPLE == 0 for side in sides):
        told = f"size {text!r} is not WIDTHxHEIGHT, multiples of {SIDE_MULTIPLE}, e.g. 640x480"
        raise click.BadParameter(told, param=option)
    return sides[0], sides[1]


@click.command(cls=Command, example="skureel demo --count 3")
@click.option("--products", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file as for publish.")
@mapping_option
@click.option("--count", type=click.IntRange(min=1), help="Take only the first so many.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out"), show_default=True)
@click.option("--yes", is_flag=True, help="Use the configured Kafka and bucket without asking.")
def demo(products: Path | None, mapping: Path | None, count: int | None, out: Path, yes: bool) -> None:
    """Run everything once: publish products, make their clips, write a page of them.

    Where SKUREEL_KAFKA__BOOTSTRAP_SERVERS or SKUREEL_OBJECTS__ENDPOINT name no server, an embedded one is started. The
    embedded store lies in OUT/store and is kept: a second run draws nothing that it holds. A configured Kafka gets
    topics and consumer groups of the demo's own (demo.*), which stay, and a configured bucket its clips. Before that it
    asks, unless --yes is given.
    """
    from functions.cli.demo import CATALOGUE, apart, embedded_alone, run_demo, servers, summary

    settings = apart(read_settings())
    # What goes well is on the page: whoever looks on is told this and shown the bar.
    tell(servers(settings, out))
    if not embedded_alone(settings) and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("what the demo makes would stay there; give --yes")
        click.confirm("What the demo makes will stay there. Go on?", abort=True, err=True)
    file = ProductsFile(products or CATALOGUE, mapping=mapping, image_hosts=settings.render.image_hosts)
    outcome = run_demo(settings, file, count, out)
    for line in summary(outcome):
        say(line)
    file.conclude("answered")
    if not outcome.everything_answered:
        raise SystemExit(EXIT_FAILED)


@click.command(cls=Command, example='skureel generate "a red ceramic mug on a white table" -o mug.mp4')
@click.argument("prompt")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The MP4 file.")
@click.option("--size", metavar="WxH", callback=_size, help=f"Multiples of {SIDE_MULTIPLE}; by default the model's.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Length; the nearest 4n+1 frames.")
@click.option("--frames", type=click.IntRange(1, MOST_FRAMES), help="Length in frames, 4n+1; instead of --seconds.")
@click.option("--fps", type=click.IntRange(1, MOST_FPS))
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), default=42, show_default=True)
@click.option("--steps", type=click.IntRange(1, MOST_STEPS), help="The model's own where not given.")
@click.option("--guidance", type=click.FloatRange(0, LARGEST_GUIDANCE))
@click.option("--negative-prompt", default="", help="What the clip should not look like.")
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="First frame of the clip.")
@click.option("--model", metavar="NAME_OR_FOLDER", help="A bundled model or a checkpoint's folder.")
@click.option("--any-size", is_flag=True, help="Draw at a size that the model was not made for, too.")
@click.option("--overwrite", is_flag=True, help="Replace a .jpg beside FILE that is not its poster.")
def generate(
    prompt: str,
    output: Path,
    size: tuple[int | None, int | None],
    seconds: float | None,
    frames: int | None,
    fps: int | None,
    seed: int,
    steps: int | None,
    guidance: float | None,
    negative_prompt: str,
    image: Path | None,
    model: str | None,
    any_size: bool,
    overwrite: bool,
) -> None:
    """Draw one clip from PROMPT, without Kafka or a store. The clip is labelled like every other."""
    from functions.cli.generate import generate_clip, read_image
    from functions.render_video.request import ClipRequest

    settings = read_settings()
    width, height = size
    request = ClipRequest.of(
        prompt=prompt,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        seconds=seconds,
        frames=frames,
        fps=fps,
        seed=seed,
        steps=steps,
        guidance=guidance,
        image=None if image is None else read_image(image, output),
        image_name=str(image or "image"),
        any_size=any_size,
    )
    for line in generate_clip(settings, request, model, output, overwrite=overwrite):
        tell(line)


@click.group(cls=Commands)
def models() -> None:
    """Models as verified folders."""


@models.command("import", example="skureel models import ./Wan2.2-TI2V-5B ./wan22 --licence Apache-2.0")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--name", help="By default the name of DEST.")
@click.option("--version", help="By default 1.")
@click.option("--licence", help="What the model's publisher says, e.g. Apache-2.0; by default unknown.")
@click.option("--timesteps", metavar="T,T...", callback=_timesteps, help="Those a distilled model was made for.")
def import_command(
    source: Path,
    destination: Path,
    name: str | None,
    version: str | None,
    licence: str | None,
    timesteps: tuple[int, ...],
) -> None:
    """Make the model DEST of the Wan2.2-TI2V checkpoint in SOURCE: either public layout, as published.

    Every tensor is checked before anything is written, and DEST appears when it is complete. Pickles become
    safetensors without running what they hold; safetensors files are linked where the disk allows it.
    """
    from functions.cli.progress import Progress
    from model_store.importing import import_model

    read_settings()
    with Progress("imported %", 100) as progress:
        manifest = import_model(
            source,
            destination,
            name=name,
            version=version,
            licence=licence,
            timesteps=timesteps,
            on_bytes=lambda done, total, file: progress.update(100 * done // max(total, 1), file),
        )
    say(f"model     {manifest.name} {manifest.revision[:12]}")
    say(f"files     {len(manifest.files)}, {sum(file.size_bytes for file in manifest.files) / 1e9:.1f} GB")
    say(f"use it    SKUREEL_MODEL__NAME={destination}")


COMMANDS = (demo, generate, models)
