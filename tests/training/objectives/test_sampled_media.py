"""Objectives about media that were made and judged: their numbers are those of released code, in float64."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from modalink.errors import TrainingError
from modalink.generators.musicgen import MusicgenConfig
from modalink.model.batch import Batch
from modalink.model.sampled import SampledMedium
from modalink.roles import Conditions, ConditionShape, Noised, Step, Walk
from modalink.testing.sound_pipelines import tiny_musicgen
from modalink.training.denoiser_states import DenoiserStates
from modalink.training.objectives import Output
from modalink.training.objectives._sampled import Judged, Requests
from modalink.training.objectives.condition_policy import ConditionPolicyConfig
from modalink.training.objectives.denoising_policy import DenoisingPolicyConfig
from modalink.training.objectives.diffusion_nft import DiffusionNftConfig
from modalink.training.policy_gradient import outcome_advantages
from modalink.training.randomness import ItemRngs
from tests.training.objectives.conftest import Tutor


def wide(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class Walking(Walk):
    """Steps whose mean is half of the latents and a multiple of one condition; the last of them draws nothing."""

    def __init__(self, conditions: Conditions, noise: float) -> None:
        self.shift, self.noise, self.steps = conditions["tokens"], noise, 3
        self.random = (0, 1) if noise else ()

    def start(self, rng: Sequence[torch.Generator]) -> Tensor:
        return torch.stack([torch.randn(2, generator=source, dtype=torch.float64) for source in rng])

    def step(self, latents: Tensor, number: int) -> Step:
        mean = latents * 0.5 + self.shift[:, :1] * (number + 1)
        return Step(mean, (0.3, 0.4, 0.0)[number] * self.noise, mean)

    def noised(self, media: Tensor, number: int, rng: Sequence[torch.Generator]) -> Tensor:
        return media

    def visible(self, latents: Tensor) -> Tensor:
        return latents

    def media(self, latents: Tensor) -> list[Tensor]:
        return [*latents]


class Line:
    """A generator of two numbers by steps, by noise, and from conditions as they are."""

    condition_shapes: Mapping[str, ConditionShape] = {"tokens": ConditionShape(width=2)}

    def walk(self, conditions: Conditions, *, noise: float | None = None, **options: Any) -> Walking:
        return Walking(conditions, 1.0 if noise is None else noise)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        return noisy * 0.3 + conditions["tokens"][:, :1]

    def noised(self, media: Tensor, rng: Sequence[torch.Generator]) -> Noised:
        noise, times = wide([[0.2, 0.7, -1.1], [-0.4, 0.9, 0.1]]), wide([[0.3], [0.8]])
        return Noised((1 - times) * media + times * noise, times, noise - media, None, times[:, 0])

    def sample(self, conditions: Conditions, *, rng: Sequence[torch.Generator], **options: Any) -> list[Any]:
        return [
            (values, torch.rand((), generator=g).item()) for values, g in zip(conditions["tokens"], rng, strict=True)
        ]


def judged(made: Any, reference: Any, advantages: Any, **tensors: Tensor) -> Judged:
    conditions = [Conditions({"tokens": wide(values)}) for values in (made, reference)]
    rng = [torch.Generator().manual_seed(i) for i in range(2)]
    return Judged(*conditions, tensors, wide(advantages), rng, DenoiserStates({}, None))


def test_steps_cost_what_the_loops_of_ddpo_and_flow_grpo_make_of_them() -> None:
    """kvablack/ddpo-pytorch@18294d8 scripts/train.py and yifan123/flow_grpo@74db691 scripts/train_sd3.py in float64, with
    the divergence of a step's own Gaussian."""
    before = wide([[[0.3, -1.2], [0.9, -0.4]], [[0.5, 0.2], [-0.7, 1.1]]])
    after = wide([[[0.45, -0.3], [0.2, 0.5]], [[0.1, 0.6], [-0.2, 0.9]]])
    old = wide([[-0.9, -2.1], [-0.1, -1.0]])
    given = {"before": before, "after": after, "steps": torch.tensor([[0, 1], [0, 1]])}
    media = judged([[0.25], [-0.4]], [[0.2], [-0.1]], [1.5, -5.0], densities=old, **given)
    objective = DenoisingPolicyConfig(clip=0.05, kl=0.04)
    assert objective.losses(Line(), media).tolist() == pytest.approx([-1.5740972222222225, 4.7825], abs=1e-9)
    densities = objective.remembered(Line(), media)["densities"]
    expected = [[0.2711453822323746, -0.9440540513305173], [-2.1385768399898484, -3.4792103013305167]]
    assert densities.tolist() == [pytest.approx(row, abs=1e-9) for row in expected]


