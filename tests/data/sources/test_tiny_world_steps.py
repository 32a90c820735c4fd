"""Replies in steps of the tiny world: what is right of a picture, and what is not."""

import pytest

from modalink import kinds, tiny_world
from modalink.data.sources.steps import StepsConfig
from modalink.data.sources.tiny_world_steps import TinyWorldSteps


def _opened(**settings) -> TinyWorldSteps:
    return kinds.parse(
        "modalink.data.sources", {"source": "tiny_world_steps", "count": 60, **settings}, key="source"
    ).open()


def _steps(sample) -> list[str]:
    return [piece.text for piece in sample.turns[-1].content if not piece.loss]


@pytest.mark.parametrize("split", tiny_world.SPLITS)
def test_each_is_a_function_of_its_number_and_right_steps_are_those_of_the_caption(split: str) -> None:
    source, again = _opened(split=split), _opened(split=split)
    judged = []
    for index in range(60):
        sample = source[index]
        assert (sample.turns[-1], sample.worth, sample.facts) == (
            again[index].turns[-1],
            again[index].worth,
            again[index].facts,
        )
        (caption,) = sample.facts["captions"]
        told = caption.split(", ")
        assert [step == told[place] for place, step in enumerate(_steps(sample))] == [
            bool(worth) for worth in sample.worth
        ]
        judged += sample.worth
    assert 0.35 < sum(judged) / len(judged) < 0.65 and {*judged} == {0.0, 1.0}
    assert source[0].id != source[1].id and _opened(split=split, seed=1)[0].facts != source[0].facts


def test_more_steps_are_wrong_where_more_are_wanted_and_behind_each_stands_the_separator() -> None:
    worth = {wrong: sum(sum(sample.worth) for sample in _opened(wrong=wrong)) for wrong in (0.1, 0.9)}
    assert worth[0.1] > 4 * worth[0.9] > 0
    content = _opened(separator=" ;")[0].turns[-1].content
    assert {piece.text for piece in content[1::2]} == {" ;"} and all(piece.loss for piece in content[1::2])


def test_they_stand_in_for_steps_that_are_no_files_at_hand() -> None:
    tiny = StepsConfig.model_validate({"path": "steps.jsonl", "separator": " ;"}).tiny()
    assert (tiny.kind, tiny.separator) == ("tiny_world_steps", " ;")
