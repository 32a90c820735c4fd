"""PPO: a value head that learns beside the policy, or a critic of its own, and what they are worth."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from modalink.errors import CheckpointError, TrainingError
from modalink.model import System, compose
from modalink.planning.rehearsal import rehearse
from modalink.planning.sizes import sizes
from modalink.recipe import Recipe
from modalink.training.train import train
from tests.support.forks import ended, ended_together
from tests.support.run_files import recipe_file, records_of
from tests.training import child, rollout_child

GROUPS = ("inputs.image.projector", "llm.lora", "llm.value_head")
LOSSES = [{"kind": "policy", "high": 0.2, "kl": 0}, {"kind": "value"}]


def _ppo(
    make_recipe: Callable[..., Recipe], rollout: Callable[..., dict[str, Any]], **own: Any
) -> Callable[..., Recipe]:
    changed = {"train": {group: {"lr": 3e-3} for group in GROUPS}, "objectives": LOSSES, **own}
    changed |= {"advantage": "gae", "kl_in_reward": 0.05, "replies": 2, "updates": 2, "inner_epochs": 2}
    return lambda **changes: make_recipe(
        rollout(**changed | changes), llm={"value_head": True, "reward_head": "critic_init" in changes}
    )


@pytest.fixture(scope="module", params=["shared", "own"])
def ppo(request, make_recipe: Callable[..., Recipe], rollout) -> Callable[..., Recipe]:
    """A recipe with one stage of PPO; keywords change the stage."""
    return _ppo(make_recipe, rollout, critic=request.param)


@pytest.fixture(scope="module")
def shared(make_recipe: Callable[..., Recipe], rollout) -> Callable[..., Recipe]:
    """The same, with the head on the policy's states."""
    return _ppo(make_recipe, rollout)


