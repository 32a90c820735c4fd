import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

from modalink.errors import PartError
from modalink.generators.stable_diffusion import StableDiffusion, StableDiffusionConfig
from modalink.kinds import parse
from modalink.ragged import Layout, Ragged
from modalink.roles import Conditions
from modalink.testing import check_generator
from modalink.testing.checkpoints import tiny_stable_diffusion

NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = {
    "ddim": diffusers.DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
    "ddim-v": diffusers.DDIMScheduler(**NOISE, clip_sample=False, steps_offset=1, prediction_type="v_prediction"),
    "pndm": diffusers.PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1),
    "dpm": diffusers.DPMSolverMultistepScheduler(**NOISE, steps_offset=1),
    "ancestral": diffusers.EulerAncestralDiscreteScheduler(**NOISE, steps_offset=1),
}


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def tokens(values: torch.Tensor) -> Conditions:
    return Conditions({"tokens": values})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def generator(folder: Path) -> StableDiffusion:
    return StableDiffusionConfig(checkpoint=str(folder)).build()


def test_it_is_found_by_its_name() -> None:
    config = parse("modalink.generators", {"kind": "stable_diffusion", "checkpoint": "zoo:diffusion"})
    assert config == StableDiffusionConfig(checkpoint="zoo:diffusion")


def test_it_keeps_the_promises_of_its_role(folder: Path) -> None:
    check_generator(StableDiffusionConfig(checkpoint=str(folder)))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_samples_are_those_of_the_pipeline(tmp_path: Path, name: str) -> None:
    """Measured difference 0.0 in latents and pixels, with and without guidance, also for solvers that draw noise."""
    folder = tiny_stable_diffusion(tmp_path, scheduler=SCHEDULERS[name])
    ours = StableDiffusionConfig(checkpoint=str(folder)).build()
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.unet.set_attn_processor(AttnProcessor())  # ours, on a CPU at this size
    conditions = tokens(torch.randn(2, 16, 32))
    empty = ours.encode_text([""])["tokens"].expand(2, -1, -1)
    for guidance in (1.0, 3.0):
        settings = {"num_inference_steps": 4, "guidance_scale": guidance, "prompt_embeds": conditions["tokens"]}
        settings |= {"negative_prompt_embeds": empty if guidance > 1 else None}
        expected = pipeline(**settings, generator=sources(5, 6), output_type="latent").images
        found = ours.sample_latents(conditions, steps=4, guidance=guidance, rng=sources(5, 6))
        assert torch.equal(found, expected)
        images = pipeline(**settings, generator=sources(5, 6)).images
        drawn = ours.sample(conditions, steps=4, guidance=guidance, rng=sources(5, 6))
        assert all(np.array_equal(one, other) for one, other in zip(drawn, images, strict=True))


def test_text_conditions_are_those_of_the_pipeline(folder: Path, generator: StableDiffusion) -> None:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    captions = ["a red cube", "", "many words " * 20]
    expected = pipeline.encode_prompt(captions, "cpu", 1, False)[0]
    assert torch.equal(generator.encode_text(captions)["tokens"], expected)


def test_guidance_moves_away_from_the_empty_text(generator: StableDiffusion) -> None:
    """Asked for the empty text itself, guidance changes nothing; asked for anything else, it does."""
    empty = generator.encode_text([""])
    walks = [generator.sample_latents(empty, steps=3, guidance=g, rng=sources(0)) for g in (1.0, 3.0)]
    assert torch.allclose(walks[0], walks[1], atol=1e-4)
    other = tokens(-empty["tokens"])
    walks = [generator.sample_latents(other, steps=3, guidance=g, rng=sources(0)) for g in (1.0, 3.0)]
    assert (walks[0] - walks[1]).abs().max() > 0.01


@pytest.mark.parametrize("solver", ["ddim", "dpm"])
def test_another_solver_walks_the_same_noise_schedule(folder: Path, solver: Any) -> None:
    ours = StableDiffusionConfig(checkpoint=str(folder), solver=solver).build()
    assert type(ours.solver).__name__ == {"ddim": "DDIMScheduler", "dpm": "DPMSolverMultistepScheduler"}[solver]
    assert torch.equal(ours.solver.alphas_cumprod, SCHEDULERS["ddim"].alphas_cumprod)


def test_old_schedulers_are_corrected_as_the_pipeline_does(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path, scheduler=diffusers.DDIMScheduler(**NOISE))
    assert json.loads((folder / "scheduler" / "scheduler_config.json").read_text())["clip_sample"] is True
    solver = StableDiffusionConfig(checkpoint=str(folder)).build(weights=False).solver
    assert (solver.config.clip_sample, solver.config.steps_offset) == (False, 1)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_denoising_error_is_the_textbooks(tmp_path: Path, kind: str) -> None:
    folder = tiny_stable_diffusion(tmp_path, scheduler=diffusers.DDIMScheduler(**NOISE, prediction_type=kind))
    config = StableDiffusionConfig(checkpoint=str(folder))
    ours, weighted = config.build(), config.replace(min_snr=5.0).build()
    latents, conditions = torch.randn(2, 4, 16, 16), tokens(torch.randn(2, 16, 32))
    kept = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)
    for i, source in enumerate(sources(3, 4)):
        time = torch.randint(1000, (1,), generator=source)
        noise = torch.randn(4, 16, 16, generator=source)
        signal, spread = kept[time].sqrt(), (1 - kept[time]).sqrt()
        noisy = signal * latents[i] + spread * noise
        targets = {"epsilon": noise, "v_prediction": signal * noise - spread * latents[i], "sample": latents[i]}
        prediction = ours.unet(noisy[None], time, conditions["tokens"][i : i + 1]).sample[0]
        expected = (prediction - targets[kind]).square().mean().item()
        found = ours.denoising_error(latents, conditions, sources(3, 4))[i].item()
        assert math.isclose(found, expected, rel_tol=1e-4)
        snr = (signal / spread).square().item()
        weight = {"epsilon": min(snr, 5) / snr, "v_prediction": min(snr, 5) / (snr + 1), "sample": min(snr, 5)}[kind]
        found = weighted.denoising_error(latents, conditions, sources(3, 4))[i].item()
        assert math.isclose(found, weight * expected, rel_tol=1e-3)


