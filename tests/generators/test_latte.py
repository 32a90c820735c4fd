"""Latte. That its numbers are the pipeline's, `docs/tools/parity/generators/latte.py` holds."""

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from modalink.errors import GenerationError, PartError
from modalink.generators.latte import Latte, LatteConfig
from modalink.modalities.video import Clip
from modalink.roles import Conditions
from modalink.testing import check_generator
from modalink.testing.checkpoints import tiny_stable_diffusion
from modalink.testing.clip_pipelines import tiny_latte

WIDE = torch.float64


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> LatteConfig:
    return LatteConfig(checkpoint=str(tiny_latte(tmp_path_factory.mktemp("pipeline"))), text_tokens=12, fps=4)


@pytest.fixture(scope="module")
def generator(config: LatteConfig) -> Latte:
    return config.build()


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def drawn(*lengths: int, dtype: torch.dtype = torch.float32) -> Conditions:
    states = torch.randn(len(lengths), 12, 24, generator=torch.Generator().manual_seed(0)).to(dtype)
    return Conditions({"tokens": states}, {"tokens": torch.arange(12) < torch.tensor(lengths)[:, None]})


def test_it_keeps_the_promises_of_its_role(config: LatteConfig) -> None:
    check_generator(config)


def test_clips_have_the_frames_that_the_transformer_knows(generator: Latte) -> None:
    (clip,) = generator.sample(drawn(5), rng=sources(0), steps=2, size="48x32")
    assert isinstance(clip, Clip)
    assert (clip.size, clip.num_frames, clip.duration_s) == ((48, 32), 3, 0.75)


def test_what_a_mask_leaves_out_is_as_if_cut_off(config: LatteConfig) -> None:
    """Measured 1e-15: each is what the transformer by itself makes of as many states as there are."""
    ours, conditions = config.replace(dtype="float64").build(), drawn(5, 9, dtype=WIDE)
    noisy, times = torch.randn(2, 4, 3, 16, 16, dtype=WIDE), torch.tensor([300, 700])
    found = ours.predict(noisy, times, conditions)
    for i, length in enumerate((5, 9)):
        cut = conditions["tokens"][i : i + 1, :length]
        expected = ours.transformer(noisy[i : i + 1], timestep=times[i : i + 1], encoder_hidden_states=cut).sample
        assert (found[i] - expected[0, :4]).abs().max() < 1e-9 * expected.abs().max()
    lost = conditions["tokens"].masked_fill(~conditions.mask("tokens")[..., None], torch.nan)
    again = ours.predict(noisy, times, Conditions({"tokens": lost}, {"tokens": conditions.mask("tokens")}))
    assert torch.equal(again, found)


def test_of_what_it_steers_away_from_as_many_states_are_read_as_of_what_is_asked(generator: Latte) -> None:
    asked, read = drawn(4, 7), []
    predict = generator.predict
    generator.predict = lambda noisy, times, conditions: (  # type: ignore[method-assign]
        read.append(conditions.mask("tokens").sum(1).tolist()) or predict(noisy, times, conditions)
    )
    for negative in (None, drawn(12), drawn(2, 3)):
        generator.sample_latents(asked, negative=negative, rng=sources(0, 1), steps=1, guidance=3.0)
    del generator.predict
    assert read == [[4, 7, 4, 7]] * 3
    assert generator.null_conditions(1).mask("tokens").all()


def test_another_pipelines_autoencoder_may_stand_in_its_place(config: LatteConfig, tmp_path: Path) -> None:
    pictures = tiny_stable_diffusion(tmp_path, seed=3)
    other = config.replace(vae=str(pictures))
    assert other.checkpoints() == ((config.checkpoint, None), (str(pictures), None))
    expected = diffusers.AutoencoderKL.from_pretrained(pictures, subfolder="vae").state_dict()
    found = other.build().vae.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def test_a_network_that_predicts_clips_walks_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its error of learning is that of what it predicts."""
    solver = diffusers.DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False)
    place = tiny_latte(tmp_path, scheduler=solver, out_channels=4)
    ours, goal = LatteConfig(checkpoint=str(place), text_tokens=12).build(), torch.randn(4, 3, 16, 16)
    monkeypatch.setattr(Latte, "predict", lambda self, noisy, times, conditions: goal.expand_as(noisy))
    found = ours.sample_latents(drawn(5), rng=sources(0), steps=3, guidance=1.0)
    assert torch.allclose(found[0], goal, atol=1e-2)  # its last time is not without noise
    latents = torch.randn(2, 4, 3, 16, 16)
    error = ours.denoising_error(latents, drawn(5, 5), sources(1, 2))
    assert torch.allclose(error, (goal - latents).square().flatten(1).mean(1), rtol=1e-4)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("text_encoder", {"d_model": 20}, "T5's states are 20 wide, the transformer reads 24"),
        ("vae", {"latent_channels": 8}, "latents are 8 wide, the transformer reads 4"),
        ("transformer", {"sample_size": 15}, r"found latents of 15 x 15 .* multiples of 2"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    part: str, changes: dict[str, Any], message: str, config: LatteConfig, tmp_path: Path
) -> None:
    place = tiny_latte(tmp_path)
    file = place / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(PartError, match=message):
        config.replace(checkpoint=str(place)).build(weights=False)


def test_sizes_that_are_no_patches_are_refused(generator: Latte) -> None:
    with pytest.raises(GenerationError, match=r"latents of 17 x 16 \(width x height\), needed .* multiples of 2"):
        generator.sample(drawn(5), rng=sources(0), size="34x32")


def test_the_published_pipeline_builds_without_network_or_memory() -> None:
    config = LatteConfig(checkpoint="maxin-cn/Latte-1")
    with torch.device("meta"):
        ours = config.build(weights=False)
    assert ours.latent_shape(ours.defaults) == (4, 16, 64, 64)
    assert config.condition_shapes()["tokens"].item == (120, 4096)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in ours.named_children()}
    assert sizes == {"transformer": 1_057_246_880, "vae": 83_653_863, "text_encoder": 4_762_310_656}
