"""Steps from noise to media. That each generator's are what its role promises, the kit holds."""

import math
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from modalink.errors import GenerationError, Stopped
from modalink.generators._steps import DiffusionPath, EdmPath, FlowPath, SteppedWalk
from modalink.generators.sana import SanaConfig
from modalink.generators.stable_diffusion import StableDiffusion, StableDiffusionConfig
from modalink.roles import Conditions, MediaOptions, Step, Walk, Walks
from modalink.testing.checkpoints import tiny_stable_diffusion
from modalink.testing.pipelines import tiny_sana

NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CPU = torch.device("cpu")


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def wide(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> StableDiffusion:
    return StableDiffusionConfig(checkpoint=str(tiny_stable_diffusion(tmp_path_factory.mktemp("pipeline")))).build()


@pytest.fixture
def conditions() -> Conditions:
    return Conditions({"tokens": torch.randn(2, 16, 32)})


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_steps_with_noise_are_diffusers(kind: str, spacing: str, eta: float) -> None:
    """Measured 3e-16 where its table is float64 as ours is."""
    theirs = diffusers.DDIMScheduler(
        **NOISE, clip_sample=False, steps_offset=1, prediction_type=kind, timestep_spacing=spacing
    )
    path = DiffusionPath.of(theirs.config, 7, CPU)
    theirs.set_timesteps(7)
    theirs.alphas_cumprod, theirs.final_alpha_cumprod = (
        theirs.alphas_cumprod.double(),
        theirs.final_alpha_cumprod.double(),
    )
    latents, prediction, noise = wide(2, 4, 3), wide(2, 4, 3), wide(2, 4, 3)
    for number, time in enumerate(theirs.timesteps):
        expected = theirs.step(prediction, time, latents, eta=eta, variance_noise=noise)
        found = path.step(latents, prediction, number, eta)
        assert path.strides[number].time == time
        assert (found.mean + found.std * noise - expected.prev_sample).abs().max() < 1e-6
        assert (found.media - expected.pred_original_sample).abs().max() < 1e-6


def test_flow_steps_with_noise_have_the_numbers_of_flow_grpos_code() -> None:
    """Its `sde_step_with_logprob` (yifan123/flow_grpo@54809b5) in float64, noise level 0.7, shift 3, 4 steps."""
    released = [
        ([0.297653849, -1.019846159], 0.7, -0.582396709),
        ([0.327090884, -0.926584173], 0.868721407, -0.797074791),
        ([0.559686927, -1.35247406], 0.663284473, -0.699063925),
        ([0.304895874, -1.206244209], 0.00627809031, -531.940098),
    ]
    solver = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    solver.set_timesteps(4)
    path = FlowPath(solver, CPU)
    latents, velocity = torch.tensor([[0.3, -1.2]]).double(), torch.tensor([[-0.5, 0.8]]).double()
    for number, (mean, std, density) in enumerate(released):
        found = path.step(latents, velocity, number, 0.7)
        assert found.mean[0].tolist() == pytest.approx(mean, rel=1e-6)
        assert found.std == pytest.approx(std, rel=1e-6)
        assert found.log_density(torch.tensor([[0.1, -1.0]]).double()).item() == pytest.approx(density, rel=1e-5)


def test_flow_steps_without_noise_are_eulers() -> None:
    solver = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    solver.set_timesteps(5)
    path = FlowPath(solver, CPU)
    latents, velocity = wide(2, 4), wide(2, 4)
    for number, time in enumerate(solver.timesteps):
        expected = solver.step(velocity, time, latents).prev_sample
        assert (path.step(latents, velocity, number, 0.0).mean - expected).abs().max() < 1e-6


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
def test_steps_in_edms_scale_are_ddims_of_the_same_noise(kind: str) -> None:
    """Divided by the signal, latents that keep their variance are those to which noise is only added."""
    solver = diffusers.EDMDPMSolverMultistepScheduler(sigma_data=1.0, prediction_type=kind)
    path = EdmPath(solver, 5, CPU)
    for number in range(5):
        now, then = path.strides[number].now.noise, path.strides[number].then.noise
        signal, below = 1 / math.sqrt(1 + now**2), 1 / math.sqrt(1 + then**2)
        media, noise = wide(2, 3), wide(2, 3)
        given = path.read(media + now * noise, number)
        # What a network that knows both would say: the velocity from media to noise, or EDM's own, its opposite.
        velocity = signal * noise - now * signal * media
        found = path.step(media + now * noise, velocity if kind == "v_prediction" else -velocity, number, 0.5)
        assert torch.allclose(given, signal * (media + now * noise))
        assert torch.allclose(found.media, media, atol=1e-8)
        share = (1 - below**2) / (1 - signal**2) * (1 - signal**2 / below**2)
        assert found.std * below == pytest.approx(0.5 * math.sqrt(max(0, share)), abs=1e-9)
        assert torch.allclose(found.mean, media + math.sqrt(then**2 - found.std**2) * noise, atol=1e-8)


def test_the_density_is_the_mean_over_numbers_of_the_gaussians() -> None:
    step = Step(wide(3, 2, 5), 0.4, wide(3, 2, 5))
    values = wide(3, 2, 5)
    expected = torch.distributions.Normal(step.mean, 0.4).log_prob(values).flatten(1).mean(1)
    assert torch.allclose(step.log_density(values), expected, atol=1e-12)
    with pytest.raises(GenerationError, match="a step without noise, whose latents have no density"):
        Step(values, 0.0, values).log_density(values)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_walk_without_noise_is_ddims_sampling(
    generator: StableDiffusion, conditions: Conditions, guidance: float
) -> None:
    negative = conditions.take([1]) if guidance > 1 else None
    expected = generator.sample_latents(conditions, rng=sources(5, 6), steps=6, guidance=guidance, negative=negative)
    walk = generator.walk(conditions, noise=0.0, steps=6, guidance=guidance, negative=negative)
    found = walk.go(sources(5, 6))
    assert (found.latents[-1] - expected).abs().max() < 1e-4 * expected.abs().max()
    assert found.log_densities.shape == (2, 0)
    assert walk.media(found.latents[-1])[0].size == (32, 32)


def test_a_walk_draws_from_each_items_own_source(generator: StableDiffusion, conditions: Conditions) -> None:
    together = generator.walk(conditions, steps=4).go(sources(5, 6))
    again = generator.walk(conditions, steps=4).go(sources(5, 6))
    assert all(torch.equal(a, b) for a, b in zip(together.latents, again.latents, strict=True))
    other = generator.walk(conditions, steps=4).go(sources(5, 7))
    assert torch.equal(other.latents[0][0], together.latents[0][0])
    assert not torch.equal(other.latents[-1][1], together.latents[-1][1])
    assert together.latents[-1].dtype == together.log_densities.dtype == torch.float32


def test_a_walk_resumes_where_another_stopped(generator: StableDiffusion, conditions: Conditions) -> None:
    walk, source = generator.walk(conditions, steps=4), sources(5, 6)
    whole = walk.go(sources(5, 6))
    half = walk.go(source, last=2)
    rest = walk.go(source, latents=half.latents[-1], first=2)
    assert torch.equal(rest.latents[-1], whole.latents[-1])
    with pytest.raises(Stopped, match="after 2 of 4 steps"):
        walk.go(source, first=2, latents=half.latents[-1], should_stop=lambda: True)


def test_low_precision_conditions_walk_in_float32(tmp_path: Path, conditions: Conditions) -> None:
    ours = StableDiffusionConfig(checkpoint=str(tiny_stable_diffusion(tmp_path)), dtype="bfloat16").build()
    gone = ours.walk(conditions.to(dtype=torch.bfloat16), steps=2, guidance=3.0).go(sources(0, 1))
    assert gone.latents[-1].dtype == gone.log_densities.dtype == torch.float32
    assert gone.log_densities.isfinite().all()


def test_what_is_seen_is_what_users_are_given(generator: StableDiffusion, conditions: Conditions) -> None:
    """In steps of 1/255, through which gradients go as if there were none, and not where colours are cut."""
    walk = generator.walk(conditions, steps=2)
    latents = (3 * walk.go(sources(0, 1)).latents[-1]).requires_grad_()
    seen = walk.visible(latents)
    given = torch.stack([torch.tensor(list(image.tobytes())) for image in walk.media(latents)]).view(2, 32, 32, 3)
    assert torch.allclose(seen * 255, given.permute(0, 3, 1, 2).float(), atol=1e-3)
    exact = (generator.vae.decode(latents / generator.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
    weights = torch.randn_like(exact)
    (found,) = torch.autograd.grad((seen * weights).sum(), latents)
    (expected,) = torch.autograd.grad((exact * weights).sum(), latents)
    assert torch.allclose(found, expected, atol=1e-6 * float(expected.abs().max()))


def test_noise_of_a_step_is_given_back_to_clean_latents(generator: StableDiffusion, conditions: Conditions) -> None:
    walk = generator.walk(conditions, steps=3)
    assert isinstance(walk, SteppedWalk)
    media, noise = torch.randn(2, 4, 16, 16), torch.stack([torch.randn(4, 16, 16, generator=g) for g in sources(8, 9)])
    kept = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)[walk.path.strides[1].time]
    expected = kept.sqrt() * media + (1 - kept).sqrt() * noise
    assert torch.allclose(walk.noised(media, 1, sources(8, 9)), expected, atol=1e-5)


def test_sides_of_a_pair_share_time_and_noise(generator: StableDiffusion) -> None:
    one, other = (generator.noised(torch.full((1, 4, 16, 16), float(i)), sources(3)) for i in range(2))
    assert torch.equal(one.times, other.times) and torch.equal(one.target, other.target)
    shift = other.values - one.values
    assert torch.allclose(shift, shift.flatten()[0].expand_as(shift), atol=1e-6)


@pytest.mark.parametrize("family", ["diffusion", "flow"])
def test_the_error_in_media_is_that_of_the_prediction_scaled(
    generator: StableDiffusion, tmp_path: Path, family: str
) -> None:
    """So objectives on clean latents need no more than the prediction: the walk's own step says the same."""
    ours: Walks = generator if family == "diffusion" else SanaConfig(checkpoint=str(tiny_sana(tmp_path))).build()
    path: Any = ours.path(MediaOptions(steps=500, size=(32, 32)), CPU)  # type: ignore[attr-defined]
    latents = torch.randn(1, 4, 16, 16)
    noised = ours.noised(latents, sources(3))
    prediction = noised.target + 0.1
    times = torch.stack([stride.time for stride in path.strides])
    number = int((times - noised.times).abs().argmin())
    media = path.step(noised.values, prediction, number, 0.0).media
    expected = 0.1 * float(noised.to_media)
    assert float((media - latents).abs().mean()) == pytest.approx(expected, rel=0.05)


def test_requests_that_cannot_be_met_are_refused(generator: StableDiffusion, conditions: Conditions) -> None:
    for noise in (-1.0, math.nan, math.inf):
        with pytest.raises(GenerationError, match="noise: found"):
            generator.walk(conditions, noise=noise)
    with pytest.raises(GenerationError, match="needed fewer: its noise schedule has 1,000 times"):
        generator.walk(conditions, steps=1000)  # its times begin at 1
    with pytest.raises(GenerationError, match="does not take; its options"):
        generator.walk(conditions, seconds=3.0)


def test_a_walk_needs_its_own_steps() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Walk()  # type: ignore[abstract]
