"""Questions about clips, sounds, solids and across modalities: what counts as right, and what blind guessing earns."""

import pytest

from modalink.evaluation.tiny_world import subjects
from modalink.evaluation.tiny_world.examples import of_descriptions, of_subject
from modalink.evaluation.tiny_world.subjects import Answered, Described
from modalink.tiny_world import WORLDS, Shown
from modalink.tiny_world.sounds.notes import Note, Sound

ALL = frozenset(WORLDS)
_SOUND = Sound(
    (Note("bell", "low", "rising", "short", "first"), Note("wind", "high", "steady", "long", "second")), noise=0
)


def test_a_system_is_asked_about_what_it_reads() -> None:
    assert subjects.subjects(["image"]) == []
    assert subjects.subjects(["image", "audio"]) == ["audio"]
    assert subjects.subjects(["image", "video"]) == ["video", "across"]
    assert subjects.subjects(["points"]) == ["points"]
    assert subjects.subjects(ALL) == ["video", "audio", "points", "across"]


@pytest.mark.parametrize("subject", ["video", "audio", "points", "across"])
def test_questions_come_of_all_kinds_in_turn_and_are_the_same_again(subject: str) -> None:
    asked = subjects.sample(subject, ALL, "test", 40, seed=1)
    again = subjects.sample(subject, ALL, "test", 40, seed=1)
    assert [item.question for item in asked] == [item.question for item in again]
    assert [item.question for item in asked] != [q.question for q in subjects.sample(subject, ALL, "test", 40, seed=2)]
    kinds = [item.question.kind for item in asked]
    assert len(set(kinds)) == len(WORLDS[subject].kinds if subject != "across" else 5 * [0])
    assert kinds[: len(set(kinds))] == kinds[len(set(kinds)) : 2 * len(set(kinds))]


def test_the_most_frequent_answer_is_right_as_often_as_it_comes() -> None:
    asked = subjects.sample("audio", ALL, "test", 160, seed=0)
    guessed = subjects.score(subjects.majority("audio", ALL, asked, 0), "x")
    assert 0.2 < guessed["x.questions"].value < 0.5
    assert guessed["x.by_kind.length"].value == pytest.approx(0.5, abs=0.25)
    assert len({a.reply for a in subjects.majority("audio", ALL, asked, 0) if a.asked.question.kind == "timbre"}) == 1


def test_an_answer_is_right_whatever_its_case_and_articles() -> None:
    (asked,) = subjects.sample("points", ALL, "test", 1, seed=0)
    assert Answered(asked, f"The {asked.question.answer.upper()}.").right
    assert not Answered(asked, "").right


@pytest.mark.parametrize(
    ("reply", "hits"),
    [
        ("a short low rising bell, then a long high steady wind", (8, 8)),
        ("a long low rising bell, then a long high steady wind", (7, 8)),
        ("a long high steady wind, then a short low rising bell", (0, 8)),
        ("a short low rising bell", (4, 8)),
        ("a short low rising bell, then a long high steady wind, then a long high steady wind", (8, 12)),
        ("", (0, 8)),
    ],
)
def test_captions_earn_the_attributes_that_they_say_of_each_part_in_order(reply: str, hits: tuple[int, int]) -> None:
    assert Described(Shown.of("audio", _SOUND), "what do you hear?", reply).hits == hits


@pytest.mark.parametrize("modality", ["image", "video", "audio", "points"])
def test_the_canonical_caption_earns_all(modality: str) -> None:
    for number in range(50):
        shown = Shown.of(modality, WORLDS[modality].sample(number, "test"))
        right, most = Described(shown, "", shown.description).hits
        assert right == most, shown.description


def test_examples_show_each_thing_in_a_form_that_a_page_plays_by_itself() -> None:
    asked = [subjects.sample(subject, ALL, "test", 1, 0)[0] for subject in ("video", "audio", "points")]
    answered = [Answered(item, item.question.answer) for item in asked]
    forms = [example.media[0].split(";")[0] for example in of_subject(answered, 3)]
    assert forms == ["data:image/webp", "data:audio/wav", "data:image/webp"]
    across = subjects.sample("across", ALL, "test", 5, 0)
    assert [len(e.media) for e in of_subject([Answered(item, "") for item in across], 5)] == [2, 3, 2, 2, 2]
    (caption,) = of_descriptions([Described(Shown.of("audio", _SOUND), "what do you hear?", "a bell")], 3)
    assert caption.task == "other"
    assert not caption.right
    assert caption.wanted == "a short low rising bell, then a long high steady wind"
