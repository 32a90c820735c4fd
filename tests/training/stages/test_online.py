"""Stages that draw what they learn from: rewards rise, a kill in the middle costs nothing, two processes are as one."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from modalink.errors import ModalinkError, TrainingError
from modalink.model.prepared import Prepared
from modalink.rewards import Answered
from modalink.training.rollouts import Kept, Reply
from modalink.training.train import train
from tests.support.forks import ended, ended_together
from tests.support.run_files import recipe_file, records_of
from tests.training import child, rollout_child

HERE = "tests.training.stages.test_online"


def early(answers: Sequence[Answered]) -> list[float]:
    """Likes replies that begin with a character of an odd number: something that can be learned."""
    return [float(ord(answer.text[0]) % 2) if answer.text else 0.0 for answer in answers]


def constant(answers: Sequence[Answered]) -> list[float]:
    return [1.0] * len(answers)


def fussy(answers: Sequence[Answered]) -> list[float | None]:
    """Judges no second reply."""
    return [None if i % 2 else early([answer])[0] for i, answer in enumerate(answers)]


DPO = [{"kind": "dpo", "beta": 0.5}]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "advantage": "rloo",
            "objectives": [{"kind": "policy", "ratio": "sequence_sum", "aggregation": "grpo", "kl": 0}],
            "kl_in_reward": 0.01,
        },
        {"kind": "expert", "objectives": [{"kind": "language"}]},
        {"kind": "online_preference", "objectives": DPO},
    ],
    ids=["grpo", "rloo", "best of n", "online dpo"],
)
def test_rewards_rise(make_recipe, rollout, tmp_path: Path, changes: dict[str, Any]) -> None:
    small = {"batch": 6, "replies": 16, "beside": 96, "max_new_tokens": 2, "train": {"llm": {"lr": 1e-2}}}
    run = train(make_recipe(rollout(steps=6, **small, **changes)), tmp_path / "run")
    records = records_of(run, "draw")
    assert sum(record["reward"] for record in records[-3:]) / 3 > records[0]["reward"] + 0.08
    assert all(0 <= record["kl"] < 3 for record in records)


def test_a_step_tells_what_was_drawn_and_the_first_update_begins_where_it_was_drawn(
    make_recipe, rollout, tmp_path: Path
) -> None:
    weighed = [
        {"kind": "function", "function": f"{HERE}:early", "weight": 2.0},
        {"kind": "length", "most": 9, "weight": 0},
    ]
    run = train(make_recipe(rollout(rewards=weighed, steps=2)), tmp_path / "run")
    first, second = records_of(run, "draw")
    assert first["kl"] == 0.0 and second["kl"] > 0
    assert first["reward"] == pytest.approx(2 * first["rewards"]["function"]) and -1 <= first["rewards"]["length"] <= 0
    assert first["replies"] == 16 and first["samples"] == 4 and 0 < first["signal"] <= 1 and first["unjudged"] == 0
    # At the first update ratios are 1 and the divergence 0: the loss is minus the mean advantage of the tokens.
    assert abs(first["loss"]) < 1.0 and first["grad_norm"] > 0
    rows = [json.loads(line) for line in (run / "draw" / "replies.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 1, 2, 2]
    assert len(rows[0]["replies"]) == 4 and rows[0]["facts"]["answer"].startswith("a ")
    assert rows[0]["replies"][0]["parts"].keys() == {"function", "length"}
    assert not [*(run / "draw" / "rollouts").iterdir()]


def test_killed_in_the_middle_of_drawing_it_is_resumed_to_the_bit(make_recipe, rollout, tmp_path: Path) -> None:
    """Of two chunks a step the first of step 4 is on the disk: it is read, and not drawn again."""
    recipe = make_recipe(rollout(updates=2, inner_epochs=2))
    whole, killed, output = train(recipe, tmp_path / "whole"), tmp_path / "killed", tmp_path / "output"
    arguments = [recipe_file(recipe, killed), str(killed), "7"]
    assert ended(rollout_child.__file__, arguments, output) == -signal.SIGKILL, output.read_text()
    assert sorted(path.name for path in (killed / "draw" / "rollouts").iterdir()) == [
        "00000002-0.jsonl",
        "00000003-0.jsonl",
    ]
    train(recipe, killed)
    assert records_of(killed, "draw") == records_of(whole, "draw")
    for name in ("model/model.safetensors", "draw/replies.jsonl"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def test_what_other_weights_drew_or_a_crash_tore_is_drawn_again(tmp_path: Path) -> None:
    prompts = [[Prepared("a", [1], [1]), Prepared("b", [1], [1])], [Prepared("c", [1], [1])]]
    reply = Reply((5, 6), "x", True, 0.5, {"function": 0.5}, "why")
    kept = Kept(tmp_path, 3, "weights")
    kept.write(prompts[0], [(reply,), (reply, reply)])
    with kept.path.open("ab") as file:
        file.write(b'{"prompts": ["c"], "repl')
    assert Kept(tmp_path, 3, "weights").read(prompts) == [[(reply,), (reply, reply)]]
    kept.write(prompts[1], [(reply,)])
    assert len(Kept(tmp_path, 3, "weights").read(prompts)) == 2
    assert Kept(tmp_path, 3, "weights").read(prompts[::-1]) == [] and not kept.path.exists()
    kept.write(prompts[0], [(reply,), (reply,)])
    assert Kept(tmp_path, 3, "others").read(prompts) == [] and not kept.path.exists()


@pytest.mark.parametrize(
    "changes",
    [{}, {"kind": "expert", "objectives": [{"kind": "language"}]}, {"kind": "online_preference", "objectives": DPO}],
    ids=["online", "expert", "pairs"],
)
def test_two_processes_learn_what_one_learns(make_recipe, rollout, tmp_path: Path, changes: dict[str, Any]) -> None:
    recipe = make_recipe(rollout(steps=1, micro_batch=1, **changes))
    one, two, output = tmp_path / "one", tmp_path / "two", tmp_path / "output"
    train(recipe, one)
    codes = ended_together(child.__file__, [recipe_file(recipe, two), str(two)], output=output, processes=2)
    assert codes == [0, 0], output.read_text()
    (alone,), (together,) = records_of(one, "draw"), records_of(two, "draw")
    assert together["units"] == alone["units"] and together["reward"] == pytest.approx(alone["reward"], abs=1e-6)
    assert together["rewards"] == pytest.approx(alone["rewards"], abs=1e-6)
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3, abs=1e-5)
    assert together["grad_norms"] == pytest.approx(alone["grad_norms"], rel=1e-2)


def test_drawing_ends_when_enough_prompts_teach(make_recipe, rollout, tmp_path: Path) -> None:
    run = train(make_recipe(rollout(batch=6, mixed=2, steps=1)), tmp_path / "run")
    (record,) = records_of(run, "draw")
    assert record["samples"] == 2 and record["replies"] < 24


def test_what_cannot_be_judged_stands_in_the_ledger_and_teaches_nothing(make_recipe, rollout, tmp_path: Path) -> None:
    rewards = [{"kind": "function", "function": f"{HERE}:fussy"}]
    run = train(make_recipe(rollout(rewards=rewards, steps=1)), tmp_path / "run")
    (record,) = records_of(run, "draw")
    assert record["unjudged"] == 8 and record["replies"] == 16
    entries = [json.loads(line) for line in (run / "draw" / "ledger.jsonl").read_text().splitlines()]
    unjudged = [entry for entry in entries if entry["reason"] == "unjudged"]
    assert len(unjudged) == 4
    assert unjudged[0]["detail"] == f"2 of 4 replies have no reward: function: {HERE}:fussy gave None"


def test_it_ends_in_words_where_nothing_is_better_than_anything(make_recipe, rollout, tmp_path: Path) -> None:
    rewards = [{"kind": "function", "function": f"{HERE}:constant"}]
    recipe = make_recipe(rollout(rewards=rewards, limits={"patience": 3}))
    words = (
        "stage draw: found no prompt whose replies differ in worth in 3 steps in a row; their mean worth is 1; give it"
    )
    with pytest.raises(TrainingError, match=words):
        train(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rewards": []}, "at least 1 item"),
        ({"replies": 1}, "compares the replies to a prompt, needed two at least"),
        ({"updates": 3}, "needed a batch that they divide"),
        ({"mixed": 5}, "found mixed 5 of a batch of 4 prompts"),
        ({"objectives": [{"kind": "language"}]}, "found no objective `policy`"),
        ({"kind": "expert", "objectives": [{"kind": "language"}], "takes": "passing"}, "needs `at_least`"),
        ({"kind": "online_preference", "objectives": DPO, "replies": 1}, "needed two at least"),
        ({"rewards": [{"kind": "exact_mach"}]}, "did you mean 'exact_match'"),
        ({"evaluate": {"every": 1, "data": [{"source": "tiny_world"}]}}, "evaluate by benchmarks"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make_recipe, rollout, changes: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, ModalinkError), match=words):
        make_recipe(rollout(**changes))
