"""Yes or no by the rules of POPE and MME, which see different things in one reply."""

import pytest

from modalink.scoring.metrics.yes_no import mme, pope


@pytest.mark.parametrize(
    ("reply", "yes", "word"),
    [
        ("Yes", True, "yes"),
        ("No", False, "no"),
        ("NO", True, "no"),
        ("no\n", True, "no"),
        ("isn't", True, "other"),
        ("", True, "other"),
        ("Yes. No", True, "yes"),
        ("there is not, no", False, "other"),
        (",no,", False, "no"),
        ('"yes"', True, "yes"),
        ("  yes", True, "other"),
        ("know", True, "no"),
        ("none", True, "no"),
        ("yes no", False, "yes"),
    ],
)
def test_rules(reply: str, yes: bool, word: str) -> None:
    assert pope(reply) is yes
    assert mme(reply) == word
