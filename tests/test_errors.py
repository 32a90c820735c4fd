"""Errors stay short, whatever they speak of."""

import pytest

from modalink import errors


@pytest.mark.parametrize(
    "value", ["x" * 10**6, "\n" * 10**5, b"x" * 10**6, 10**4000, [["x" * 99] * 99] * 99, {"k" * 999: "v" * 999}, "\ud800" * 999]
)  # fmt: skip
def test_a_value_is_shown_in_a_few_characters(value: object) -> None:
    assert len(errors.shown(value)) <= 100
    assert "\n" not in errors.shown(value)


def test_small_values_are_shown_as_they_are() -> None:
    assert [errors.shown(value) for value in (None, 3, "a", [1, "b"], {"k": 0.5})] == [
        "nothing", "3", "'a'", "[1, 'b']", "{'k': 0.5}"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ValueError)]
)
def test_no_line_of_any_error_is_long(kind: type[errors.ModalinkError]) -> None:
    long = "a" * 10**5
    made: Exception
    if issubclass(kind, errors.UnknownNameError):
        made = kind("name", long, [long, "b"], long)
    elif issubclass(kind, errors.MissingExtraError):
        made = kind(long, long, long)
    elif issubclass(kind, errors.SampleError | errors.MediumError):
        made = kind(long, "reason", f"{long}\nnext line")
    else:
        made = kind(f"{long} and the remedy\nnext line")
        assert str(made).endswith("and the remedy\nnext line")
    assert max(map(len, str(made).split("\n"))) < 1600