@pytest.mark.parametrize(
    ("beta", "expected"),
    [(1.0, [2.1578858501415943, 8.122630303030304]), (0.1, [21.606163174756965, 65.86501251340722])],
)
def test_contrast_costs_what_the_code_of_diffusion_nft_makes_of_it(beta: float, expected: list[float]) -> None:
    """NVlabs/DiffusionNFT scripts/train_nft_sd3.py in float64, advantages of 2 and -9 cut at 5."""
    kept = {"media": wide([[0.5, -1.0, 0.25], [1.5, 0.3, -0.6]]), "condition.tokens": wide([[0.1], [0.15]])}
    media = judged([[0.2], [-0.1]], [[0.0], [0.05]], [2.0, -5.0], **kept)
    assert DiffusionNftConfig(beta=beta).losses(Line(), media).tolist() == pytest.approx(expected, abs=1e-9)
    divergence = [0.5 * 0.04, 0.5 * 0.0225]
    found = DiffusionNftConfig(beta=beta, kl=0.5).losses(Line(), media) - wide(expected)
    assert found.tolist() == pytest.approx(divergence, abs=1e-9)


def test_conditions_are_weighed_by_the_density_of_a_gaussian() -> None:
    spread, action, old = wide([0.2, 0.3]), wide([[0.3, 0.1], [-0.2, 0.5]]), wide([-0.9, -0.4])
    kept = {"action.tokens": action, "spread.tokens": spread}
    media = judged([[0.25, 0.2], [-0.4, 0.1]], [[0.2, 0.2], [0.0, 0.4]], [1.5, -2.0], densities=old, **kept)
    normal = torch.distributions.Normal(media.conditions["tokens"], spread[:, None])
    density = (normal.log_prob(action) + spread[:, None].log() + math.log(math.sqrt(2 * math.pi))).mean(1)
    ratio = (density - old).exp()
    clipped = torch.max(-media.advantages * ratio, -media.advantages * ratio.clamp(0.8, 1.2))
    start = torch.distributions.Normal(media.reference["tokens"], spread[:, None])
    expected = clipped + 0.1 * torch.distributions.kl_divergence(normal, start).mean(1)
    assert torch.allclose(ConditionPolicyConfig(kl=0.1).losses(Line(), media), expected, atol=1e-9)


@pytest.mark.parametrize("objective", [DenoisingPolicyConfig(), ConditionPolicyConfig()], ids=["steps", "conditions"])
def test_a_first_update_follows_the_policy_gradient(objective: Any) -> None:
    """Ratios are 1, so that a loss is minus the advantage and its gradient that of the log-density times it."""
    values = wide([[0.25, 0.2], [-0.4, 0.1]]).requires_grad_()
    drawn = objective.draw(Line(), Requests(Conditions({"tokens": values.detach()}), [3, 4], 1, 7))
    tensors = {name: torch.stack([one.tensors[name] for one in drawn]) for name in drawn[0].tensors}
    media = replace(
        judged(values.tolist(), values.tolist(), [1.5, -2.0], **tensors), conditions=Conditions({"tokens": values})
    )
    found = objective.losses(Line(), media)
    assert found.tolist() == pytest.approx([-1.5, 2.0], abs=1e-9)
    density = objective.remembered(Line(), media)["densities"]
    with torch.enable_grad():
        again = type(objective).remembered.__wrapped__(objective, Line(), media)["densities"]
    assert torch.equal(density, again.detach())
    wanted = -(again.flatten(1).mean(1) if again.ndim > 1 else again) @ media.advantages
    (gradient,), (expected,) = (torch.autograd.grad(one, values) for one in (found.sum(), wanted))
    assert torch.allclose(gradient, expected, atol=1e-9)


class Nearing(Walking):
    """Steps that go half of the way to the condition."""

    def step(self, latents: Tensor, number: int) -> Step:
        mean = latents * 0.5 + self.shift * 0.5
        return Step(mean, (0.3, 0.4, 0.0)[number] * self.noise, mean)


