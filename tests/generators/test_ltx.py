"""LTX-Video. That its numbers are the pipeline's, `docs/tools/parity/generators/ltx.py` holds."""

import json
import math
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from modalink.errors import GenerationError, PartError, Stopped
from modalink.generators.ltx import Ltx, LtxConfig
from modalink.modalities.video import Clip
from modalink.ragged import Layout, Ragged
from modalink.roles import Conditions
from modalink.testing import check_generator
from modalink.testing.clip_pipelines import tiny_ltx

WIDE = torch.float64
RESTORING: dict[str, Any] = {"timestep_conditioning": True, "decoder_inject_noise": (True, True, False)}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> LtxConfig:
    place = tiny_ltx(tmp_path_factory.mktemp("pipeline"))
    return LtxConfig(checkpoint=str(place), text_tokens=12, size=(16, 24), frames=5, fps=10)


@pytest.fixture(scope="module")
def generator(config: LtxConfig) -> Ltx:
    return config.build()


@pytest.fixture(scope="module")
def restoring(config: LtxConfig, tmp_path_factory: pytest.TempPathFactory) -> LtxConfig:
    """One whose decoder restores the last of the noise and whose layers draw some, as version 0.9.1."""
    return config.replace(checkpoint=str(tiny_ltx(tmp_path_factory.mktemp("restoring"), vae=RESTORING)))


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def drawn(*lengths: int, dtype: torch.dtype = torch.float32) -> Conditions:
    states = torch.randn(len(lengths), 12, 24, generator=torch.Generator().manual_seed(0)).to(dtype)
    return Conditions({"tokens": states}, {"tokens": torch.arange(12) < torch.tensor(lengths)[:, None]})


def test_it_keeps_the_promises_of_its_role(config: LtxConfig) -> None:
    check_generator(config)


def test_so_does_one_whose_decoder_draws_noise(restoring: LtxConfig) -> None:
    check_generator(restoring)


