"""Rewards that a computer verifies: what is right gets more, and what cannot be judged says why."""

import json

import numpy as np
import pytest
from pycocoevalcap.cider.cider import Cider
from pydantic import ValidationError

from modalink.conversation import Conversation, Region, Text, Turn
from modalink.errors import DataError, RecipeError
from modalink.kinds import parse
from modalink.rewards import Answered, Judgement, asked_of
from modalink.rewards._combined import Combined
from modalink.testing import check_reward


def reward(kind, **settings):
    return parse("modalink.rewards", {"kind": kind, **settings})


def score(config, *answers):
    return config.build().score(answers)


@pytest.mark.parametrize(
    ("kind", "settings", "right", "wrong", "facts"),
    [
        ("exact_match", {}, "Two!", "three", {"answer": ["two", "2"]}),
        ("exact_match", {"tag": "answer"}, "<think>3?</think><answer>two</answer>", "two", {"answer": "two"}),
        ("number", {"relative": 0.05}, "There are 1,020.", "about 900", {"answer": "1000"}),
        ("box_iou", {}, "[0.100, 0.200, 0.300, 0.400]", "[0.1, 0.2, 0.2, 0.4]", {"regions": [[20, 20, 60, 40]]}),
        ("format", {"tags": ["think", "answer"]}, "<think>a</think>\n<answer>b</answer>", "<answer>b</answer>", {}),
        ("format", {"pattern": "[a-z]+"}, "two", "2", {}),
        ("length", {"most": 4, "unit": "words"}, "two", "there are two of them", {}),
        ("repetition", {"words": 2}, "a red cube", "a red cube a red cube", {}),
        ("function", {"function": "tests.rewards.test_verifiable:of_length"}, "longer", "no", {}),
        ("caption", {"metric": "rouge_l"}, "a red cube", "it", {"captions": ["a red cube", "one cube"]}),
        ("caption", {"metric": "bleu_4"}, "a red cube on a table", "it", {"captions": "a red cube on a table"}),
    ],
)
def test_the_kit_passes(reply, kind, settings, right, wrong, facts):
    check_reward(reward(kind, **settings), [reply(right, **facts), reply(wrong, **facts)])


def of_length(answers, *, most=100):
    return [min(len(answer.text), most) for answer in answers]


def of_nothing(answers):
    return [None] * len(answers)


def too_few(answers):
    return []


def no_number(answers):
    return [float("nan")] * len(answers)


@pytest.mark.parametrize(
    ("normalise", "said", "right", "expected"),
    [
        ("none", "Two", "two", 0),
        ("case", " TWO  cubes", "two cubes", 1),
        ("case", "two.", "two", 0),
        ("words", "two.", "Two", 1),
        ("vqa", "the 2", "two", 1),
        ("tiny_world", "A violet box.", "purple square", 1),
    ],
)
def test_answers_are_compared_as_scoring_compares_them(reply, normalise, said, right, expected):
    assert score(reward("exact_match", normalise=normalise), reply(said, answer=right)) == [expected]


def test_words_in_common_may_count(reply):
    partly = reward("exact_match", partial=True)
    answers = [reply(said, answer="a large red cube") for said in ("A large red cube.", "a red ball", "no")]
    assert score(partly, *answers) == pytest.approx([1.0, 2 * 2 / 7, 0.0])


@pytest.mark.parametrize(
    ("said", "settings", "expected"),
    [
        ("three", {}, 1),
        ("3.0", {}, 1),
        ("There are 3 cubes", {}, 1),
        ("3 of 4", {}, 0),
        ("3 of 4", {"which": "first"}, 1),
        ("3 of 4", {"which": "only"}, 0),
        ("-3", {}, 0),
        ("3.2", {"tolerance": 0.25}, 1),
        ("3.2", {"relative": 0.05}, 0),
        ("none", {}, 0),
        ("", {}, 0),
    ],
)
def test_numbers_are_read_in_digits_and_words(reply, said, settings, expected):
    assert score(reward("number", **settings), reply(said, answer="three")) == [expected]


def test_a_record_whose_answer_is_no_number_is_none_of_its_business(reply):
    (found,) = reward("number").build().judge([reply("red", answer="red")])
    assert found == Judgement(None, "the record's 'answer' is no number", applies=False)
    (found,) = reward("exact_match").build().judge([reply("red")])
    assert found.value is None and not found.applies and found.why == "the record tells no 'answer'"


