"""A critic of its own is the policy at first, and learns from the value's loss alone."""

from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

from modalink.errors import CheckpointError, TrainingError
from modalink.features.cache import FeatureCache
from modalink.inference.sampling import Sampling
from modalink.model import Prepared, compose
from modalink.recipe import Recipe
from modalink.training.critic import Critic, critic_of
from modalink.training.drawn import drawing, numbers_of, sample_of
from modalink.training.freezing import freeze
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.opening import make_learner, open_loader
from modalink.training.rollouts import Group, Reply
from modalink.training.stages.online import OnlineConfig
from modalink.training.step import Learner

HEAD = "value_head.weight"


@pytest.fixture(scope="module")
def start(make_recipe: Callable[..., Recipe], rollout, tmp_path_factory: pytest.TempPathFactory):
    """A policy whose adapters and head are not zero, its critic, and replies to learn from; keywords change the stage."""

    def make(policy: float = 1.0, value: float = 1.0, **changes: Any) -> tuple[Learner, Critic | None, list[Prepared]]:
        groups = ("inputs.image.projector", "llm.lora", "llm.value_head")
        losses = [{"kind": "policy", "kl": 0, "weight": policy}, {"kind": "value", "weight": value}]
        changed = {"train": {g: {"lr": 1e-3} for g in groups}, "objectives": losses, "advantage": "gae", "replies": 2}
        recipe = make_recipe(rollout(**changed | changes), llm={"value_head": True})
        stage, folder, system = recipe.stages[0], tmp_path_factory.mktemp("critic"), compose(recipe, seed=0)
        assert isinstance(stage, OnlineConfig)
        for name, parameter in system.model.named_parameters():
            if "lora_B" in name or name == HEAD:
                torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
        run = Run(folder, recipe, system, FeatureCache(), torch.device("cpu"), lambda event: None, StopRequest())
        trained = freeze(system.model, system.model.trainable_groups(), stage.of_policy().train, dropout=False)
        learner = make_learner(run, stage, trained, steps=10)
        with ExitStack() as stack:
            batches = open_loader(run, stage, folder, stack).batches(learner.ready)
            prompts = next(batches)
            batches.close()
        how = drawing(system, Sampling(max_new_tokens=4, temperature=1.0))
        words = [token for token in range(200) if token not in how.never]
        replies = tuple(Reply((words[50 + i], words[7], words[9]), "", True, float(i)) for i in range(2))
        samples = [sample_of(system, Group(prompt, i, replies), how) for i, prompt in enumerate(prompts)]
        critic = critic_of(learner, stage)
        given = [sample for sample in samples if sample is not None]
        values = numbers_of(learner, given, {"values"}).values
        logprobs = numbers_of(learner, given).logprobs
        sides = iter(zip(values, logprobs, strict=True))
        told = [_told(sample, [next(sides) for _ in sample.sides]) for sample in given]
        return learner, critic, told

    return make


def _told(sample: Prepared, rows: list[tuple[list[float], list[float]]]) -> Prepared:
    """A sample with the numbers of its replies: a later one was worth more than was expected."""
    sides = []
    for i, (side, (values, logprobs)) in enumerate(zip(sample.sides, rows, strict=True)):
        assert side.sampled is not None
        fields = {"old": logprobs, "reference": logprobs, "values": values, "returns": [v + i - 0.4 for v in values]}
        fields["advantages"] = [i - 0.4 for _ in values]
        numbers = {name: tuple(row) for name, row in fields.items()}
        sides.append(replace(side, alternatives=(), sampled=replace(side.sampled, **numbers)))
    return replace(sides[0], alternatives=tuple(sides[1:]))


def _gradients(learner: Learner, samples: list[Prepared]) -> dict[str, torch.Tensor]:
    parts = learner.micro_batches(samples)
    learner.gradients(0, parts, learner.counts([part.batch for part in parts]))
    members = [member for group in learner.trained.values() for member in group]
    return {name: parameter.grad.clone() for name, parameter in members if parameter.grad is not None}


def _close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    largest = max(float(tensor.abs().max()) for tensor in wanted.values())
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-5 * largest)


def test_at_first_it_expects_what_the_head_on_the_policy_does(start) -> None:
    learner, critic, samples = start(critic="own")
    assert critic is not None
    shared = numbers_of(learner, samples, {"logits", "values"})
    own = critic.values(samples)
    assert [len(row) for row in own] == [len(row) for row in shared.logprobs] and any(map(any, own))
    assert own == [pytest.approx(row, rel=0, abs=1e-5) for row in shared.values]


