"""Outside the world: what comes from there is new, a crash becomes a number, and words are judged one by one."""

import re

import numpy as np
import pytest

from modalink.errors import PromptError
from modalink.evaluation.tiny_world import ood, ood_inputs
from modalink.evaluation.tiny_world.ood import OodCase
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.inference import Session
from modalink.tiny_world import sample_dialogue, sample_scene
from modalink.tiny_world.dialogues import DECLINE
from modalink.tiny_world.scene_questions import sample_scene_questions

SCENES = [sample_scene(number, "test") for number in range(3)]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


class TestOutside:
    def test_every_question_has_a_word_that_the_zoo_never_said(self):
        talks = [
            sample_dialogue("train", np.random.default_rng(number), kind)
            for kind, count in {
                "decline": 1200,
                "questions": 200,
                "caption": 100,
                "drawing": 100,
                "small talk": 100,
            }.items()
            for number in range(count)
        ]
        known = {word for talk in talks for turn in talk.messages() for word in words(turn["content"])}
        assert len(set(ood_inputs.QUESTIONS)) == len(ood_inputs.QUESTIONS) == 40
        assert [text for text in ood_inputs.QUESTIONS if words(text) <= known] == []

    def test_pictures_are_of_many_sizes_and_modes_and_always_the_same(self):
        first, second = ood_inputs.pictures(), ood_inputs.pictures()
        assert {picture.mode for picture in first.values()} >= {"RGB", "L", "RGBA", "P"}
        assert len({picture.size for picture in first.values()}) > 6
        assert all(np.array_equal(np.asarray(first[name]), np.asarray(second[name])) for name in first)


class TestStranger:
    @pytest.mark.parametrize(
        ("reply", "complete", "answered", "sensible"),
        [
            ("a large red ring at the top", True, True, True),
            (DECLINE, True, True, True),
            ("a large red ring at the top", False, True, False),
            ("a largei", True, True, False),
            ("", True, False, False),
        ],
    )
    def test_words_are_judged(self, reply, complete, answered, sensible):
        case = OodCase("picture", "noise", None, "describe this.", reply, complete=complete)
        assert (case.answered, case.sensible) == (answered, sensible)

    def test_a_crash_is_no_answer_whatever_it_says(self):
        assert not OodCase("picture", "noise", None, "?", "a red ring", crashed=True).answered

    @pytest.mark.parametrize(
        ("reply", "declined"),
        [(DECLINE, True), (DECLINE.upper(), True), ("no", False), ("", False), (f"{DECLINE} shapes shapes", False)],
    )
    def test_only_the_whole_sentence_declines(self, reply, declined):
        assert ood.declines(reply) == declined


class TestAsk:
    def test_everything_is_put_with_and_without_a_picture(self, reader, monkeypatch):
        asked = []

        def chat(self, conversation, **options):
            asked.append(conversation)
            raise PromptError("conversation: refused in words")

        monkeypatch.setattr(Session, "chat", chat)
        said = ood.ask(reader, SCENES)
        pictures, messages = len(ood_inputs.pictures()) * len(ood_inputs.LOOKS), len(ood_inputs.MESSAGES)
        assert len(said) == len(asked) == pictures + 2 * messages + 2 * len(ood_inputs.QUESTIONS)
        shown = [len(list(conversation.media())) for conversation in asked]
        assert sum(shown) == pictures + messages + len(ood_inputs.QUESTIONS)
        assert all(row.answered and not row.crashed for row in said), "a refusal in words is an answer"

    def test_a_crash_becomes_a_number(self, reader, monkeypatch):
        def chat(self, conversation, **options):
            raise RuntimeError("broken")

        monkeypatch.setattr(Session, "chat", chat)
        found = ood.score(ood.ask(reader, SCENES), [])
        assert found["robustness.outside.pictures_answered"].value == 0
        assert found["robustness.outside.messages_answered"].value == 0

    def test_of_each_kind_at_most_so_many_are_asked(self, reader):
        said = ood.ask(reader, SCENES, max_new_tokens=1, each=2)
        assert [row.kind for row in said] == ["picture"] * 2 + ["message"] * 2 + ["question"] * 2

    def test_a_system_that_knows_nothing_does_not_break(self, reader):
        said = ood.ask(reader, SCENES, max_new_tokens=3)
        assert [row for row in said if row.crashed] == []
        long = [row for row in said if row.name == "ten thousand letters"]
        assert len(long) == 2 and all("tokens" in row.reply for row in long)


def test_scores_tell_questions_with_a_picture_from_those_without():
    rows = [
        OodCase("question", "", None, "?", DECLINE),
        OodCase("question", "", "picture", "?", "red"),
        OodCase("question", "", "picture", "?", DECLINE),
        OodCase("picture", "noise", "picture", "?", "a red ring"),
        OodCase("picture", "black", "picture", "?", "a largei"),
        OodCase("message", "empty", None, "", "", crashed=True),
    ]
    inside = [
        AnsweredQuestion(a, DECLINE if i == 0 else "red")
        for i, a in enumerate(sample_scene_questions("test", 4, seed=0))
    ]
    found = {name.removeprefix("robustness."): share.value for name, share in ood.score(rows, inside).items()}
    assert found == {
        "outside.pictures_answered": 1.0,
        "outside.pictures_sensible": 0.5,
        "outside.messages_answered": 0.0,
        "outside.questions_declined": 1.0,
        "outside.questions_declined_with_picture": 0.5,
        "inside_declined": 0.25,
    }


def test_cases_are_short_printable_and_not_twice_the_same():
    rows = [
        OodCase("message", name, shown, text, "x" * 999)
        for name, text in ood_inputs.MESSAGES.items()
        for shown in (None, np.zeros((64, 64, 3), np.uint8))
    ]
    found = ood.cases(rows, 9)
    assert len({case.kind for case in found}) == len(found) == 9
    assert {bool(case.picture) for case in found} == {True, False}
    assert all(case.prompt.isprintable() and len(case.prompt) <= 123 and len(case.reply) <= 123 for case in found)
