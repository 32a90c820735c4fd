"""Sana. That its numbers are the pipeline's, `docs/tools/parity/generators/sana.py` holds."""

import math
from pathlib import Path

import diffusers
import pytest
import torch

from modalink.errors import PartError
from modalink.generators.sana import Sana, SanaConfig
from modalink.roles import Conditions
from modalink.testing import check_generator
from modalink.testing.pipelines import tiny_sana


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SanaConfig:
    return SanaConfig(checkpoint=str(tiny_sana(tmp_path_factory.mktemp("pipeline"))), tokens=12)


@pytest.fixture(scope="module")
def generator(config: SanaConfig) -> Sana:
    return config.build()


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def drawn(items: int) -> Conditions:
    mask = torch.arange(12) < torch.tensor([5, 9])[:items, None]
    return Conditions({"tokens": torch.randn(items, 12, 16)}, {"tokens": mask})


def test_it_keeps_the_promises_of_its_role(config: SanaConfig) -> None:
    check_generator(config)


def test_words_behind_an_instruction_keep_their_number_of_tokens(config: SanaConfig, generator: Sana) -> None:
    told = config.replace(instruction="say more about it: ").build()
    plain, behind = generator.encode_text(["a red cube"]), told.encode_text(["a red cube"])
    assert plain["tokens"].shape == behind["tokens"].shape == (1, 12, 16)
    assert int(plain.mask("tokens").sum()) in range(3, 12)
    assert not torch.allclose(plain["tokens"], behind["tokens"])
    assert torch.equal(told.null_conditions(1)["tokens"], generator.null_conditions(1)["tokens"])


@pytest.mark.parametrize("times", ["uniform", "logit_normal"])
@pytest.mark.parametrize("limit", [None, 2.0])
def test_the_error_is_that_of_the_velocity(config: SanaConfig, times: str, limit: float | None) -> None:
    ours = config.replace(times=times, min_snr=limit, shift=2.0).build()
    latents, conditions = torch.randn(2, 8, 8, 8), drawn(2)
    found = ours.denoising_error(latents, conditions, sources(3, 4))
    for i, source in enumerate(sources(3, 4)):
        share = torch.rand(1, generator=source) if times == "uniform" else torch.randn(1, generator=source).sigmoid()
        share = 2 * share / (1 + share)
        noise = torch.randn(8, 8, 8, generator=source)
        noisy = (1 - share) * latents[i] + share * noise
        velocity = ours.predict(noisy[None], 1000 * share, conditions.take([i]))[0]
        expected = (velocity - (noise - latents[i])).square().mean().item()
        if limit is not None:
            clean = (noisy - share * velocity - latents[i]).square().mean().item()
            expected = min(((1 - share) / share).square().item(), limit) * clean
        assert math.isclose(found[i].item(), expected, rel_tol=1e-3)


def test_a_walk_along_the_true_velocity_ends_at_the_media(generator: Sana, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a network knows the way from any noise to one picture, Euler's steps end there, whatever their number."""
    goal = torch.randn(8, 8, 8)
    monkeypatch.setattr(Sana, "predict", lambda self, noisy, times, c: (noisy - goal) / (times / 1000))
    walker = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    monkeypatch.setattr(generator, "solver", walker)
    for steps in (1, 5):
        found = generator.sample_latents(drawn(1), rng=sources(0), steps=steps, guidance=1.0)
        assert torch.allclose(found[0], goal, atol=1e-4)


def test_latents_are_float32_whatever_the_conditions(generator: Sana) -> None:
    conditions = drawn(1).to(dtype=torch.bfloat16)
    found = generator.sample_latents(conditions, rng=sources(0), steps=1, guidance=3.0)
    assert found.dtype == torch.float32 and found.isfinite().all()


def test_flows_have_solvers_of_their_own(config: SanaConfig, tmp_path: Path) -> None:
    with pytest.raises(PartError, match="found 'ddim', which walks no flow"):
        config.replace(solver="ddim").build()
    assert config.build().solver.config.flow_shift == config.build().shift == 3.0
    euler = tiny_sana(tmp_path, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=2.0))
    config = config.replace(checkpoint=str(euler))
    assert (config.build().shift, config.replace(shift=5.0).build().solver.config.shift) == (2.0, 5.0)
    other = config.replace(solver="dpm").build().solver
    assert type(other).__name__ == "DPMSolverMultistepScheduler"
    assert (other.config.use_flow_sigmas, other.config.flow_shift) == (True, 2.0)


@pytest.mark.parametrize(
    ("reference", "parameters"),
    [
        ("Efficient-Large-Model/Sana_1600M_1024px_diffusers", 1_604_462_752),
        ("Efficient-Large-Model/Sana_600M_1024px_diffusers", 591_747_872),
    ],
)
def test_published_pipelines_build_without_network_or_memory(reference: str, parameters: int) -> None:
    config = SanaConfig(checkpoint=reference)
    with torch.device("meta"):
        bare = config.build(weights=False)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in bare.named_children()}
    assert sizes == {"transformer": parameters, "vae": 312_250_275, "text_encoder": 2_614_341_888}
    (shape,) = config.condition_shapes().values()
    assert (shape.item, shape.masked, config.preprocessor().side) == ((300, 2304), True, 1024)
