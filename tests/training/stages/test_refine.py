"""The stage that learns from feedback in words: what is asked, said and learned, and that it is resumed to the bit."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from modalink.errors import ModalinkError
from modalink.model import System
from modalink.rewards import Answered
from modalink.training.train import train
from tests.support.forks import ended, ended_together
from tests.support.run_files import recipe_file, records_of
from tests.training import child, rollout_child

HERE = "tests.training.stages.test_refine"


def critic(answers: Sequence[Answered]) -> list[tuple[float, str]]:
    """Likes characters that stand at even places, and says which answer it does not like."""
    worth = [sum(ord(c) % 2 for c in answer.text[:4]) / 4 for answer in answers]
    return [(w, "Good." if w == 1 else f"Not {a.text[:3]}.") for w, a in zip(worth, answers, strict=True)]


def silent(answers: Sequence[Answered]) -> list[float]:
    return [0.0] * len(answers)


@pytest.fixture
def stage(good: str) -> Callable[..., dict[str, Any]]:
    return lambda **changes: {
        "name": "draw",
        "kind": "refine",
        "train": {"inputs.image.projector": {"lr": 3e-3}, "llm.lora": {"lr": 3e-3}},
        "objectives": [{"kind": "language"}],
        "rewards": [{"kind": "function", "function": f"{HERE}:critic"}],
        "data": [{"source": "messages", "path": good}],
        "batch": 4,
        "replies": 2,
        "beside": 4,
        "max_new_tokens": 6,
        "steps": 4,
        "schedule": "constant",
        "checkpoint_every": 2,
        "precision": "float32",
        **changes,
    }


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the system was made to read: the words of each turn, those that are learned marked."""
    talks: list[list[str]] = []
    before = System.prepare

    def prepare(self: System, conversation: Any, **options: Any) -> Any:
        talks.append([("* " if t.loss and t.role == "assistant" else "") + t.text for t in conversation.turns])
        return before(self, conversation, **options)

    monkeypatch.setattr(System, "prepare", prepare)
    return talks


def test_answers_are_learned_under_their_critique_and_better_ones_behind_advice(
    make_recipe, stage, heard, tmp_path: Path
) -> None:
    run = train(make_recipe(stage(steps=3, advice="{critique} Look again.")), tmp_path / "run")
    learned = [talk for talk in heard if talk[-1].startswith("* ")]
    first, refined = ([talk for talk in learned if len(talk) == n] for n in (2, 4))
    assert all("(An answer with the rating " in talk[0] and " of 4. " in talk[0] for talk in first)
    asked_again = [talk for talk in heard if len(talk) == 3]
    assert asked_again and refined
    for before, answer, advice in asked_again:
        assert "rating" not in before and not answer.startswith("* ") and advice == f"Not {answer[:3]}. Look again."
    assert [talk[:3] for talk in refined] == [talk for talk in asked_again if talk in [t[:3] for t in refined]]
    records = records_of(run, "draw")
    assert sum(record["learned"] for record in records) == len(learned)
    assert sum(record["advised"] for record in records) == len(asked_again)
    assert sum(round(r["refined"] * r["advised"]) for r in records) == len(refined)
    worth = {4: 4, 3: 3, 2: 3, 1: 2, 0: 1}  # of 4 characters -> rating, rounded
    for talk in first:
        marks = sum(ord(c) % 2 for c in talk[1].removeprefix("* ")[:4])
        assert f"rating {worth[marks]} of 4" in talk[0], talk


def test_without_a_condition_only_what_passes_is_learned_as_it_is(make_recipe, stage, heard, tmp_path: Path) -> None:
    train(make_recipe(stage(steps=2, condition=None, rounds=0, passes=0.75)), tmp_path / "run")
    learned = [talk for talk in heard if talk[-1].startswith("* ")]
    assert learned and all(len(talk) == 2 and "rating" not in talk[0] for talk in learned)
    assert all(sum(ord(c) % 2 for c in talk[1].removeprefix("* ")[:4]) >= 3 for talk in learned)


def test_a_silent_critic_has_words_of_its_own(make_recipe, stage, heard, tmp_path: Path) -> None:
    rewards = [{"kind": "function", "function": f"{HERE}:silent"}]
    words = ["Bad.", "Well done."]
    run = train(make_recipe(stage(steps=1, rewards=rewards, unsaid=words, limits={"patience": 9})), tmp_path / "run")
    assert {talk[-1] for talk in heard if len(talk) == 3} == {"Bad."}
    (record,) = records_of(run, "draw")
    assert record["refined"] == 0 and record["learned"] == record["replies"]  # worse answers are learned as such


def test_killed_between_two_draws_it_is_resumed_to_the_bit(make_recipe, stage, tmp_path: Path) -> None:
    recipe = make_recipe(stage())
    whole, killed, output = train(recipe, tmp_path / "whole"), tmp_path / "killed", tmp_path / "output"
    arguments = [recipe_file(recipe, killed), str(killed), "9"]
    assert ended(rollout_child.__file__, arguments, output) == -signal.SIGKILL, output.read_text()
    train(recipe, killed)
    assert records_of(killed, "draw") == records_of(whole, "draw")
    for name in ("model/model.safetensors", "draw/replies.jsonl"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert len([*(whole / "draw").glob("rollouts*")]) == 2 and not [*(whole / "draw").glob("rollouts*/*")]


def test_two_processes_learn_what_one_learns(make_recipe, stage, tmp_path: Path) -> None:
    recipe = make_recipe(stage(steps=1, micro_batch=1))
    one, two, output = tmp_path / "one", tmp_path / "two", tmp_path / "output"
    train(recipe, one)
    codes = ended_together(child.__file__, [recipe_file(recipe, two), str(two)], output=output, processes=2)
    assert codes == [0, 0], output.read_text()
    (alone,), (together,) = records_of(one, "draw"), records_of(two, "draw")
    for name in ("learned", "advised", "refined", "units"):
        assert together[name] == alone[name], name
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3, abs=1e-5)
    assert together["grad_norms"] == pytest.approx(alone["grad_norms"], rel=1e-2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"condition": "{colour}"}, r"found '\{colour\}', needed \{rating\} and \{critique\} at most"),
        ({"advice": "{"}, "needed {rating} and {critique} at most"),
        ({"ratings": [4, 1]}, r"found the ratings \(4, 1\), needed the worst, then the best"),
        ({"rounds": 9}, "less than or equal to 8"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make_recipe, stage, changes: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, ModalinkError), match=words):
        make_recipe(stage(**changes))
