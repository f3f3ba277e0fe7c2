"""`skureel derive`: what would be filmed of products, and why. Sends nothing, and needs no Kafka; nor a store or torch,
but where a reader does."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from functions.cli.comparing import compared, side_by_side, word
from functions.cli.frame import Command, read_settings
from functions.cli.printing import say
from functions.cli.products_file import ProductsFile, mapping_option
from shared.errors import ConfigurationError
from shared.events import Product
from shared.printable import json_line
from shared.settings import Settings

if TYPE_CHECKING:
    from functions.derive_prompt.reader.reading import Reader
    from functions.derive_prompt.spec import SpecMaker


@click.command(cls=Command, example="skureel derive products.jsonl --explain")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--explain", is_flag=True, help="Say it in a few lines for people, not as JSON.")
@click.option("--reader", is_flag=True, help="Have the reader of SKUREEL_READER__* read each product, too.")
@mapping_option
def derive(file: Path, explain: bool, reader: bool, mapping: Path | None) -> None:
    """Say what would be filmed of each product of FILE, one JSON object a line, and send nothing.

    FILE is as for publish, and so is the order. Words are in the language of the prompt. A clip that starts from a
    photo has no video_id here, for the photo is not looked at.

    With --reader every line tells, side by side, what the rules see and what the reader sees, and what of its answer is
    refused. The rest is as derive_prompt would have it. Answers are kept where a store is set, as derive_prompt does.
    """
    settings = read_settings()
    hosts = settings.render.image_hosts
    products = ProductsFile(file, mapping=mapping, stdin=sys.stdin.buffer, image_hosts=hosts)
    for account in _accounts(products, settings, with_reader=reader):
        if not explain:
            click.echo(json_line(json.dumps(account, ensure_ascii=False)))
            continue
        for line in _explained(account):
            say(line)
    products.conclude("derived")


def _accounts(products: ProductsFile, settings: Settings, *, with_reader: bool) -> Iterator[dict[str, Any]]:
    from functions.derive_prompt import SpecMaker
    from model_store.manifest import model_folder, read_manifest

    specs = SpecMaker(settings, read_manifest(model_folder(settings.model.name)))
    reader = _reader(settings) if with_reader else None
    for line in products.events("/skureel/derive"):
        yield _account(line.event.data, specs, reader)


def _reader(settings: Settings) -> "Reader":
    from functions.derive_prompt.reader.reading import reader_of
    from shared.objects import ObjectStore

    reader = reader_of(settings.reader, ObjectStore(settings.objects) if settings.objects.endpoint else None)
    if reader is None:
        raise ConfigurationError("no reader is set; name one in SKUREEL_READER__ENDPOINT or SKUREEL_READER__MODEL")
    reader.start()
    return reader


def _account(product: Product, specs: "SpecMaker", reader: "Reader | None") -> dict[str, Any]:
    from functions.derive_prompt.recognise.understanding import visible_fields
    from functions.derive_prompt.refusals import licence_wanted, prohibited
    from functions.derive_prompt.screening import licensed, screen

    screened = screen(product)
    if screened:
        return _told(product, "rejected", reasons=[prohibited(finding) for finding in screened])
    fields = visible_fields(product)
    answer, both = None, dict[str, Any]()
    if reader is not None:
        answer, both = compared(fields, reader)
    if product.image:
        scene, spec = specs.scene(fields, from_photo=True, answer=answer), None
    else:
        scene, spec = specs.derive(fields, answer=answer)
    looked_at = [licence_wanted(finding) for finding in licensed(product)] if scene.caption else []
    return _told(
        product,
        "requested" if scene.caption else "rejected",
        reasons=[*scene.reasons, *looked_at],
        video_id=spec.video_id if spec else None,
        **_scene(scene),
        **both,
    )


def _scene(scene: Any) -> dict[str, Any]:
    understood, caption = scene.understood, scene.caption
    slots = understood.slots if caption is None else caption.slots
    language = slots.locale
    looks = [look for section in slots.looks for look in section]
    return {
        "kind": word(understood.slots.kind, language) if understood.problem is None else None,
        "family": slots.template,
        "colours": [word(slots.colour, language)] if slots.colour else [],
        "materials": [word(slots.material, language)] if slots.material else [],
        "looks": [word(look, language) for look in looks],
        "audience": word(slots.audience, language),
        "confidence": understood.choice.confidence,
        "evidence": [{**said._asdict(), "role": said.role.value} for said in understood.choice.evidence],
        "prompt": caption.prompt if caption else None,
        "negative_prompt": caption.negative_prompt if caption else None,
    }


def _told(product: Product, outcome: str, *, reasons: Any, **told: Any) -> dict[str, Any]:
    return {
        "product_id": product.product_id,
        "outcome": outcome,
        "kind": None,
        "family": None,
        "colours": [],
        "materials": [],
        "looks": [],
        "audience": None,
        "confidence": None,
        "evidence": [],
        "prompt": None,
        "negative_prompt": None,
        "video_id": None,
        "reasons": [reason.model_dump(exclude_none=True) for reason in reasons],
        **told,
    }


def _explained(account: dict[str, Any]) -> Iterator[str]:
    yield f"{account['product_id']}  {account['outcome']}"
    if account["prompt"] is not None:
        kind = account["kind"] or "not known, so nothing is called by a name"
        yield f"  thing     {kind} ({account['family']}), sure to {account['confidence']:.2f}"
        seen = [*account["colours"], *account["materials"], *account["looks"]]
        if account["audience"]:
            seen.append(account["audience"])
        yield f"  seen      {', '.join(seen) or 'nothing else'}"
    for said in account["evidence"]:
        yield f"  {said['field']:<9} {said['word']} as {said['kind']} ({said['role']}, {said['weight']:.2f})"
    if account["prompt"] is not None:
        yield f"  prompt    {account['prompt']}"
        yield f"  video     {account['video_id'] or 'starts from its photo, which is not looked at here'}"
    for reason in account["reasons"]:
        yield f"  {reason['code']}: {reason['message']}"
    if "reader" in account:
        yield from side_by_side(account)


COMMANDS = (derive,)
