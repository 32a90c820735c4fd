"""A stage that teaches a system to score replies: what it trains, what is saved, and where the score is read."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.model import System, collate
from modalink.recipe import Recipe
from modalink.rewards import Answered
from modalink.rewards.model import ModelRewardConfig
from modalink.training.forward import forward
from modalink.training.train import train
from tests.support.run_files import records_of


@pytest.fixture(scope="module")
def recipe(make_recipe: Callable[..., Recipe], prefer) -> Recipe:
    stage = prefer(
        kind="reward",
        objectives=[{"kind": "bradley_terry"}],
        train={group: {"lr": 1e-2} for group in ("inputs.image.projector", "llm.lora", "llm.reward_head")},
        batch=6,
        steps=12,
    )
    return make_recipe(stage, llm={"reward_head": True})


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(recipe, tmp_path_factory.mktemp("reward") / "run")


def test_it_begins_at_ln_2_and_learns_which_reply_is_better(run: Path) -> None:
    losses = [record["losses"]["bradley_terry"] for record in records_of(run, "prefer")]
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert losses[-1] < 0.3
    assert all(norm > 0 for norm in records_of(run, "prefer")[-1]["grad_norms"].values())


def _rewards(system: System, samples: list, packed: bool) -> torch.Tensor:
    batch = collate(samples, packed=packed, pad_id=system.processor.tokenizer.pad_token_id)
    with torch.no_grad():
        rewards = forward(system.model, batch, {"rewards"}).rewards
    assert rewards is not None
    return rewards


def test_the_score_is_read_at_the_last_token_however_replies_are_laid_out(run: Path, judged: dict[str, str]) -> None:
    system = System.load(run / "model")
    system.model.eval()
    picture = Medium("image", str(Path(judged["pairs"]).parent / "0.png"))
    texts = ("a red cube", "a red cube and a ball and much more besides", "no")
    talks = [
        Conversation((Turn("user", (picture, Text("What is it?"))), Turn("assistant", (Text(t),))), t) for t in texts
    ]
    samples = [system.prepare(talk).loaded() for talk in talks]
    alone = torch.cat([_rewards(system, [sample], packed=False) for sample in samples])
    assert len({round(float(value), 3) for value in alone}) == 3
    for packed in (True, False):
        torch.testing.assert_close(_rewards(system, samples, packed), alone, rtol=0, atol=1e-4)
    ends = [[len(sample.input_ids) - 1] for sample in samples]
    padded = left_padded(system, samples, ends)
    torch.testing.assert_close(padded, alone, rtol=0, atol=1e-4)


def left_padded(system: System, samples: list, places: list[list[int]]) -> torch.Tensor:
    """What the head says at places of samples by the model itself, rows padded on the left."""
    found = []
    longest = max(len(sample.input_ids) for sample in samples)
    for sample, own in zip(samples, places, strict=True):
        lacking = longest - len(sample.input_ids)
        batch = collate([sample], packed=False, pad_id=0)
        ids = torch.cat([torch.zeros(1, lacking, dtype=torch.long), batch.input_ids], 1)
        mask = torch.cat([torch.zeros(1, lacking, dtype=torch.long), torch.ones_like(batch.input_ids)], 1)
        features = {m: system.model.encode(m, items) for m, items in batch.media.items()}
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.no_grad():
            output = system.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, features=features, output_hidden_states=True
            )
            found.append(system.model.rewards(output.hidden_states[-1], [lacking + place for place in own]))
    return torch.cat(found)


def test_a_trained_run_scores_replies_as_a_reward(run: Path, judged: dict[str, str]) -> None:
    reward = ModelRewardConfig(run=str(run)).build()
    picture = Medium("image", str(Path(judged["pairs"]).parent / "0.png"))
    asked = Conversation((Turn("user", (picture, Text("What is it?"))),), "0")
    replies = [Answered(asked, (Text(text),)) for text in ("a red cube", "a grey cube and a ball")]
    better, worse = reward.score(replies)
    assert better is not None and worse is not None and better > worse
    assert reward.score(replies[:1]) == pytest.approx([better], abs=1e-4)
    absent = Conversation((Turn("user", (Medium("image", "absent.png"), Text("What?"))),), "1")
    (judgement,) = reward.judge([Answered(absent, (Text("a cube"),))])
    assert judgement.value is None and "absent.png" in judgement.why


def test_a_system_without_a_head_and_an_objective_that_needs_one_are_refused(
    make_recipe: Callable[..., Recipe], prefer
) -> None:
    with pytest.raises(ValueError, match=r"needs a head that scores replies: llm\.reward_head: true"):
        make_recipe(prefer(objectives=[{"kind": "bradley_terry"}], kind="reward"))
    with pytest.raises(ValueError, match=r"give the LLM one: llm\.reward_head: true"):
        make_recipe(prefer(train={"llm.reward_head": {"lr": 1.0}}))
