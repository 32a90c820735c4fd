"""Reward through the sampler."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from modalink.errors import TrainingError
from modalink.features.cache import FeatureCache
from modalink.generators.stable_diffusion import StableDiffusion, StableDiffusionConfig
from modalink.model import Prepared, compose
from modalink.recipe import Recipe
from modalink.rewards import Differentiable
from modalink.roles import Conditions
from modalink.training.freezing import freeze, needs_of
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.objectives import Output
from modalink.training.objectives.reward_gradient import RewardGradientConfig, estimated, followed, renoised
from modalink.training.opening import make_learner, open_loader
from modalink.training.own_reading import OwnReading
from modalink.training.randomness import ItemRngs
from modalink.training.step import Learner
from modalink.training.train import train
from tests.training.objectives.conftest import Tutor

GROUPS = ("outputs.image.projector", "llm.lora", "llm.new_tokens")


class Brightness(Differentiable):
    """Likes red."""

    def asking(self, question: str | None) -> "Brightness":
        return self

    def gradient(self, modality: str, seen: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        weights = torch.zeros_like(seen)
        weights[:, 0] = 1 / seen[0, 0].numel()
        return (seen * weights).flatten(1).sum(1), weights

    def score(self, modality: str, media: Sequence[Any], captions: Sequence[str]) -> Tensor:
        return torch.tensor([np.asarray(image)[..., 0].mean() / 255 for image in media]).float()


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture(scope="module")
def generator(parts: dict[str, Path]) -> StableDiffusion:
    return StableDiffusionConfig(checkpoint=str(parts["diffusion"])).build()


@pytest.fixture
def made() -> Conditions:
    return Conditions({"tokens": torch.randn(2, 16, 32, requires_grad=True)})


@pytest.fixture
def reward(data: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """A stage that follows the system's own reading."""
    objective = {"kind": "reward_gradient", "steps": 2, "guidance": 1.0}
    return lambda **changes: {
        "name": "reward",
        "train": {group: {"lr": 1e-2} for group in GROUPS},
        "objectives": [objective | changes.pop("objective", {})],
        "data": [{"source": "messages", "path": data["draw"]}],
        "batch": 3,
        "steps": 4,
        "checkpoint_every": 2,
        "precision": "float32",
        **changes,
    }


@pytest.fixture
def start(make_recipe: Callable[..., Recipe], reward, tmp_path: Path):
    def make(**changes: Any) -> tuple[Learner, list[Prepared]]:
        recipe = make_recipe(reward(**changes))
        system, stage = compose(recipe, seed=0), recipe.stages[0]
        run = Run(tmp_path, recipe, system, FeatureCache(), torch.device("cpu"), lambda event: None, StopRequest())
        trained = freeze(system.model, system.model.trainable_groups(), stage.train, needs_of(stage))
        with ExitStack() as stack:
            batches = open_loader(run, stage, tmp_path, stack).batches()
            samples = next(batches)
            batches.close()
        return make_learner(run, stage, trained, steps=10), samples

    return make


def test_gradients_reach_the_declared_groups_and_nothing_else(start) -> None:
    learner, samples = start()
    record = learner.learn(0, samples)
    assert record["units"] == {"reward_gradient": 3}
    assert set(record["grad_norms"]) == {*GROUPS} and min(record["grad_norms"].values()) > 0
    frozen = [learner.system.generators["image"], learner.system.model.model.input_projectors]
    assert all(parameter.grad is None for module in frozen for parameter in module.parameters())


def test_a_step_is_a_function_of_its_seeds_however_it_is_split(start) -> None:
    norms = []
    for micro_batch in (None, None, 1):
        learner, samples = start(micro_batch=micro_batch, objective={"noise": 0.5, "last": 2, "truncation": "random"})
        norms.append([learner.learn(0, samples)[name] for name in ("loss", "grad_norm")])
    assert norms[0] == norms[1]
    assert norms[2] == pytest.approx(norms[0], rel=1e-3)