def test_media_go_to_latents_and_back(folder: Path, generator: StableDiffusion) -> None:
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    latents = generator.encode_media(Ragged.of([image[None] for image in images], [Layout.of_units(1)] * 2))
    assert latents.shape == (2, 4, 16, 16)
    expected = generator.vae.encode(images).latent_dist.mean * generator.vae.config.scaling_factor
    assert torch.equal(latents, expected)
    assert torch.equal(generator.decode_media(latents), generator.vae.decode(expected / 0.18215).sample)


def test_a_projector_in_front_learns_through_the_frozen_unet(generator: StableDiffusion) -> None:
    projector = torch.nn.Linear(6, 32)
    errors = generator.denoising_error(
        torch.randn(2, 4, 16, 16), tokens(projector(torch.randn(2, 16, 6))), sources(0, 1)
    )
    errors.sum().backward()
    assert projector.weight.grad is not None and projector.weight.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_half_precision_parts_take_float_conditions(folder: Path) -> None:
    ours = StableDiffusionConfig(checkpoint=str(folder), dtype="bfloat16").build()
    errors = ours.denoising_error(torch.randn(1, 4, 16, 16), tokens(torch.randn(1, 16, 32)), sources(0))
    assert errors.dtype == torch.float32
    assert ours.sample(tokens(torch.randn(1, 16, 32)), steps=1, guidance=3.0, rng=sources(0))[0].size == (32, 32)


@pytest.mark.parametrize(
    ("reference", "shape", "side", "parameters"),
    [
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", (77, 768), 512, 859_520_964 + 83_653_863 + 123_060_480),
        ("stabilityai/stable-diffusion-2-1-base", (77, 1024), 512, 865_910_724 + 83_653_863 + 340_387_840),
    ],
)
def test_published_pipelines_build_without_network_or_memory(
    reference: str, shape: tuple[int, int], side: int, parameters: int
) -> None:
    config = StableDiffusionConfig(checkpoint=reference)
    with torch.device("meta"):
        bare = config.build(weights=False)
    assert config.condition_shapes()["tokens"].item == shape
    assert config.preprocessor().side == side
    assert sum(parameter.numel() for parameter in bare.parameters()) == parameters
    with pytest.raises(PartError, match="not in the local cache"):
        config.build()


def test_parts_of_different_pipelines_are_refused(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path, cross_attention_dim=24)
    with pytest.raises(PartError, match="the text encoder is 32 wide, the UNet reads 24"):
        StableDiffusionConfig(checkpoint=str(folder)).build()


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(folder: Path, tmp_path: Path, part: str) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    shutil.rmtree(broken / part)
    with pytest.raises(PartError, match=part):
        StableDiffusionConfig(checkpoint=str(broken)).build()


MONSTROUS: list[tuple[str, str, dict[str, Any]]] = [
    ("unet", "config.json", {"layers_per_block": 10**7}),
    ("unet", "config.json", {"block_out_channels": [10**9] * 2}),
    ("unet", "config.json", {"down_block_types": ["DownBlock2D"] * 200_000}),
    ("unet", "config.json", {"cross_attention_dim": None}),
    ("unet", "config.json", {"sample_size": 10**9}),
    ("vae", "config.json", {"layers_per_block": -1, "block_out_channels": [32] * 5000}),
    ("vae", "config.json", {"block_out_channels": 0}),
    ("text_encoder", "config.json", {"num_hidden_layers": 10**7}),
    ("text_encoder", "config.json", {"hidden_size": 0}),
    ("scheduler", "scheduler_config.json", {"num_train_timesteps": 10**9}),
]


@pytest.mark.parametrize(("part", "name", "settings"), MONSTROUS)
def test_monstrous_settings_are_refused_in_words(
    folder: Path, tmp_path: Path, part: str, name: str, settings: dict[str, Any]
) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    file = broken / part / name
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    config = StableDiffusionConfig(checkpoint=str(broken))
    with pytest.raises(PartError, match=re.escape(str(broken))), torch.device("meta"):
        config.preprocessor()
        config.build(weights=False)


def test_a_size_that_it_cannot_make_is_found_when_it_is_built(folder: Path) -> None:
    config = StableDiffusionConfig(checkpoint=str(folder), size=(33, 32))
    with pytest.raises(PartError, match=r"its settings ask for what it cannot make: size: found 32 x 33 px"):
        config.build()
    assert config.replace(size="32x48").build().sample(
        tokens(torch.randn(1, 16, 32)), rng=sources(0), steps=1
    )[0].size == (32, 48)  # fmt: skip
