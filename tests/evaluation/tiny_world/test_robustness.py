"""Accuracy with other pictures: the same questions for every renderer, ratios by hand, and cases to look at."""

import pytest

from modalink.evaluation.tiny_world import robustness
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.evaluation.tiny_world.renderers import RENDERERS
from modalink.evaluation.tiny_world.shares import Ratio, nested
from modalink.tiny_world.scene_questions import sample_scene_questions

ASKED = sample_scene_questions("test", 18, seed=0)


def answered(wrong: set[int]) -> list[AnsweredQuestion]:
    return [AnsweredQuestion(a, "no idea" if i in wrong else a.question.answer) for i, a in enumerate(ASKED)]


class TestRatio:
    def test_by_hand(self):
        assert Ratio.paired([True, True, False, False], [True] * 4).value == 0.5
        assert Ratio.paired([True, True], [True, False]).value == 2.0
        assert Ratio.paired([True, False], [False, False]) == Ratio(0.0, (0.0, 0.0), 2)

    def test_equal_trials_leave_no_doubt(self):
        right = [i % 3 > 0 for i in range(60)]
        assert Ratio.paired(right, right) == Ratio(1.0, (1.0, 1.0), 60)

    def test_the_interval_is_that_of_pairs(self):
        clean = [i % 4 > 0 for i in range(200)]
        # One answer lost: the 50 that both miss do not widen the interval, as they would without pairing.
        low, high = Ratio.paired([False, False, *clean[2:]], clean).interval
        assert 0.97 < low < 149 / 150 <= high == 1.0
        worse = Ratio.paired([c and i % 5 > 0 for i, c in enumerate(clean)], clean)
        assert worse.value == pytest.approx(0.8)
        assert 0.72 < worse.interval[0] < 0.76 and 0.84 < worse.interval[1] < 0.88


def test_numbers_of_every_hand_stand_under_their_keys():
    found = nested(robustness.score(answered({0, 1}), {"jpeg": answered({0, 1, 2, 3}), "soft": answered({0})}))
    assert found["robustness"]["clean"] == pytest.approx(16 / 18, abs=1e-4)
    assert found["robustness"]["vqa"] == pytest.approx({"jpeg": 14 / 18, "soft": 17 / 18}, abs=1e-4)
    assert found["robustness"]["kept"] == pytest.approx({"jpeg": 14 / 16, "soft": 17 / 16}, abs=1e-4)
    assert found["counts"]["robustness"]["kept"] == {"jpeg": 18, "soft": 18}
    low, high = found["intervals"]["robustness"]["kept"]["jpeg"]
    assert low < 14 / 16 < high


def test_every_hand_is_asked_the_same_questions_about_the_same_scenes(reader):
    clean = answered(set())[:4]
    found = robustness.answers_by_renderer(reader, clean)
    assert list(found) == list(RENDERERS)
    for said in found.values():
        assert [item.asked for item in said] == [item.asked for item in clean]


def test_cases_show_one_scene_by_every_hand_and_what_only_the_own_got_right():
    answers_by_renderer = {name: answered({0, 1, 2}) for name in RENDERERS}
    found = robustness.cases(answered({0}), answers_by_renderer)
    shown = [case for case in found if case.task == "renderer"]
    assert [case.kind for case in shown] == ["own", *RENDERERS]
    assert len({case.prompt for case in shown}) == 1 and len({case.picture for case in shown}) == len(shown)
    assert all(case.note for case in shown)
    lost = [case for case in found if case.task == "lost"]
    assert [case.prompt for case in lost] == [ASKED[1].question.text, ASKED[2].question.text], "each another one"
    assert not any(case.right for case in lost)