def test_its_sum_is_minus_the_reward_of_what_is_made(
    batch, output, generator: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its gradient is that of the reward itself; a target without a caption counts nothing."""
    conditions = torch.randn(3, 16, 32, requires_grad=True)
    given = Output(conditions=output(conditions).conditions, own_reading=Brightness())
    objective, tutor = RewardGradientConfig(steps=3, guidance=1.0, last=2), _Tutor(generator)
    assert objective.count(batch) == 2
    found = objective.sum(given, batch, {"image": tutor}, ItemRngs(0, 0, [0, 1]))
    (gradient,) = torch.autograd.grad(found, conditions, retain_graph=True)
    drawn = ItemRngs(0, 0, [0, 1]).of("walk image", [0, 1, 1])
    walk = generator.walk(Conditions({"tokens": conditions[:2]}), noise=0.0, steps=3, guidance=1.0)
    latents = walk.step(walk.go(drawn[:2], last=1).latents[-1], 1).mean
    direct = -walk.visible(walk.step(latents, 2).mean)[:, 0].mean((1, 2)).sum()
    assert found.item() == pytest.approx(direct.item(), rel=1e-5)
    (expected,) = torch.autograd.grad(direct, conditions)
    assert torch.allclose(gradient, expected, atol=1e-5 * float(expected.detach().abs().max()))
    assert not gradient[2].any()


class _Tutor(Tutor):
    def __init__(self, generator: StableDiffusion) -> None:
        super().__init__()
        self.generator = generator


def test_beyond_its_bound_a_reward_gains_nothing(batch, output, generator: StableDiffusion) -> None:
    conditions = torch.randn(3, 16, 32, requires_grad=True)
    given = Output(conditions=output(conditions).conditions, own_reading=Brightness())
    for bound, passes in ((-1.0, False), (2.0, True)):
        objective = RewardGradientConfig(steps=2, guidance=1.0, bound=bound)
        found = objective.sum(given, batch, {"image": _Tutor(generator)}, ItemRngs(0, 0, [0, 1]))
        (gradient,) = torch.autograd.grad(found, conditions, allow_unused=True)
        assert (found.item() > 0, bool(gradient.any())) == (passes, passes)


def test_each_item_is_followed_through_steps_of_its_own(generator: StableDiffusion, made: Conditions) -> None:
    """Alone or beside an item of other steps; and not through any other step."""
    walk = generator.walk(made, noise=0.7, steps=4, guidance=1.0)
    together = followed(walk, sources(1, 2), [3, 1])
    (gradient,) = torch.autograd.grad(together.square().sum(), made["tokens"])
    assert torch.equal(together.detach(), walk.go(sources(1, 2)).latents[-1])
    for item, first in ((0, 3), (1, 1)):
        own = made.take([item])
        alone = generator.walk(own, noise=0.7, steps=4, guidance=1.0)
        found = followed(alone, sources(item + 1), [first])
        (expected,) = torch.autograd.grad(found.square().sum(), made["tokens"])
        worst = float((gradient[item] - expected[item]).abs().max())
        assert worst < 1e-4 * float(expected.detach().abs().max())
    assert not torch.allclose(gradient[0], gradient[1])


def test_an_estimate_is_what_a_step_makes_out(generator: StableDiffusion, made: Conditions) -> None:
    def start(conditions: Conditions) -> Any:
        return generator.walk(conditions, noise=0.0, steps=4, guidance=1.0)

    found = estimated(start, made, sources(1, 2), [3, 1])
    walk = start(made)
    gone = walk.go(sources(1, 2))
    for item, stop in ((0, 3), (1, 1)):
        expected = walk.step(gone.latents[stop], stop).media[item]
        assert torch.allclose(found[item], expected, atol=1e-5 * float(expected.detach().abs().max()))


def test_several_noises_are_several_last_steps_from_the_same_media(
    generator: StableDiffusion, made: Conditions
) -> None:
    walk = generator.walk(made, noise=0.0, steps=3, guidance=1.0)
    found = renoised(walk, sources(1, 2), 2)
    assert len(found) == 2 and not torch.equal(found[0], found[1])
    (gradient,) = torch.autograd.grad(found[0].sum() + found[1].sum(), made["tokens"])
    assert gradient.any()
    rng = sources(1, 2)
    clean = walk.go(rng).latents[-1]
    assert torch.equal(found[0], walk.step(walk.noised(clean, 2, rng), 2).media)


def test_own_reading_is_the_likelihood_of_the_caption_by_the_state_of_the_start(start) -> None:
    learner, _ = start()
    assert learner.reference is not None
    reading = OwnReading(learner.reference)
    seen, captions = (torch.rand(2, 3, 32, 32) * 255).round() / 255, ["a red cube", "two balls"]
    before, gradient = reading.gradient("image", seen, captions)
    expected, images = [], []
    for number, caption in enumerate(captions):
        image = Image.fromarray(seen[number].mul(255).round().byte().permute(1, 2, 0).numpy())
        images.append(image)
        prepared = learner.system.prepare(reading.shown("image", image, caption), learning=True)
        batch = learner.system.batch([prepared])
        logits = learner.system.model(**learner.encoders.encoded(batch).inputs()).logits
        own = torch.nn.functional.cross_entropy(logits.float(), batch.wanted)
        expected.append(-own.item())
    assert before.tolist() == pytest.approx(expected, abs=1e-5)
    assert reading.score("image", images, captions).tolist() == pytest.approx(expected, abs=1e-5)
    for parameter in learner.weights.values():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    again, _ = reading.gradient("image", seen, captions)
    assert torch.equal(before, again)
    better, _ = reading.gradient("image", (seen + 0.1 * gradient.sign()).clamp(0, 1), captions)
    assert (better > before).all()
    assert all(parameter.grad is None for parameter in learner.parameters)


def test_media_that_the_system_does_not_read_are_refused(start) -> None:
    learner, _ = start()
    with pytest.raises(TrainingError, match="own reading: found video that this system makes and cannot read"):
        OwnReading(learner.reference).gradient("video", torch.rand(1, 2, 3, 8, 8), ["a cube"])
    reader = learner.system.processor.readers
    reader["image"] = object()
    with pytest.raises(TrainingError, match="reads image through object, which has no gradients"):
        OwnReading(learner.reference).gradient("image", torch.rand(1, 3, 8, 8), ["a cube"])


def test_a_stage_is_resumed_to_the_bit(make_recipe: Callable[..., Recipe], reward, tmp_path: Path) -> None:
    """The reader is the state before the first step, also where the run is resumed behind it."""
    train_groups = {group: {"lr": 1e-2} for group in GROUPS[:2]}
    recipe = make_recipe(reward(objective={"noise": 0.5}, train=train_groups))
    whole = train(recipe, tmp_path / "whole")
    shutil.copytree(whole, tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "reward" / "checkpoints" / "step-00000004")
    shutil.rmtree(tmp_path / "resumed" / "model")
    resumed = train(recipe, tmp_path / "resumed")
    name = Path("model") / "model.safetensors"
    assert (resumed / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({"last": 3}, "found last: 3 of a walk of 2 steps"),
        ({"rewards": [{"kind": "exact_match"}]}, "the reward 'exact_match' has no gradient"),
    ],
)
def test_what_cannot_be_followed_is_refused(start, objective: dict[str, Any], message: str) -> None:
    learner, samples = start(objective=objective)
    with pytest.raises(TrainingError, match=message):
        learner.learn(0, samples)


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="several noises are of one last step"):
        RewardGradientConfig(noises=2, last=2)