class TestBoxes:
    def test_boxes_are_matched_so_that_the_overlap_is_largest(self, reply):
        right = {"regions": [[0, 0, 20, 20], [100, 0, 140, 40]]}
        both = reply("[0.5, 0, 0.7, 0.4] and [0, 0, 0.1, 0.2]", **right)
        one, three = reply("[0, 0, 0.1, 0.2]", **right), reply(both.text + " [0.9, 0.9, 1, 1]", **right)
        found = score(reward("box_iou"), both, one, three, reply("nowhere", **right))
        assert found == pytest.approx([1.0, 2 / 3, 4 / 5, 0.0])

    def test_one_box_gives_its_intersection_over_union_or_a_hit(self, reply):
        half = reply("[0, 0, 0.5, 1]", regions=[[0, 0, 200, 100]])
        assert score(reward("box_iou"), half) == pytest.approx([0.5])
        assert score(reward("box_iou", threshold=0.5), half) == [1.0]
        assert score(reward("box_iou", threshold=0.51), half) == [0.0]

    def test_a_codec_of_the_padded_square_counts_in_it(self, reply):
        # 200 x 100 px stand in the middle of a square of 200 px: 50 px above.
        padded = reply("[0, 0.25, 0.5, 0.75]", regions=[[0, 0, 100, 100]])
        assert score(reward("box_iou", codec="llava-1.5", padded=True), padded) == pytest.approx([1.0])
        assert score(reward("box_iou", codec="unit"), padded) == pytest.approx([0.5])

    def test_right_boxes_come_as_shares_or_mappings(self, reply):
        said = "[0, 0, 0.5, 0.5]"
        shares = reply(said, regions={"areas": [[0, 0, 0.5, 0.5]]})
        assert score(reward("box_iou", shares=True), shares) == pytest.approx([1.0])
        with pytest.raises(DataError, match="found 'left' as right boxes, needed lists of left, top, right, bottom"):
            score(reward("box_iou"), reply(said, regions="left"))

    def test_unknown_codecs_are_refused(self):
        with pytest.raises(
            (ValidationError, RecipeError), match="unknown coordinate codec 'unti'; did you mean 'unit'"
        ):
            reward("box_iou", codec="unti")


def test_a_reply_that_has_a_tag_twice_has_another_form(reply):
    twice = reply("<think>a</think><answer>b</answer><answer>c</answer>")
    assert score(reward("format", tags=["think", "answer"]), twice) == [0.0]


def test_a_form_is_said_once(reply):
    with pytest.raises(ValidationError, match="needed exactly one of the two"):
        reward("format")
    with pytest.raises(ValidationError, match="needed a regular expression"):
        reward("format", pattern="(")


def test_long_replies_cost_as_dapo_has_it(reply):
    config = reward("length", most=10, margin=4, least=2)
    answers = [reply("", tokens=n) for n in (1, 6, 7, 9, 10, 30)]
    assert score(config, *answers) == pytest.approx([-1, 0, -0.25, -0.75, -1, -1])
    assert score(config, reply("", tokens=3, complete=False), reply("")) == [-1, None]


def test_repeated_runs_cost_their_share(reply):
    assert score(reward("repetition", words=1), reply("a b a b a"), reply("")) == [pytest.approx(2 / 5 - 1), 0.0]


class TestFunctions:
    def test_options_and_a_file_of_ones_own(self, reply, tmp_path):
        (tmp_path / "mine.py").write_text(
            "def worth(answers, factor):\n    return [factor * len(a.text) for a in answers]\n"
        )
        own = reward("function", function=f"{tmp_path}/mine.py:worth", options={"factor": 2})
        assert score(own, reply("abc")) == [6.0]
        short = reward("function", function="tests.rewards.test_verifiable:of_length", options={"most": 2})
        assert score(short, reply("abc")) == [2.0]

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("too_few", "found 0 values for 1 replies, needed one each"),
            ("no_number", "asked: found nan, needed a finite number or None"),
            ("of_length", "TypeError"),
        ],
    )
    def test_what_it_does_wrong_is_said(self, reply, name, words):
        config = reward(
            "function",
            function=f"tests.rewards.test_verifiable:{name}",
            options={"x": 1} if name == "of_length" else {},
        )
        with pytest.raises(DataError, match=words):
            score(config, reply("abc"))

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("no.such.module:f", "no.such.module cannot be imported"),
            ("tests.rewards.test_verifiable:nothing", "has no function 'nothing'"),
            ("nothing", "unknown reward function 'nothing'"),
        ],
    )
    def test_one_that_is_not_there_is_refused(self, name, words):
        with pytest.raises(RecipeError, match=words):
            reward("function", function=name).build()


