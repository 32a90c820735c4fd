"""Zeroscope and ModelScope: clips from text tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.deprecated.text_to_video_synthesis import TextToVideoSDPipeline

from modalink import modalities
from modalink.errors import GenerationError, Stopped
from modalink.generators import _clips
from modalink.generators.zeroscope import Zeroscope, ZeroscopeConfig
from modalink.modalities.video import Clip
from modalink.ragged import Layout, Ragged
from modalink.roles import Conditions
from modalink.testing import check_generator
from modalink.testing.pipelines import tiny_zeroscope


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ZeroscopeConfig:
    return ZeroscopeConfig(checkpoint=str(tiny_zeroscope(tmp_path_factory.mktemp("pipeline"))), frames=3, fps=4)


@pytest.fixture(scope="module")
def generator(config: ZeroscopeConfig) -> Zeroscope:
    return config.build()


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def tokens(items: int = 1) -> Conditions:
    return Conditions({"tokens": torch.randn(items, 16, 32, generator=torch.Generator().manual_seed(0))})


def test_it_keeps_the_promises_of_its_role(config: ZeroscopeConfig) -> None:
    check_generator(config)


@pytest.mark.parametrize("guidance", [1.0, 9.0])
def test_clips_are_those_of_the_pipeline(config: ZeroscopeConfig, guidance: float) -> None:
    """Measured 2e-14 of the largest latent; pixels are rounded to the same bytes, or at a tie to the next."""
    ours = config.build().double()
    pipeline = TextToVideoSDPipeline.from_pretrained(config.checkpoint, torch_dtype=torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    conditions, away = tokens(2).to(dtype=torch.float64), ours.null_conditions(1)["tokens"].expand(2, -1, -1)
    given: dict[str, Any] = {"prompt_embeds": conditions["tokens"], "num_inference_steps": 3}
    given |= {"negative_prompt_embeds": away, "guidance_scale": guidance, "num_frames": 3, "height": 32, "width": 48}
    asked: dict[str, Any] = {"steps": 3, "guidance": guidance, "size": "48x32"}
    expected = pipeline(**given, generator=sources(5, 6), output_type="latent").frames
    found = ours.sample_latents(conditions, rng=sources(5, 6), **asked)
    assert (found - expected).abs().max() <= 1e-9 * expected.abs().max()
    pixels = pipeline(**given, generator=sources(5, 6), output_type="np").frames
    for clip, frames in zip(ours.sample(conditions, rng=sources(5, 6), **asked), pixels, strict=True):
        assert clip.size == (48, 32) and (clip.num_frames, clip.duration_s) == (3, 0.75)
        assert np.abs(np.asarray(clip) - frames * 255).max() <= 0.51


def test_frames_are_decoded_and_encoded_few_at_a_time(generator: Zeroscope, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the clip, the VAE sees as many frames as at once; the numbers are those of all at once."""
    whole = generator.sample(tokens(), rng=sources(0), steps=2, frames=7)[0]
    units = torch.rand(1, 7, 3, 32, 32) * 2 - 1
    latents = generator.encode_media(Ragged.of([units], [Layout.of_units(1)]))
    assert latents.shape == (1, 4, 7, 16, 16)
    expected = generator.vae.encode(units[0, 5:6]).latent_dist.mode() * 0.18215
    assert torch.allclose(latents[:, :, 5], expected, atol=1e-4)
    seen: list[int] = []
    hook = generator.vae.decoder.register_forward_hook(lambda module, given, made: seen.append(len(given[0])))
    monkeypatch.setattr(_clips, "_TOGETHER", 2)
    again = generator.sample(tokens(), rng=sources(0), steps=2, frames=7)[0]
    hook.remove()
    assert seen == [2, 2, 2, 1]
    assert np.abs(np.asarray(whole).astype(int) - np.asarray(again)).max() <= 1


