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


EVERY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ValueError)]


def make(kind: type[errors.ModalinkError], text: str) -> Exception:
    if issubclass(kind, errors.UnknownNameError):
        return kind("name", text, [text, "b"], text)
    if issubclass(kind, errors.MissingExtraError):
        return kind(text, text, text)
    if issubclass(kind, errors.SampleError | errors.MediumError):
        return kind(text, "reason", f"{text}\nnext line")
    return kind(f"{text} and the remedy\nnext line")


@pytest.mark.parametrize("kind", EVERY)
def test_no_line_of_any_error_is_long(kind: type[errors.ModalinkError]) -> None:
    made = str(make(kind, "a" * 10**5))
    assert max(map(len, made.split("\n"))) < 1600
    if "remedy" in made:
        assert made.endswith("and the remedy\nnext line")


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_can_be_written_to_a_file(kind: type[errors.ModalinkError]) -> None:
    assert "\\ud800" in str(make(kind, "a\ud800b")).encode("utf-8").decode()