def test_a_request_says_how_large_and_how_long_a_clip_is(generator: Ltx) -> None:
    (clip,) = generator.sample(drawn(5), rng=sources(0), steps=2, size="8x12", frames=7)
    assert isinstance(clip, Clip)
    assert (clip.size, clip.num_frames, clip.duration_s) == ((8, 12), 7, 0.7)
    for seconds, frames in ((0.01, 1), (0.62, 7), (0.35, 3), (0.42, 5)):
        assert generator.checked(drawn(5), rng=sources(0), seconds=seconds).frames == frames


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 6}, r"frames: found 6, needed one more than a multiple of 2, for example 5"),
        ({"size": (16, 18)}, r"found 18 x 16 px \(width x height\), needed sides that are multiples of 4"),
        ({"seconds": 200}, r"found 2,001 frames \(200.1 s\), needed at most 1,000 \(100 s\)"),
        ({"frames": 999, "size": 1024}, r"are 1,047,527,424 pixels; at most 268,435,456 are made at once"),
        ({"seconds": 0.5, "frames": 5}, r"found 5 frames and 0.5 seconds, needed one of them"),
    ],
)
def test_what_it_cannot_make_is_refused(generator: Ltx, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        generator.sample(drawn(5), rng=sources(0), **options)


def test_settings_of_what_it_cannot_make_are_refused(config: LtxConfig) -> None:
    with pytest.raises(PartError, match=r"its settings ask for what it cannot make: frames: found 6, needed"):
        config.replace(frames=6).build(weights=False)


def test_latents_have_the_vaes_mean_and_spread_taken_away(config: LtxConfig) -> None:
    """And are decoded to what the autoencoder by itself makes of its own latents."""
    ours, clip = config.replace(dtype="float64").build(), torch.rand(1, 5, 3, 16, 24, dtype=WIDE) * 2 - 1
    latents = ours.encode_media(Ragged.of([clip], [Layout.of_units(1)]))
    raw = ours.vae.encode(clip.transpose(1, 2)).latent_dist.mode()
    mean, std = (values.double().view(-1, 1, 1, 1) for values in (ours.vae.latents_mean, ours.vae.latents_std))
    assert latents.shape == (1, 8, 3, 4, 6)
    assert torch.allclose(latents * std + mean, raw, atol=1e-9)
    expected = ours.vae.decode(raw).sample[0].transpose(0, 1)
    assert (ours.decoded(latents[0]) - expected).abs().max() < 1e-9 * expected.abs().max()


def test_what_a_mask_leaves_out_is_as_if_cut_off(config: LtxConfig) -> None:
    """Measured 1e-15: each is what the transformer by itself makes of as many states as there are."""
    ours, conditions = config.replace(dtype="float64").build(), drawn(5, 9, dtype=WIDE)
    noisy, times = torch.randn(2, 8, 3, 4, 6, dtype=WIDE), torch.tensor([300.0, 700.0])
    found = ours.predict(noisy, times, conditions)
    for i, length in enumerate((5, 9)):
        expected = ours.transformer(
            noisy[i : i + 1].flatten(2).transpose(1, 2),
            encoder_hidden_states=conditions["tokens"][i : i + 1, :length],
            encoder_attention_mask=None,
            timestep=times[i : i + 1],
            num_frames=3,
            height=4,
            width=6,
            rope_interpolation_scale=(2 / 10, 4, 4),  # frames and pixels of a latent, 10 frames a second
        ).sample
        assert (found[i].flatten(1).T - expected[0]).abs().max() < 1e-9 * expected.abs().max()
    lost = conditions["tokens"].masked_fill(~conditions.mask("tokens")[..., None], torch.nan)
    again = ours.predict(noisy, times, Conditions({"tokens": lost}, {"tokens": conditions.mask("tokens")}))
    assert torch.equal(again, found)


def test_the_transformer_is_told_how_fast_frames_follow(config: LtxConfig, generator: Ltx) -> None:
    noisy, time = torch.randn(1, 8, 3, 4, 6), torch.tensor(300.0)
    slow = config.replace(fps=2).build().predict(noisy, time, drawn(5))
    assert not torch.allclose(slow, generator.predict(noisy, time, drawn(5)), atol=1e-4)


@pytest.mark.parametrize("limit", [None, 2.0])
def test_the_error_is_that_of_the_velocity_at_times_that_grow_with_the_size(
    config: LtxConfig, limit: float | None
) -> None:
    """Its scheduler says a shift of e^0.95 for 16 latents and of e^2.05 for 64."""
    ours, conditions = config.replace(min_snr=limit).build(), drawn(5, 9)
    for grid, mu in (((1, 4, 4), 0.95), ((4, 4, 4), 2.05), ((2, 4, 5), 1.5)):
        latents = torch.randn(2, 8, *grid)
        found = ours.denoising_error(latents, conditions, sources(3, 4))
        for i, source in enumerate(sources(3, 4)):
            share = (torch.randn(1, generator=source) + mu).sigmoid()
            noise = torch.randn(8, *grid, generator=source)
            noisy = (1 - share) * latents[i] + share * noise
            velocity = ours.predict(noisy[None], 1000 * share, conditions.take([i]))[0]
            expected = (velocity - (noise - latents[i])).square().mean().item()
            if limit is not None:
                clean = (noisy - share * velocity - latents[i]).square().mean().item()
                expected = min(((1 - share) / share).square().item(), limit) * clean
            assert math.isclose(found[i].item(), expected, rel_tol=1e-3)


@pytest.mark.parametrize("changes", [{}, {"shift": 3.0}, {"solver": "dpm"}])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_walk_along_the_true_velocity_ends_at_the_clip(
    config: LtxConfig, changes: dict[str, Any], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a single step, for which the schedule that ends before its last has no numbers."""
    ours, goal = config.replace(**changes).build(), torch.randn(8, 3, 4, 6)
    monkeypatch.setattr(Ltx, "predict", lambda self, noisy, times, c: (noisy - goal) / (times / 1000))
    asked = {"steps": steps, "guidance": 1.0}
    found = ours.sample_latents(drawn(5), rng=sources(0), **asked)  # type: ignore[arg-type]
    assert torch.allclose(found[0], goal, atol=1e-2)  # DPM-Solver++ keeps a thousandth of the noise
    walked = ours.walk(drawn(5), noise=0.0, **asked).go(sources(0)).latents[-1]
    assert torch.allclose(walked[0], goal, atol=1e-3)


def test_times_are_moved_as_asked(config: LtxConfig) -> None:
    asked = config.build().defaults.model_copy(update={"steps": 4})
    own, fixed, half = (config.replace(**it).build() for it in ({}, {"shift": 2.0}, {"solver": "dpm", "shift": 2.0}))
    mu = 0.95 + (3 * 4 * 6 - 16) * (2.05 - 0.95) / (64 - 16)
    moved = [math.exp(mu) / (math.exp(mu) + 1 / s - 1) for s in (1, 0.75, 0.5, 0.25)]
    ends = [1 - (1 - s) * 0.9 / (1 - moved[-1]) for s in moved]  # the last of them is 0.1
    assert own.at_start(asked, torch.device("cpu")).sigmas.tolist() == pytest.approx([*ends, 0.0], abs=1e-5)
    assert own.shift_of((8, 3, 4, 6)) == pytest.approx(math.exp(mu))
    assert fixed.shift_of((8, 3, 4, 6)) == half.shift_of((8, 9, 9, 9)) == 2.0
    assert fixed.at_start(asked, torch.device("cpu")).sigmas[1].item() == pytest.approx(
        1 - (1 - 6 / 7) * 0.9 / (1 - 0.4), abs=1e-5
    )
    assert type(half.solver).__name__ == "DPMSolverMultistepScheduler"
    with pytest.raises(PartError, match="found 'ddim', which walks no flow"):
        config.replace(solver="ddim").build()


def test_what_a_decoder_draws_is_from_the_items_own_source(restoring: LtxConfig) -> None:
    """Torch's own source, of which its layers know, is left as it was."""
    ours, latents = restoring.build(), torch.randn(8, 3, 4, 6)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, again, other = (ours.decoded(latents, source) for source in sources(1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(ours.decoded(latents), ours.decoded(latents))
    assert torch.equal(torch.random.get_rng_state(), before)
    clean, told = restoring.replace(decode_noise_scale=0).build(), restoring.replace(decode_timestep=0.5).build()
    assert not torch.allclose(clean.decoded(latents), ours.decoded(latents), atol=1e-4)
    assert not torch.allclose(told.decoded(latents), ours.decoded(latents), atol=1e-4)


def test_it_stops_while_clips_are_decoded(generator: Ltx) -> None:
    asked: list[int] = []
    with pytest.raises(Stopped, match="before the frames of clip 2 of 2 were made"):
        generator.sample(drawn(5, 6), rng=sources(0, 1), steps=1, should_stop=lambda: asked.append(0) or len(asked) > 2)
    assert len(asked) == 3


def test_clips_are_the_latents_frames(generator: Ltx) -> None:
    latents = generator.sample_latents(drawn(5), rng=sources(0), steps=2)
    (clip,) = generator.sample(drawn(5), rng=sources(0), steps=2)
    frames = ((generator.decoded(latents[0]) / 2 + 0.5).clamp(0, 1) * 255).permute(0, 2, 3, 1)
    assert np.abs(np.asarray(clip) - frames.numpy()).max() <= 0.51


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("text_encoder", {"d_model": 20}, "T5's states are 20 wide, the transformer reads 24"),
        ("vae", {"latent_channels": 16}, "latents are 16 wide, the transformer reads 8"),
        ("transformer", {"out_channels": 16}, "restored latents are 16 wide, the transformer reads 8"),
        ("transformer", {"attention_head_dim": 16}, "projected states are 32 wide, the transformer reads 16"),
        ("transformer", {"patch_size": 2}, r"found patches of 2 latents a side and 1 times and of 1 frames, needed 1"),
        ("scheduler", {"max_image_seq_len": 16}, "no shift that grows .* known of 16 and 16 tokens, needed fewer"),
        ("scheduler", {"base_shift": "much"}, "no shift that grows with the size in scheduler/scheduler_config.json"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    part: str, changes: dict[str, Any], message: str, config: LtxConfig, tmp_path: Path
) -> None:
    place = tiny_ltx(tmp_path)
    file = place / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(PartError, match=message):
        config.replace(checkpoint=str(place)).build(weights=False)


def test_a_scheduler_with_one_shift_has_it(config: LtxConfig, tmp_path: Path) -> None:
    place = tiny_ltx(tmp_path, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))
    ours = config.replace(checkpoint=str(place))
    assert (ours.build().shift_of((8, 3, 4, 6)), ours.replace(shift=5.0).build().solver.config.shift) == (3.0, 5.0)


@pytest.mark.parametrize(
    ("reference", "transformer", "vae"),
    [
        ("Lightricks/LTX-Video", 1_923_385_472, 419_193_649),
        ("Lightricks/LTX-Video-0.9.5", 1_923_385_472, 1_246_913_522),
        ("Lightricks/LTX-Video-0.9.7-dev", 13_042_569_344, 1_246_913_522),
    ],
)
def test_published_pipelines_build_without_network_or_memory(reference: str, transformer: int, vae: int) -> None:
    config = LtxConfig(checkpoint=reference)
    with torch.device("meta"):
        bare = config.build(weights=False)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in bare.named_children()}
    assert sizes == {"transformer": transformer, "vae": vae, "text_encoder": 4_762_310_656}
    assert bare.latent_shape(bare.defaults) == (128, 21, 16, 22)
    (shape,) = config.condition_shapes().values()
    assert (shape.item, shape.masked, config.preprocessor().side) == ((128, 4096), True, (512, 704))