def test_each_loss_has_the_gradient_that_it_has_alone(start) -> None:
    learner, critic, samples = start(critic="own")
    assert critic is not None
    of_policy = _gradients(learner, samples)
    with critic.in_place():
        of_critic = _gradients(critic.learner, samples)
    assert of_policy.keys() == of_critic.keys() - {HEAD} and HEAD in of_critic
    policy_alone, _, same = start(value=0.0)
    found = _gradients(policy_alone, same)
    assert not found.pop(HEAD).any()
    _close(of_policy, found)
    value_alone, _, same = start(policy=0.0)
    _close(of_critic, _gradients(value_alone, same))


def test_neither_moves_the_other(start) -> None:
    learner, critic, samples = start(critic="own")
    assert critic is not None
    expected, began = critic.values(samples), {name: t.clone() for name, t in learner.weights.items()}
    learner.learn(0, samples)
    assert critic.values(samples) == expected
    moved = {name: t.clone() for name, t in learner.weights.items()}
    assert all(not torch.equal(moved[name], began[name]) for name in began)
    record = critic.learn(0, samples)
    assert record["losses"].keys() == {"value"} and critic.values(samples) != expected
    assert all(torch.equal(learner.weights[name], moved[name]) for name in moved)
    assert all(not torch.equal(critic.weights.tensors[name], t) for name, t in (began | moved).items())
    model = learner.system.model
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(dict(model.named_parameters())[HEAD], dict(start()[0].system.model.named_parameters())[HEAD])


def test_it_learns_at_a_rate_of_its_own(start) -> None:
    _, critic, samples = start(critic="own", critic_lr=5e-3, schedule="constant", warmup=0)
    assert critic is not None
    rates = critic.learn(0, samples)["lr"]
    assert rates == {"inputs.image.projector": 5e-3, "llm.lora": 5e-3, "llm.value_head": 1e-3}


def test_it_goes_on_to_the_bit_from_what_is_saved(start) -> None:
    _, one, samples = start(critic="own")
    _, other, _ = start(critic="own")
    assert one is not None and other is not None
    one.learn(0, samples)
    saved, watch = {name: t.clone() for name, t in one.tensors().items()}, deepcopy(one.learner.watch.state_dict())
    one.learn(1, samples)
    other.load(saved, watch)
    other.learn(1, samples)
    assert one.tensors().keys() == other.tensors().keys()
    assert all(torch.equal(tensor, other.tensors()[name]) for name, tensor in one.tensors().items())
    assert one.learner.watch.state_dict() == other.learner.watch.state_dict()
    del saved[f"weights/{HEAD}"]
    with pytest.raises(CheckpointError, match=r"found a critic of .* parameters, needed the"):
        other.load(saved, watch)


def test_what_goes_wrong_is_said_to_be_the_critics(start) -> None:
    _, critic, samples = start(critic="own")
    assert critic is not None
    critic.weights.tensors[HEAD].fill_(torch.nan)
    with pytest.raises(TrainingError, match="the critic: stage draw, step 1: found loss value nan"):
        critic.learn(0, samples)


def test_what_values_do_not_depend_on_is_the_policys_alone(start) -> None:
    groups = ("llm.lora", "llm.value_head", "outputs.image.projector", "llm.new_tokens")
    losses = [{"kind": "policy", "kl": 0}, {"kind": "value"}, {"kind": "align"}]
    learner, critic, _ = start(critic="own", train={g: {"lr": 1e-3} for g in groups}, objectives=losses)
    assert critic is not None
    assert critic.learner.trained.keys() == {"llm.lora", "llm.value_head", "llm.new_tokens"}
    assert learner.trained.keys() == {*groups} - {"llm.value_head"}
    assert all(parameter.requires_grad for parameter in learner.parameters)


def test_the_table_that_scores_words_is_not_the_critics(start) -> None:
    learner, critic, samples = start(critic="own", train={g: {"lr": 1e-3} for g in ("llm", "llm.value_head")})
    assert critic is not None
    model = learner.system.model
    reads = {id(parameter) for parameter in model.get_input_embeddings().parameters()}
    scores = {id(parameter) for parameter in model.get_output_embeddings().parameters()} - reads
    own, policy = ({*map(id, one.parameters)} for one in (critic.learner, learner))
    assert scores & policy and not scores & own and reads & policy == reads & own != set()
    critic.learn(0, samples)
    critic.finish()


def test_a_stage_that_shares_has_no_critic(start) -> None:
    assert start()[1] is None
