"""A mapping file says what columns with names of their own are."""

from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.feeds import Columns, read_mapping
from tests.feeds.reading import read_text


def mapping(folder: Path, text: str) -> Columns:
    file = folder / "mapping.toml"
    file.write_text(text, encoding="utf-8")
    return read_mapping(file)


def test_columns_become_what_the_file_says(tmp_path: Path) -> None:
    columns = mapping(
        tmp_path,
        """
        ignored = ["Lager"]
        [fields]
        product_id = "Artikelnummer"
        name = ["Bezeichnung", "Kurztext"]
        color = "Farbe"
        attributes.pattern = "Muster"
        """,
    )
    read = read_text(
        "Lager;Artikelnummer;Bezeichnung;Kurztext;Farbe;Muster;Preis\n9;A1;;Krug;blau;kariert;3\n", columns
    )
    (jug,) = read.products
    assert (jug.product_id, jug.name, jug.color, jug.attributes) == ("A1", "Krug", ("blau",), {"pattern": ("kariert",)})
    assert [line.split(": ")[2][:14] for line in read.notes.told()] == ["Preis (1 row);"]


def test_a_mapped_column_comes_before_those_that_are_known(tmp_path: Path) -> None:
    columns = mapping(tmp_path, '[fields]\nname = "display"\ncolor = "details.tint"\n')
    read = read_text('{"id": 1, "title": "JG-1", "display": "Jug", "details": {"tint": "teal"}}', columns)
    assert (read.products[0].name, read.products[0].color, read.data[0]["title"]) == ("Jug", ("teal",), "JG-1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[fields\n", "cannot be read"),
        ('[fields]\ncolours = "x"\n', "no field colours"),
        ('[fields]\ncategry = "x"\n', "did you mean category?"),
        ("[fields]\nname = 3\n", "name: give a column's head, or a list of heads"),
        ('[felder]\nname = "x"\n', "felder: give a table [fields]"),
        ("fields = 3\n", "fields: give a table [fields]"),
    ],
)
def test_a_wrong_mapping_is_named(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        mapping(tmp_path, text)
    assert told in str(caught.value)