class Drawing(Line):
    """What is drawn ends where the conditions say, but for some noise."""

    def walk(self, conditions: Conditions, *, noise: float | None = None, **options: Any) -> Walking:
        return Nearing(conditions, 1.0 if noise is None else noise)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        return (noisy - conditions["tokens"]) / times

    def noised(self, media: Tensor, rng: Sequence[torch.Generator]) -> Noised:
        noise = torch.stack([torch.randn(2, generator=source, dtype=torch.float64) for source in rng])
        times = torch.full((len(media), 1), 0.5, dtype=torch.float64)
        return Noised(0.5 * media + 0.5 * noise, times, noise - media, None, times[:, 0])


@pytest.mark.parametrize(
    "objective",
    [DenoisingPolicyConfig(), DiffusionNftConfig(noise=1.0), ConditionPolicyConfig(sigma=0.3)],
    ids=["steps", "nft", "conditions"],
)
def test_the_expected_reward_rises(objective: Any) -> None:
    """Of media that should lie near (1, 1), whose conditions begin at -1 and 0.5."""
    generator, values = Drawing(), wide([[-1.0, -1.0], [0.5, 0.5]]).requires_grad_()
    optimizer, found = torch.optim.Adam([values], lr=0.05), []
    for step in range(60):
        conditions = Conditions({"tokens": values})
        drawn = objective.draw(
            generator, Requests(Conditions({"tokens": values.detach()}), [2 * step, 2 * step + 1], 16, step)
        )
        points = [one.medium[0] if isinstance(one.medium, tuple) else one.medium for one in drawn]
        rewards = [-float((point - 1).square().sum()) for point in points]
        found.append(sum(rewards) / len(rewards))
        everything = [rewards[:16], rewards[16:]]
        advantages = [value for own in outcome_advantages(everything, "grpo", rewards) for value in own]
        tensors = {name: torch.stack([one.tensors[name] for one in drawn]) for name in drawn[0].tensors}
        places = [0] * 16 + [1] * 16
        rng = [torch.Generator().manual_seed(1000 * step + i) for i in range(32)]
        made, worth = conditions.take(places), wide(advantages).clamp(-5, 5)
        media = Judged(made, made, tensors, worth, rng, DenoiserStates({}, None))
        optimizer.zero_grad()
        objective.losses(generator, media).mean().backward()
        optimizer.step()
    first, last = sum(found[:5]) / 5, sum(found[-5:]) / 5
    assert last > first + 0.5 * abs(first)


def test_noise_in_a_window_alone_and_a_share_of_the_steps() -> None:
    conditions = Conditions({"tokens": wide([[0.25, 0.2]])})
    seen = set()
    for seed in range(8):
        one, other = DenoisingPolicyConfig(window=1).draw(Line(), Requests(conditions, [3], 2, seed))
        (number,) = one.tensors["steps"].tolist()
        seen.add(number)
        assert torch.equal(one.tensors["steps"], other.tensors["steps"])
        shares = DenoisingPolicyConfig(fraction=0.5).draw(Line(), Requests(conditions, [3], 2, seed))
        assert len(shares[0].tensors["steps"]) == 1
    assert seen == {0, 1}
    still = DenoisingPolicyConfig(window=1, shared_start=True).draw(Line(), Requests(conditions, [3], 2, 0))
    first = still[0].tensors["steps"].tolist()[0]
    if first == 0:
        assert torch.equal(still[0].tensors["before"], still[1].tensors["before"])
    with pytest.raises(TrainingError, match="found 0 steps that draw noise"):
        DenoisingPolicyConfig(noise=0.0).draw(Line(), Requests(conditions, [3], 2, 0))
    with pytest.raises(TrainingError, match=r"found 2 steps that draw noise .*needed 3 at least"):
        DenoisingPolicyConfig(window=3).draw(Line(), Requests(conditions, [3], 2, 0))


