"""One run from examples over a reward model, which is shown facts, to PPO by it (factually augmented RLHF)."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PartError, SampleError
from modalink.model import System, compose
from modalink.recipe import Recipe
from modalink.rewards import Answered
from modalink.rewards.model import ModelRewardConfig
from modalink.training.events import Event, StageStarted
from modalink.training.stages.reward import RewardConfig
from modalink.training.train import train
from tests.support.forks import ended
from tests.support.run_files import recipe_file, records_of
from tests.support.tiny_run import COLOURS
from tests.training import rollout_child

QUESTION, ANSWER = "How good was that?\n{captions}", "My reply is worth"
HEADS = {"reward_head": True, "value_head": True}


@pytest.fixture(scope="module")
def stages(data, judged, good, pretrain, prefer, rollout, tmp_path_factory) -> list[dict]:
    """Examples, a reward model that is shown captions, and PPO from where the examples ended."""
    captions = tmp_path_factory.mktemp("captions") / "captions.json"
    captions.write_text(json.dumps({f"{n}.png": [f"a {colour} cube", "on grey"] for n, colour in enumerate(COLOURS)}))
    shown = {"captions": str(captions)}
    rates = {"llm.lora": {"lr": 1e-2}, "llm.reward_head": {"lr": 1e-2}}
    judging = {"question": QUESTION, "answer": ANSWER, "objectives": [{"kind": "bradley_terry"}], "train": rates}
    scores = [{"source": "preferences", "path": judged["pairs"], **shown}]
    score = prefer(name="score", kind="reward", steps=3, data=scores, **judging)
    ppo = rollout(
        init={"stage": "learn", "groups": ["llm.lora"]},
        train={group: {"lr": 3e-3} for group in ("llm.lora", "llm.value_head")},
        objectives=[{"kind": "policy", "high": 0.2, "kl": 0}, {"kind": "value"}],
        advantage="gae",
        kl_in_reward=0.1,
        replies=2,
        steps=2,
        rewards=[{"kind": "model", "stage": "score"}],
        data=[{"source": "messages", "path": good, **shown}],
    )
    both = {"inputs.image.projector": {"lr": 1e-2}, "llm.lora": {"lr": 1e-2}}
    return [pretrain(name="learn", steps=2, train=both), score, ppo]


def _rows(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.fixture(scope="module")
def recipe(make_recipe: Callable[..., Recipe], stages: list[dict]) -> Recipe:
    return make_recipe(*stages, llm=HEADS)


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The run, and all parameters when PPO began."""
    folder, begun = tmp_path_factory.mktemp("whole") / "run", dict[str, torch.Tensor]()
    system = compose(recipe, seed=recipe.seed)

    def note(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == "draw":
            begun.update({name: p.detach().clone() for name, p in system.model.named_parameters()})

    return train(recipe, folder, system=system, on_event=note), begun


def test_its_scores_are_those_of_a_run_that_ends_with_the_reward_model(run, recipe, make_recipe, stages, tmp_path):
    judge = ModelRewardConfig(run=str(train(make_recipe(*stages[:2], llm=HEADS), tmp_path / "judge"))).build()
    known = {row["id"]: row for row in _rows(recipe.stages[2].data[0].path)}
    for shown in _rows(run[0] / "draw" / "replies.jsonl"):
        source = recipe.stages[2].data[0].open()
        conversation = next(one for one in (source[i] for i in range(len(source))) if one.id == shown["prompt"])
        assert conversation.id in known
        asked = Conversation(conversation.turns[:-1], conversation.id)
        replies = [Answered(asked, (Text(reply["text"]),), conversation.facts) for reply in shown["replies"]]
        scores = [reply["parts"]["model"] for reply in shown["replies"]]
        assert judge.score(replies) == pytest.approx(scores, abs=1e-5)
        other = [Answered(one.conversation, one.reply, {"captions": ["a big ball"]}) for one in replies]
        assert judge.score(other) != pytest.approx(scores, abs=1e-5), "it reads what it is shown"
        (silent, *_) = judge.judge([Answered(asked, (Text("a"),), {})])
        assert silent.value is None and not silent.applies and "captions" in silent.why


def test_only_what_ppo_declares_learns_and_the_judge_stays_as_it_was(run, recipe) -> None:
    folder, begun = run
    after = dict(System.load(folder / "model").model.named_parameters())
    moved = {name for name, tensor in begun.items() if not torch.equal(tensor, after[name])}
    groups = compose(recipe, seed=0).model.trainable_groups()
    assert moved == {name for group in recipe.stages[2].train for name, _ in groups[group]}
    assert begun["reward_head.weight"].norm() > 0, "the judge's head stands beside, to be asked later"
    first, *_ = records_of(folder, "draw")
    assert first["rewards"].keys() == {"model"} and first["unjudged"] == 0
    assert first["kl"] == pytest.approx(0, abs=1e-6), "the policy begins where the examples ended"


def test_killed_in_the_middle_of_drawing_it_is_resumed_to_the_bit(run, recipe: Recipe, tmp_path: Path) -> None:
    killed, output = tmp_path / "killed", tmp_path / "output"
    arguments = [recipe_file(recipe, killed), str(killed), "2"]
    assert ended(rollout_child.__file__, arguments, output) == -signal.SIGKILL, output.read_text()
    train(recipe, killed)
    assert records_of(killed, "draw") == records_of(run[0], "draw")
    for name in ("model/model.safetensors", "draw/replies.jsonl"):
        assert (killed / name).read_bytes() == (run[0] / name).read_bytes(), name


def test_the_question_stands_behind_the_reply_with_its_facts(recipe: Recipe, stages: list[dict]) -> None:
    stage = RewardConfig.model_validate(stages[1])
    turns = (Turn("user", (Medium("image", "0.png"),)), Turn("assistant", (Text("a cube"),)))
    shown = stage.shown(Conversation(turns, "0", {"captions": ["a", "b"]}), recipe)
    assert [(turn.role, turn.text, turn.loss) for turn in shown.turns[2:]] == [
        ("user", "How good was that?\n- a\n- b", True),
        ("assistant", ANSWER, False),
    ]
    with pytest.raises(
        SampleError, match="the record tells no 'captions', which the question of the stage score shows"
    ):
        stage.shown(Conversation(turns, "0"), recipe)


def test_what_cannot_judge_is_refused(make_recipe: Callable[..., Recipe], stages: list[dict]) -> None:
    learn, score, ppo = stages
    with pytest.raises(
        ValueError, match=r"stages\.2\.rewards\.0\.stage: found the stage learn, which teaches no scores"
    ):
        make_recipe(learn, score, ppo | {"rewards": [{"kind": "model", "stage": "learn"}]}, llm=HEADS)
    with pytest.raises(ValueError, match=r"unknown earlier stage 'score'; known: learn"):
        make_recipe(learn, ppo, score, llm=HEADS)
    with pytest.raises(ValueError, match="needed exactly one of the two: who scores"):
        make_recipe(learn, score, ppo | {"rewards": [{"kind": "model"}]}, llm=HEADS)
    with pytest.raises(PartError, match="is asked within its run alone; name a run"):
        ModelRewardConfig(stage="score").build()
    with pytest.raises(ValueError, match="needed the name of a fact in braces"):
        make_recipe(learn, score | {"question": "How good, by {0}?"}, llm=HEADS)
    with pytest.raises(ValueError, match="found an answer without a question"):
        make_recipe(learn, score | {"question": None}, llm=HEADS)
