"""Process rewards: a reward model that judges each step of a reply, and what a reply is worth by it."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modalink.conversation import Conversation, Text, Turn
from modalink.data.steps import Stepped
from modalink.errors import SampleError
from modalink.model import System, collate
from modalink.recipe import Recipe
from modalink.rewards import Answered
from modalink.rewards.model import ModelRewardConfig
from modalink.training.forward import forward
from modalink.training.preparing import preparing
from modalink.training.train import train
from tests.support.forks import ended_together
from tests.support.run_files import recipe_file, records_of
from tests.support.tiny_run import COLOURS
from tests.training import child
from tests.training.stages.test_reward import left_padded

RIGHT, WRONG = "it is a cube.", "it is a dog."


@pytest.fixture(scope="module")
def stepwise(data: dict[str, str]) -> str:
    """Replies of two to four steps, each of which says something right or wrong."""
    folder, lines = Path(data["ask"]).parent, []
    for number in range(len(COLOURS)):
        worth = [(number + step) % 3 != 0 for step in range(2 + number % 3)]
        record = {"id": f"steps-{number}", "image": f"{number}.png", "prompt": "<image>What is it?"}
        lines.append(record | {"completions": [RIGHT if good else WRONG for good in worth], "labels": worth})
    (folder / "steps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / "steps.jsonl")


@pytest.fixture(scope="module")
def recipe(make_recipe: Callable[..., Recipe], stepwise: str) -> Recipe:
    groups = ("inputs.image.projector", "llm.lora", "llm.reward_head")
    source = {"source": "steps", "path": stepwise, "separator": "\n"}
    stage = {"name": "prefer", "kind": "reward", "train": {group: {"lr": 2e-2} for group in groups}}
    stage |= {"objectives": [{"kind": "process"}], "data": [source], "batch": 6, "steps": 12, "precision": "float32"}
    stage |= {"schedule": "constant", "evaluate": {"every": 12, "data": [source]}}
    return make_recipe(stage, llm={"reward_head": True})


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(recipe, tmp_path_factory.mktemp("process") / "run")


def test_it_begins_at_ln_2_and_learns_which_steps_are_right(run: Path) -> None:
    *records, evaluated = records_of(run, "prefer")
    losses = [record["losses"]["process"] for record in records]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5) and losses[-1] < 0.3
    assert all(norm > 0 for norm in records[-1]["grad_norms"].values())
    assert evaluated["evaluation"]["accuracy.process"] > 0.85
    assert 0 <= evaluated["evaluation"]["accuracy_error.process"] < 0.15


def _stepped(texts: list[list[str]]) -> list[Stepped]:
    asked = Turn("user", (Text("What is it?"),))
    return [Stepped.of([asked], steps, [1.0] * len(steps), "\n", f"{n}") for n, steps in enumerate(texts)]


TEXTS = [[RIGHT, WRONG], [WRONG], [RIGHT, RIGHT, "it is a red cube, and that is all there is to see.", WRONG]]


def test_two_processes_learn_what_one_learns(recipe: Recipe, tmp_path: Path) -> None:
    stage = recipe.stages[0].replace(batch=4, micro_batch=1, steps=2, evaluate=None)
    recipe = recipe.replace(stages=[stage.model_dump(mode="json")])
    one, two, output = tmp_path / "one", tmp_path / "two", tmp_path / "output"
    train(recipe, one)
    codes = ended_together(child.__file__, [recipe_file(recipe, two), str(two)], output=output, processes=2)
    assert codes == [0, 0], output.read_text()
    for alone, together in zip(records_of(one, "prefer"), records_of(two, "prefer"), strict=True):
        assert together["units"] == alone["units"] and alone["units"]["process"] > 4
        assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3)
        assert together["grad_norms"] == pytest.approx(alone["grad_norms"], rel=1e-2, abs=1e-6)


def test_steps_are_read_at_their_ends_however_replies_are_laid_out(run: Path, recipe: Recipe) -> None:
    system = System.load(run / "model")
    system.model.eval()
    prepare = preparing(system, recipe.stages[0])
    samples = [prepare(talk).loaded() for talk in _stepped(TEXTS)]

    def rewards(chosen: list, packed: bool) -> torch.Tensor:
        batch = collate(chosen, packed=packed, pad_id=system.processor.tokenizer.pad_token_id)
        assert len(batch.steps) == sum(len(sample.judgement.steps) for sample in chosen)
        with torch.no_grad():
            found = forward(system.model, batch, {"step_rewards"}).step_rewards
        assert found is not None
        return found

    alone = torch.cat([rewards([sample], packed=False) for sample in samples])
    assert len(alone) == 7 and len({round(float(value), 3) for value in alone}) >= 6  # both begin with the same step
    for packed in (True, False):
        torch.testing.assert_close(rewards(samples, packed), alone, rtol=0, atol=1e-4)
    places = [collate([sample], packed=False, pad_id=0).steps for sample in samples]
    torch.testing.assert_close(left_padded(system, samples, places), alone, rtol=0, atol=1e-4)


def test_what_a_reply_is_worth_is_one_number_of_its_steps(run: Path) -> None:
    asked = Conversation((Turn("user", (Text("What is it?"),)),), "0")
    replies = [Answered(asked, (Text("\n".join(steps)),)) for steps in TEXTS]
    by = {
        over: ModelRewardConfig(run=str(run), separator="\n", over=over).build().score(replies)
        for over in ("min", "mean", "last", "product")
    }
    assert all(0 < value < 1 for values in by.values() for value in values)
    one = by["mean"][1]
    assert all(values[1] == pytest.approx(one) for values in by.values())  # of one step all are the same
    for number in (0, 2):
        assert by["min"][number] == pytest.approx(min(by["min"][number], by["last"][number]))
        assert by["product"][number] < by["min"][number] < by["mean"][number]
    assert by["last"][0] == pytest.approx(by["min"][0]) and by["mean"][0] > by["mean"][1]
    (silent,) = ModelRewardConfig(run=str(run), separator="\n").build().judge([Answered(asked, (Text(" \n "),))])
    assert silent.value is None and "no step with words" in silent.why


def test_a_reply_of_which_a_step_was_cut_stands_in_the_ledger(run: Path, recipe: Recipe) -> None:
    system = System.load(run / "model")
    prepare = preparing(system, recipe.stages[0].replace(max_tokens=40))
    with pytest.raises(SampleError, match=r"found \d ends of 4 steps in its tokens, \d+ text tokens having been cut"):
        prepare(_stepped(TEXTS)[2])
