"""`skureel schemas`: the committed documents of all events, written and compared with what the models say."""

from collections.abc import Iterator
from pathlib import Path

from shared import events
from shared.events.documents import render

DOCUMENTS = Path(events.__file__).parent / "documents"


def write(folder: Path = DOCUMENTS) -> list[Path]:
    """Write the documents; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, text in render().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        files.append(path)
    return files


def drift(folder: Path = DOCUMENTS) -> Iterator[str]:
    """Names of documents that differ from the models, are missing, or belong to no model."""
    rendered = render()
    for name, text in rendered.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield name
    yield from (path.name for path in folder.glob("*.json") if path.name not in rendered)
