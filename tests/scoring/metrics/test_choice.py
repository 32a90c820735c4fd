"""Which option a reply chose."""

import pytest

from modalink.scoring.metrics.choice import by_letter, by_text, choose, science_qa

CHOICES = {"A": "a red car", "B": "Two boats", "C": "nothing"}


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("B. two", "B"),
        ("B.", None),
        (" B", None),
        ("b", None),
        ("The answer is C.", "C"),
        ("The answer is C. The answer is D.", None),
        ("F", None),
        ("F. six", None),
        ("The answer is Z.", "Z"),
        ("", None),
    ],
)
def test_science_qa(reply: str, letter: str | None) -> None:
    assert science_qa(reply) == letter


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("A", "A"),
        ("(B)", "B"),
        ("**C**.", "C"),
        ("A or B", None),
        ("A man stands on the boat", None),  # a letter before the last four words is an article
        ("I think it is A", "A"),
        ("The correct answer is **b**", "B"),
        ("The correct answer is **b**, since A is wrong", "A"),  # the last four words come first
        ("Z", "Z"),
        ("Cannot determine the answer", "Z"),
        ("Failed to obtain answer via API", None),
        ("", None),
        ("D", None),
    ],
)
def test_by_letter(reply: str, letter: str | None) -> None:
    assert by_letter(reply, CHOICES) == letter


def test_older_versions_do_not_read_sentences() -> None:
    assert by_letter("The answer is B because A is wrong, obviously and clearly so", CHOICES, verbose=False) is None


def test_by_text_needs_one_option_in_a_short_reply() -> None:
    assert by_text("there are TWO BOATS here", CHOICES) == "B"
    assert by_text("two boats, nothing else", CHOICES) is None
    assert by_text("two boats " * 10, CHOICES) is None  # more than twice as long as all options together


def test_letter_goes_before_text() -> None:
    assert choose("A, not two boats", CHOICES) == "A"
    assert choose("two boats", CHOICES) == "B"
    assert choose("a submarine", CHOICES) is None