def test_a_length_in_seconds_is_one_in_frames(generator: Zeroscope) -> None:
    for seconds, frames in ((1.5, 6), (0.01, 1)):
        (clip,) = generator.sample(tokens(), rng=sources(0), steps=1, seconds=seconds)
        assert (clip.num_frames, clip.duration_s) == (frames, frames / 4)
    with pytest.raises(GenerationError, match=r"found 2 frames and 1 seconds, needed one of them: a clip has 4 frames"):
        generator.sample(tokens(), rng=sources(0), seconds=1, frames=2)
    with pytest.raises(GenerationError, match=r"found 14,400 frames \(3600 s\), needed at most 1,000 \(250 s\)"):
        generator.sample(tokens(), rng=sources(0), seconds=3600)


def test_it_stops_while_frames_are_decoded(generator: Zeroscope) -> None:
    asked: list[int] = []
    with pytest.raises(Stopped, match="before all of its frames were made"):
        generator.sample(
            tokens(), rng=sources(0), steps=1, frames=9, should_stop=lambda: asked.append(0) or len(asked) > 2
        )
    assert len(asked) == 3


def test_what_it_makes_can_be_played(generator: Zeroscope, tmp_path: Path) -> None:
    record = modalities.get("video")
    (clip,) = generator.sample(tokens(), rng=sources(0), steps=1)
    record.write(clip, tmp_path / f"a{record.written}")
    read = record.read(tmp_path / f"a{record.written}")
    assert np.array_equal(np.asarray(read), np.asarray(clip)) and abs(read.duration_s - 0.75) < 0.1


def test_targets_are_frames_at_its_rate_or_spread_over_what_there_is() -> None:
    frames = np.zeros((8, 16, 32, 3), dtype=np.uint8)
    frames[:] = 30 * np.arange(8)[:, None, None, None]
    clip = Clip.of(frames, fps=4.0)
    values = _clips.ClipPreprocessor(16, 4, fps=4.0)(clip)
    assert values.shape == (1, 4, 3, 16, 16)
    assert [round((value + 1) * 127.5) for value in values[0, :, 0, 0, 0].tolist()] == [0, 30, 60, 90]
    slow = _clips.ClipPreprocessor(16, 4, fps=1.0)(clip)
    assert [round((value + 1) * 127.5) for value in slow[0, :, 0, 0, 0].tolist()] == [0, 60, 120, 180]


def test_targets_may_be_wider_than_high() -> None:
    """Of a frame of 16 x 32 px the middle is kept: columns 8 to 24 of a square, all of its own shape."""
    row = np.arange(32, dtype=np.uint8)[None, None, :, None]
    clip = Clip.of(np.broadcast_to(4 * row, (2, 16, 32, 3)).copy(), fps=4.0)
    wide, square = (_clips.ClipPreprocessor(side, 2, fps=4.0) for side in ((16, 32), 16))
    columns = {preprocessor: (preprocessor(clip)[0, 0, 0, 3] + 1) * 127.5 / 4 for preprocessor in (wide, square)}
    assert torch.allclose(columns[wide], torch.arange(32.0), atol=1e-4)
    assert torch.allclose(columns[square], torch.arange(8.0, 24.0), atol=1e-4)
    assert (wide.to_dict()["side"], square.to_dict()["side"]) == ([16, 32], 16)


@pytest.mark.parametrize("reference", ["cerspense/zeroscope_v2_576w", "ali-vilab/text-to-video-ms-1.7b"])
def test_published_pipelines_build_without_network_or_memory(reference: str) -> None:
    config = ZeroscopeConfig(checkpoint=reference, size="576x320")  # type: ignore[arg-type]
    with torch.device("meta"):
        bare = config.build(weights=False)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in bare.named_children()}
    assert sizes == {"unet": 1_411_233_860, "vae": 83_653_863, "text_encoder": 340_387_840}
    assert config.condition_shapes()["tokens"].item == (77, 1024)
    assert bare.latent_shape(bare.defaults) == (4, 16, 40, 72)
