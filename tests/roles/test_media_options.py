"""What a request says of its media: read as people write it, or refused by name."""

import pytest

from modalink.errors import GenerationError
from modalink.roles import MediaOptions


@pytest.mark.parametrize(
    ("given", "size"),
    [(64, (64, 64)), ("64", (64, 64)), ("96x64", (64, 96)), ((64, 96), (64, 96)), ([64, 96], (64, 96)), (None, None)],
)
def test_a_size_is_a_side_a_text_or_a_pair(given, size):
    assert MediaOptions.checked(size=given).size == size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 0), ("size", -8), ("size", "64 by 64"), ("size", "64x"), ("size", (64,)), ("size", (8, 8, 8)),
        ("size", (8, float("nan"))), ("size", 10**6), ("size", "9" * 5000), ("size", True), ("size", 8.5),
        ("seconds", 0), ("seconds", -1), ("seconds", float("nan")), ("seconds", float("inf")), ("seconds", 1e9),
        ("frames", 0), ("frames", 10**6), ("frames", 10**30), ("frames", 1.5), ("frames", "many"),
        ("steps", 0), ("steps", 10**6), ("guidance", -0.1), ("guidance", float("nan")), ("guidance", 1e300),
    ],
)  # fmt: skip
def test_what_no_medium_can_be_is_refused_by_name(name, value):
    with pytest.raises(GenerationError, match=f"^{name}: found ") as refused:
        MediaOptions.checked(**{name: value})
    assert len(str(refused.value)) < 300


def test_the_schema_for_editors_knows_all_three_ways_to_write_a_size():
    kinds = MediaOptions.model_json_schema()["properties"]["size"]["anyOf"]
    assert {option["type"] for option in kinds} == {"integer", "string", "array", "null"}
