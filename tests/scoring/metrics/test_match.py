"""Strict and relaxed equality."""

import pytest

from modalink.scoring.metrics.match import caseless, exact, relaxed


@pytest.mark.parametrize(
    ("reply", "gold", "right"),
    [
        ("105", "100", True),
        ("105.1", "100", False),
        ("-95", "-100", True),
        ("5%", "0.05", True),
        ("5%", "5", False),
        ("0", "0", True),
        ("0.0", "0", False),
        ("Blue", "blue", True),
        ("blue", "100", False),
        ("nan", "1", False),
        ("", "", True),
    ],
)
def test_relaxed(reply: str, gold: str, right: bool) -> None:
    assert relaxed(reply, gold) is right


def test_exact_sees_case_and_space() -> None:
    assert exact("Cat", "Cat") and not exact("cat ", "cat")
    assert caseless(" CAT ", "cat")