def test_drawn_conditions_are_mirrored_share_noise_and_keep_to_tokens_that_are_there() -> None:
    tokens, mask = torch.ones(2, 3, 2), torch.tensor([[True, True, False], [True, True, True]])
    generator = Line()
    generator.condition_shapes = {"tokens": ConditionShape(width=2, tokens=3, masked=True)}
    requests = Requests(Conditions({"tokens": tokens}, {"tokens": mask}), [3, 4], 4, 0)
    drawn = ConditionPolicyConfig(sigma=0.5).draw(generator, requests)
    values = torch.stack([one.medium[0] for one in drawn]).unflatten(0, (2, 4))
    assert torch.equal(values[0, :, 2], tokens[0, :1].expand(4, 2)) and not torch.equal(
        values[1, :, 2], values[0, :, 2]
    )
    assert torch.allclose(values[:, 0] + values[:, 1], 2 * tokens) and torch.allclose(
        values[:, 2] + values[:, 3], 2 * tokens
    )
    assert not torch.allclose(values[:, 0], values[:, 2])
    noise = [one.medium[1] for one in drawn]
    assert len(set(noise[:4])) == len(set(noise[4:])) == 1 and noise[0] != noise[4]
    assert torch.equal(drawn[0].tensors["spread.tokens"], torch.tensor(0.5))
    free = ConditionPolicyConfig(mirrored=False, common_noise=False).draw(generator, requests)
    assert len({one.medium[1] for one in free}) == 8
    generator.condition_shapes = {"tokens": ConditionShape(width=2, tokens=3, norm="l2")}
    whole = Requests(Conditions({"tokens": tokens}), [3, 4], 2, 0)
    given = torch.stack([one.medium[0] for one in ConditionPolicyConfig().draw(generator, whole)])
    assert torch.allclose(given.norm(dim=-1), torch.ones(4, 3))


def test_a_generator_of_codes_is_drawn_from_by_its_conditions(tmp_path: Path) -> None:
    """MusicGen, which has no steps, gives the same sound for the same conditions and noise, and another for others."""
    config = MusicgenConfig(checkpoint=str(tiny_musicgen(tmp_path)), seconds=0.006, text_tokens=10)
    generator = config.build()
    requests = Requests(generator.encode_text(["a red cube"]), [3], 4, 0)
    drawn = ConditionPolicyConfig(sigma=1.0).draw(generator, requests)
    again = ConditionPolicyConfig(sigma=1.0).draw(generator, requests)
    samples = [one.medium.values for one in drawn]
    assert all((one == other.medium.values).all() for one, other in zip(samples, again, strict=True))
    assert any((samples[0] != one).any() for one in samples[1:])
    assert not any(isinstance(generator, ability) for ability in DenoisingPolicyConfig().abilities())


@pytest.fixture
def rated(batch: Batch) -> Batch:
    """Two media for the first target, of which one teaches; one for the third."""

    def medium(value: float, **told: Any) -> SampledMedium:
        tensors = {"action.tokens": torch.full((2, 4), value), "spread.tokens": torch.tensor(0.5)}
        return SampledMedium(tensors, **told)

    given = [(medium(1.0, advantage=9.0), medium(2.0, counts=False)), (), (medium(3.0, advantage=-1.0),)]
    targets = batch.targets["image"]
    items = [replace(item, sampled=own) for item, own in zip(targets.items, given, strict=True)]
    return replace(batch, targets={"image": replace(targets, items=items)})


def test_media_that_teach_something_are_read_beside_their_conditions(
    rated: Batch, output: Callable[[Tensor], Output]
) -> None:
    tokens = torch.arange(24.0).reshape(3, 2, 4).requires_grad_()
    objective, found = ConditionPolicyConfig(), output(tokens)
    given = replace(found, reference_conditions=output(tokens.detach() + 1).conditions)
    assert objective.count(rated) == 2
    media = objective.judged(given, rated, "image", Tutor(), ItemRngs(0, 0, [0, 1]))
    assert media is not None
    assert media.advantages.tolist() == [5.0, -1.0]
    assert torch.equal(media.conditions["tokens"], tokens[[0, 2]]) and torch.equal(
        media.reference["tokens"], tokens[[0, 2]] + 1
    )
    assert media.tensors["action.tokens"][:, 0, 0].tolist() == [1.0, 3.0]
    (gradient,) = torch.autograd.grad(objective.sum(given, rated, {"image": Tutor()}, ItemRngs(0, 0, [0, 1])), tokens)
    assert gradient[0].any() and not gradient[1].any() and gradient[2].any()