class TestCaptions:
    def test_cider_is_that_of_the_official_package(self, reply, tmp_path):
        right = [["a red cube on a table", "one red cube"], ["two blue balls", "a pair of blue balls"], ["a dog runs"]]
        said = ["a red cube", "two blue balls", "a cat"]
        answers = [reply(text, captions=refs) for text, refs in zip(said, right, strict=True)]
        official = Cider().compute_score(dict(enumerate(right)), {n: [text] for n, text in enumerate(said)})[1]
        assert score(reward("caption"), *answers) == pytest.approx(list(official), abs=1e-9)
        # With a corpus a reply is worth the same alone and beside others.
        corpus = tmp_path / "corpus.jsonl"
        corpus.write_text("".join(json.dumps(row) + "\n" for row in right))
        config = reward("caption", corpus=str(corpus))
        alone = score(config, answers[0])[0]
        more = np.asarray(
            Cider().compute_score(
                dict(enumerate([right[0], *right])), dict(enumerate([[said[0]], *([r[0]] for r in right)]))
            )[1]
        )
        assert alone == pytest.approx(more[0], abs=1e-9)

    def test_the_answer_stands_in_for_captions_and_nothing_for_neither(self, reply):
        config = reward("caption", metric="rouge_l")
        assert score(config, reply("a cube", answer="a cube"), reply("a cube")) == [1.0, None]

    def test_a_damaged_corpus_is_named(self, reply, tmp_path):
        (tmp_path / "bad.jsonl").write_text('["a"]\n{"a": 1}\n')
        with pytest.raises(DataError, match=r"bad.jsonl, line 2: found .* needed a list of captions"):
            score(reward("caption", corpus=str(tmp_path / "bad.jsonl")), reply("a", captions="a"))


class TestCombined:
    def test_the_weighted_sum_and_its_parts(self, reply):
        both = Combined(
            [
                reward("exact_match"),
                reward("length", most=1, unit="words", weight=0.5),
                reward("exact_match", normalise="none", weight=0),
            ]
        )
        (rated,) = both.rate([reply("Two cubes", answer="two cubes")])
        assert rated.total == 0.5 and rated.values == {"exact_match": 1.0, "length": -1.0, "exact_match-2": 0.0}

    def test_what_does_not_apply_is_left_out_and_what_cannot_be_judged_has_no_sum(self, reply):
        several = Combined([reward("number"), reward("exact_match")])
        words, count = several.rate([reply("red", answer="red"), reply("2", answer="2")])
        assert words.total == 1.0 and [*words.parts] == ["exact_match"] and count.total == 2.0
        silent = Combined(
            [reward("exact_match"), reward("function", function="tests.rewards.test_verifiable:of_nothing")]
        )
        (rated,) = silent.rate([reply("red", answer="red")])
        assert rated.total is None and rated.why == "function: tests.rewards.test_verifiable:of_nothing gave None"
        (rated,) = Combined([reward("number")]).rate([reply("red")])
        assert rated.total is None and rated.why == "no reward applies: number: the record tells no 'answer'"


def test_a_record_is_asked_without_its_answer():
    user, assistant = (
        Turn("user", (Text("Where?"),)),
        Turn("assistant", (Text("There: "), Region(((1, 2, 3, 4),), "cube"))),
    )
    asked, facts = asked_of(Conversation((user, assistant), "a", {"kind": "place"}))
    assert asked.turns == (user,) and facts == {"kind": "place", "answer": "There:", "regions": [[1, 2, 3, 4]]}
    asked, facts = asked_of(Conversation((user,), "a", {"answer": "here"}))
    assert asked.turns == (user,) and facts == {"answer": "here"}
    with pytest.raises(DataError, match="a: found no turn to reply to"):
        asked_of(Conversation((assistant,), "a"))


def test_scores_are_finite():
    with pytest.raises(DataError, match="found a reward of nan, needed a finite number"):
        Judgement(float("nan"))
    assert Answered(Conversation((Turn("user", (Text("a"),)),)), ()).text == ""
