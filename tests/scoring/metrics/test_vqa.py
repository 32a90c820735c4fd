"""The VQA soft score and its normalisers, by hand."""

import pytest

from modalink.scoring.metrics import vqa
from modalink.scoring.metrics.vqa import VARIANTS, soft_score, vqa_score


@pytest.mark.parametrize(("matches", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_ten_annotators_give_tenths_not_thirds(matches: int, score: float) -> None:
    assert soft_score(matches, 10) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The two Dogs.", "2 dogs"),
        ("none", "0"),
        ("zero", "0"),
        ("red/blue", "red blue"),
        ("red / blue", "red blue"),
        ("well-known", "well known"),
        ("well- known off-white", "well known offwhite"),  # one mark beside a space deletes all of its kind
        ("1,000 well-known", "1000 wellknown"),  # a comma between digits deletes every mark
        ("3.5", "3.5"),
        ("5.", "5"),
        ("U.S.A.", "usa"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("Im", "im"),  # the official table has it in capitals, where it never acts
        ("dog's", "dog's"),
        ("10:30 $5", "10:30 $5"),
        ("a\tb\nc ", "b c"),
        ("", ""),
        ("...", ""),
    ],
)
def test_official(answer: str, normal: str) -> None:
    assert vqa.official(answer) == normal


def test_only_the_first_32_periods_go() -> None:
    assert vqa.official("." * 40) == "." * 8


def test_long_answers_are_normalised_like_short_ones() -> None:
    assert vqa.official("the dogs, " * 1000) == " ".join(["dogs"] * 1000)


def test_m4c_separates_the_genitive_and_drops_commas_first() -> None:
    assert vqa.m4c("Dog's, one?") == "dog 's 1"
    assert vqa.m4c("1,000 well-known") == "1000 well known"  # the comma is gone before it can delete the hyphen


def test_vizwiz_contractions_are_typographic() -> None:
    assert vqa.vizwiz("dont") == "don’t"
    assert vqa.vizwiz("cant") == "can't"


def test_vlmevalkit_keeps_a_period_after_a_digit() -> None:
    assert vqa.vlmevalkit("5.") == "5."
    assert vqa.official("5.") == "5"


def test_every_contraction_loses_one_apostrophe() -> None:
    assert len(vqa.CONTRACTIONS) == len(vqa.VIZWIZ_CONTRACTIONS) == 114
    assert all(len(word) == len(key) + 1 for key, word in vqa.CONTRACTIONS.items() if key != "somebody'd")


@pytest.mark.parametrize(
    ("variant", "score"),
    [("official", 0.0), ("m4c", 1.0), ("lmms", 1.0), ("vlmevalkit", 1.0), ("vizwiz", 0.0), ("minigpt", 1.0)],
)
def test_unanimous_answers_stay_raw_in_the_official_rule_alone(variant: str, score: float) -> None:
    assert vqa_score("Yes", ["yes"] * 10, VARIANTS[variant])[0] == (1.0 if variant == "vizwiz" else score)
    assert vqa_score("yes", ["Yes"] * 10, VARIANTS[variant])[0] == score


def test_one_other_answer_lets_the_official_rule_normalise() -> None:
    assert vqa_score("Yes", ["yes"] * 9 + ["no"], VARIANTS["official"])[0] == 1.0


def test_minigpt_counts_all_annotators_at_once() -> None:
    assert vqa_score("cat", ["cat"] * 2 + ["dog"] * 8, VARIANTS["minigpt"])[0] == pytest.approx(2 / 3)
    assert vqa_score("cat", ["cat"] * 2 + ["dog"] * 8, VARIANTS["official"])[0] == pytest.approx(0.6)
