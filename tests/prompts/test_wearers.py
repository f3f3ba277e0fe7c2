"""Whom a thing is made for may be said in fields of its own, as feeds do; it shows in who wears it."""

from typing import Any

import pytest

from functions.derive_prompt.recognise.understanding import understand, visible_fields
from shared.events import Product


def audience(**fields: Any) -> str | None:
    product = Product.model_validate({"product_id": "w", "name": "Cardigan", "color": "grey", **fields})
    found = understand(visible_fields(product)).slots.audience
    return found.id if found is not None else None


@pytest.mark.parametrize(
    ("fields", "wearer"),
    [
        ({"gender": "female"}, "women"),
        ({"gender": "Male", "age_group": "adult"}, "men"),
        ({"gender": "male", "age_group": "kids"}, "child"),
        ({"age_group": "newborn"}, "baby"),
        ({"gender": "unisex", "age_group": "adult"}, None),
        ({"gender": ["male", "female"]}, None),
        ({"attributes": {"Gender": "female"}}, "women"),
        ({"attributes": [{"name": "Age Group", "options": ["toddler"]}]}, "child"),
        ({"specifications": {"适用性别": "男"}}, "men"),
        ({"name": "针织开衫", "attributes": {"适用人群": "儿童"}}, "child"),
        ({"attributes": {"size": "female"}}, None),
    ],
)
def test_fields_say_whom_it_is_for(fields: dict[str, Any], wearer: str | None) -> None:
    assert audience(**fields) == wearer