@pytest.fixture(scope="module")
def run(ppo: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(ppo(), tmp_path_factory.mktemp("ppo") / "run")


def test_rewards_rise_and_are_foreseen(ppo: Callable[..., Recipe], tmp_path: Path) -> None:
    rates = {"llm": {"lr": 1e-2}, "llm.value_head": {"lr": 1e-1}}
    small = {"batch": 6, "replies": 16, "beside": 96, "max_new_tokens": 2, "train": rates, "updates": 1}
    records = records_of(train(ppo(steps=6, **small), tmp_path / "run"), "draw")
    assert sum(record["reward"] for record in records[-3:]) / 3 > records[0]["reward"] + 0.08
    assert all(0 <= record["kl"] < 3 for record in records)
    assert records[0]["explained_variance"] == pytest.approx(0, abs=1e-6)
    assert records[-1]["losses"]["value"] < records[0]["losses"]["value"]


def test_a_step_tells_how_far_it_went(run: Path) -> None:
    first, second, *_ = records_of(run, "draw")
    assert first["kl"] == 0.0 and second["kl"] > 0
    assert first["losses"].keys() == {"policy", "value"} and first["losses"]["value"] > 0
    assert first["diagnostics"].keys() == {"policy.clipped", "policy.kl_of_update", "value.clipped"}
    assert all(0 <= value <= 1 for value in first["diagnostics"].values())
    assert first["diagnostics"]["policy.kl_of_update"] > 0
    assert first["explained_variance"] == 0 and second["explained_variance"] != 0


def test_what_learns_is_what_is_trained_and_the_head_which_is_saved_with_what_it_stands_on(
    run: Path, ppo: Callable[..., Recipe]
) -> None:
    before = {name: p.detach() for name, p in compose(ppo(), seed=0).model.named_parameters()}
    after = dict(System.load(run / "model").model.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    system = compose(ppo(), seed=0)
    trained = {name for group in GROUPS for name, _ in system.model.trainable_groups()[group]}
    checkpoint = run / "draw" / "checkpoints" / "step-00000004"
    saved = load_file(checkpoint / "weights.safetensors")
    if ppo().stages[0].critic == "own":
        assert moved == saved.keys() == trained - {"value_head.weight"}
        critic = load_file(checkpoint / "critic.safetensors")
        of_critic = {name.removeprefix("weights/"): t for name, t in critic.items() if name.startswith("weights/")}
        assert of_critic.keys() == trained and of_critic["value_head.weight"].norm() > 0
        assert not any(torch.equal(of_critic[name], after[name]) for name in trained)
        return
    assert moved == trained and "value_head.weight" in moved
    assert torch.equal(saved["value_head.weight"], after["value_head.weight"])


def test_killed_in_the_middle_of_drawing_it_is_resumed_to_the_bit_with_its_head(
    run: Path, ppo: Callable[..., Recipe], tmp_path: Path
) -> None:
    killed, output = tmp_path / "killed", tmp_path / "output"
    arguments = [recipe_file(ppo(), killed), str(killed), "3"]
    assert ended(rollout_child.__file__, arguments, output) == -signal.SIGKILL, output.read_text()
    train(ppo(), killed)
    assert records_of(killed, "draw") == records_of(run, "draw")
    last = [str(path.relative_to(run)) for path in run.glob("draw/checkpoints/step-00000004/*.safetensors")]
    for name in ("model/model.safetensors", "draw/replies.jsonl", *last):
        assert (killed / name).read_bytes() == (run / name).read_bytes(), name


def test_two_processes_learn_what_one_learns(ppo: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = ppo(steps=1, micro_batch=1, updates=1)
    one, two, output = tmp_path / "one", tmp_path / "two", tmp_path / "output"
    train(recipe, one)
    codes = ended_together(child.__file__, [recipe_file(recipe, two), str(two)], output=output, processes=2)
    assert codes == [0, 0], output.read_text()
    (alone,), (together,) = records_of(one, "draw"), records_of(two, "draw")
    assert together["units"] == alone["units"]
    for name, tolerance in (("losses", 1e-3), ("grad_norms", 1e-2), ("diagnostics", 1e-2)):
        assert together[name] == pytest.approx(alone[name], rel=tolerance, abs=1e-4), name


def test_where_no_reply_can_be_judged_nothing_is_learned(shared: Callable[..., Recipe], tmp_path: Path) -> None:
    rewards = [{"kind": "function", "function": "tests.training.stages.test_ppo:silent"}]
    (record,) = records_of(train_until_refused(shared(rewards=rewards, steps=1), tmp_path / "run"), "draw")
    assert record["unjudged"] == record["replies"] == 8 and record["grad_norm"] == 0.0 and record["signal"] == 0


def silent(answers: Any) -> list[None]:
    return [None] * len(answers)


def train_until_refused(recipe: Recipe, run: Path) -> Path:
    """A run whose one step taught nothing ends in words: what it wrote is looked at."""
    with pytest.raises(TrainingError, match="should train"):
        train(recipe, run)
    return run


@pytest.fixture(scope="module")
def score(prefer) -> dict[str, Any]:
    """A stage that teaches a reward model."""
    rates = {group: {"lr": 1e-2} for group in ("llm.lora", "llm.reward_head")}
    return prefer(name="score", kind="reward", objectives=[{"kind": "bradley_terry"}], train=rates, steps=2)


@pytest.fixture(scope="module")
def judge(make_recipe: Callable[..., Recipe], score, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(make_recipe(score, llm={"reward_head": True}), tmp_path_factory.mktemp("judge") / "judge")


def test_the_head_can_begin_as_that_of_a_reward_model(
    shared: Callable[..., Recipe], judge: Path, tmp_path: Path
) -> None:
    origin = {"from": str(judge), "groups": ["llm.value_head"], "renamed": {"llm.value_head": "llm.reward_head"}}
    still = {"llm.value_head": {"lr": 1e-12}, "llm.lora": {"lr": 1e-3}}
    run = train(shared(init=origin, steps=1, train=still), tmp_path / "run")
    one, other = (dict(System.load(folder / "model").model.named_parameters()) for folder in (judge, run))
    torch.testing.assert_close(other["value_head.weight"], one["reward_head.weight"], rtol=0, atol=1e-6)
    assert one["reward_head.weight"].norm() > 0
    wrong = {**origin, "renamed": {"llm.value_head": "llm.new_tokens"}}
    with pytest.raises(CheckpointError, match=r"renamed llm\.value_head: llm.new_tokens: found a group that cannot be"):
        train(shared(init=wrong, steps=1), tmp_path / "wrong")


def test_doctor_counts_and_tries_a_critic_of_its_own(shared: Callable[..., Recipe]) -> None:
    recipe, plain = shared(critic="own"), shared()
    lines = [*rehearse(recipe, recipe.stages[0], compose(recipe, seed=0), torch.device("cpu"))]
    both = [*rehearse(plain, plain.stages[0], compose(plain, seed=0), torch.device("cpu"))]
    heading = lines.index("a critic of its own:")
    assert [line.startswith("objective policy") for line in lines[:heading]].count(True) == 1
    assert not any("value" in line for line in lines[:heading])
    assert any(line.startswith("objective value") for line in lines[heading:])
    # The head stands at 0 and passes no gradient on, which doctor says of the copies.
    assert next(line for line in lines[heading:] if line.startswith("llm.value_head: gradient norm"))
    assert any(line.startswith("warning: llm.lora: gradient norm 0") for line in lines[heading:])
    assert not any("a critic" in line for line in both)
    once, twice = sizes(plain).trainable["draw"], sizes(recipe).trainable["draw"]
    head = sizes(plain).trained["draw"]["llm.value_head"]
    assert twice == 2 * once - head
    assert sizes(recipe).trained["draw"].keys() == {*GROUPS[:2], *(f"critic.{group}" for group in GROUPS)}


RENAMED = {"llm.value_head": "llm.reward_head"}


def _began(run: Path) -> dict[str, torch.Tensor]:
    """A critic that has learned next to nothing."""
    found = load_file(next(run.glob("draw/checkpoints/step-*")) / "critic.safetensors")
    return {name.removeprefix("weights/"): tensor for name, tensor in found.items() if name.startswith("weights/")}


STILL = {"critic": "own", "critic_lr": 1e-12, "steps": 1}
STILL |= {"train": {"llm.lora": {"lr": 1e-3}, "llm.value_head": {"lr": 1e-12}}}


def test_a_critic_can_begin_as_a_reward_model_of_another_run(shared, judge: Path, tmp_path: Path) -> None:
    run = train(shared(**STILL, critic_init={"from": str(judge), "renamed": RENAMED}), tmp_path / "run")
    wanted, found = dict(System.load(judge / "model").model.named_parameters()), _began(run)
    torch.testing.assert_close(found["value_head.weight"], wanted["reward_head.weight"], rtol=0, atol=1e-6)
    adapters = [name for name in found if ".lora_B." in name]
    assert adapters and all(wanted[name].norm() > 0 for name in adapters)
    for name in adapters:
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-6)


def test_a_critic_can_begin_as_a_reward_model_of_an_earlier_stage(
    make_recipe: Callable[..., Recipe], shared, score, rollout, judge: Path, tmp_path: Path
) -> None:
    drawing = shared(**STILL).stages[0].model_dump(mode="json")
    drawing |= {
        "init": {"from": str(judge), "groups": ["llm.lora"]},
        "critic_init": {"stage": "score", "renamed": RENAMED},
    }
    other = {**score, "train": {group: {"lr": 3e-2} for group in score["train"]}}
    run = train(make_recipe(other, drawing, llm={"reward_head": True, "value_head": True}), tmp_path / "run")
    scored, found = load_file(next(run.glob("score/checkpoints/step-*")) / "weights.safetensors"), _began(run)
    torch.testing.assert_close(found["value_head.weight"], scored["reward_head.weight"], rtol=0, atol=1e-6)
    policy = dict(System.load(judge / "model").model.named_parameters())
    for name in (name for name in found if ".lora_B." in name):
        torch.testing.assert_close(found[name], scored[name], rtol=0, atol=1e-6)
        assert not torch.allclose(found[name], policy[name], atol=1e-5)


def test_a_critic_that_reads_other_frozen_weights_than_the_policy_is_refused(
    make_recipe: Callable[..., Recipe], shared, prefer, tmp_path: Path
) -> None:
    rates = {group: {"lr": 1e-2} for group in ("inputs.image.projector", "llm.reward_head")}
    scoring = prefer(name="score", kind="reward", objectives=[{"kind": "bradley_terry"}], train=rates, steps=2)
    other = train(make_recipe(scoring, llm={"reward_head": True}), tmp_path / "judge")
    with pytest.raises(
        CheckpointError, match=r"is another there than in the policy.* add inputs\.image\.projector to train"
    ):
        train(shared(**STILL, critic_init={"from": str(other), "renamed": RENAMED}), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objectives": [{"kind": "policy"}]}, "found advantage gae without the objective `value`"),
        ({"advantage": "grpo"}, "found advantage grpo with the objective `value`"),
        ({"advantage": "grpo", "gae": {"lam": 1.0}}, "which knows no values; set advantage: gae"),
        ({"gae": {"lam": 1.5}}, "less than or equal to 1"),
        ({"train": {"llm.lora": {"lr": 1e-3}}}, "whose head nothing trains; add llm.value_head to train"),
        ({"critic_lr": 1e-3}, "found critic_lr and critic: shared, which is the policy itself; set critic: own"),
        ({"critic_init": {"from": "runs/judge"}}, "found critic_init and critic: shared"),
        ({"critic": "own", "advantage": "grpo", "objectives": [{"kind": "policy"}]}, "which knows no values"),
        ({"critic": "own", "train": {"llm.value_head": {"lr": 1e-3}}}, "name what the policy learns, too"),
        ({"critic": "own", "critic_init": {"stage": "score"}}, "earlier stage"),
    ],
)
def test_settings_that_mean_nothing_are_refused(shared, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        shared(**changes)


def test_a_system_without_a_head_is_refused(make_recipe: Callable[..., Recipe], rollout) -> None:
    stage = rollout(train={group: {"lr": 1e-3} for group in GROUPS}, objectives=LOSSES, advantage="gae")
    with pytest.raises(ValueError, match=r"needs a head that expects rewards: llm\.value_head: true"):
        make_recipe(stage)
