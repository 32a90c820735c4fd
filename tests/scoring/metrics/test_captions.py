"""Caption scores on examples small enough to compute by hand."""

import math

import pytest

from modalink.errors import DataError
from modalink.scoring.metrics import captions
from modalink.scoring.metrics.captions import score


def test_equal_captions_are_perfect() -> None:
    found = score(
        ["a red cat sleeps", "two dogs run fast"],
        [["A red cat sleeps."], ["two dogs run fast"]],
        "python",
        meteor=False,
        spice=False,
    )
    assert [found.corpus[f"Bleu_{n}"] for n in range(1, 5)] == pytest.approx([1.0] * 4, abs=1e-6)
    assert found.corpus["ROUGE_L"] == pytest.approx(1.0)
    assert found.corpus["CIDEr"] == pytest.approx(10.0)
    assert found.notes == [
        "tokens of the tokeniser in Python",
        "METEOR left out: not asked for",
        "SPICE left out: not asked for",
    ]


def test_bleu_clips_and_is_brief() -> None:
    # Of "the the cat" two of three words are right (the is clipped to one); the reference has four words.
    found = score(["the the cat", "dog"], [["the cat sat down"], ["dog"]], "python", meteor=False, spice=False).corpus
    assert found["Bleu_1"] == pytest.approx(3 / 4 * math.exp(1 - 5 / 4), abs=1e-6)


def test_rouge_takes_best_precision_and_best_recall_from_different_references() -> None:
    # Precision 1 from the first reference, recall 1 from the second, with beta 1.2.
    found = score(["a b", "x"], [["a c b d", "a"], ["x"]], "python", meteor=False, spice=False).corpus
    assert found["ROUGE_L"] == pytest.approx(1.0)


def test_cider_of_one_item_is_zero_and_of_empty_captions_too() -> None:
    assert score(["a cat"], [["a cat"]], "python", meteor=False, spice=False).corpus["CIDEr"] == 0
    found = score(["", "a cat"], [["a dog"], ["a cat"]], "python", meteor=False, spice=False)
    assert found.cider[0] == 0


def test_a_program_that_fails_leaves_its_score_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(said: object, right: object) -> None:
        raise DataError("java ended with 1")

    monkeypatch.setattr(captions.java, "missing", lambda *jars: "")
    monkeypatch.setattr(captions.java, "meteor", lambda said, right: (0.25, [0.25]))
    monkeypatch.setattr(captions.java, "spice", broken)
    found = score(["a cat", "b"], [["a cat"], ["b"]], "python")
    assert found.corpus["METEOR"] == 0.25 and "SPIDEr" not in found.corpus
    assert found.notes[1:] == ["SPICE left out: its program failed (java ended with 1)"]


def test_spider_is_the_mean_of_cider_and_spice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions.java, "missing", lambda *jars: "")
    monkeypatch.setattr(captions.java, "spice", lambda said, right: [0.2, 0.4])
    found = score(
        ["a red cat sleeps", "two dogs run fast"], [["a red cat sleeps"], ["two dogs run fast"]], "python", False
    )
    assert found.corpus["SPICE"] == pytest.approx(0.3) and found.corpus["SPIDEr"] == pytest.approx(5.15)


def test_what_cannot_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions.java.shutil, "which", lambda name: None)
    found = score(["a cat", "b"], [["a cat"], ["b"]])
    assert found.notes == [
        "tokens of the tokeniser in Python",
        "METEOR left out: no Java on this machine",
        "SPICE left out: no Java on this machine",
    ]
    assert "METEOR" not in found.corpus and "CIDEr" in found.corpus
