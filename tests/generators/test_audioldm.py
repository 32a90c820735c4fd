"""AudioLDM and AudioLDM 2: the numbers of diffusers' pipelines, and what they refuse."""

import importlib
import math
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    ClapModel,
    ClapTextModelWithProjection,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    SpeechT5HifiGan,
    T5EncoderModel,
)

from modalink.errors import GenerationError, PartError, Stopped
from modalink.generators._mel_diffusion import TargetSpectrogram
from modalink.generators.audioldm import AudioLdm, AudioLdmConfig
from modalink.generators.audioldm2 import AudioLdm2, AudioLdm2Config
from modalink.modalities.audio import Sound
from modalink.roles import Conditions, ConditionShape
from modalink.testing import check_generator
from modalink.testing.sound_pipelines import tiny_audioldm, tiny_audioldm2


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def pooled(seed: int, items: int) -> Conditions:
    drawn = torch.randn(items, 16, generator=torch.Generator().manual_seed(seed))
    return Conditions({"pooled": torch.nn.functional.normalize(drawn, dim=-1)})


def both(seed: int, items: int) -> Conditions:
    rng = torch.Generator().manual_seed(seed)
    tensors = {
        "generated": torch.randn(items, 8, 12, generator=rng),
        "tokens": torch.randn(items, 6, 24, generator=rng),
    }
    return Conditions(tensors, {"tokens": torch.arange(6) < torch.arange(6, 6 - items, -1)[:, None]})


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> AudioLdmConfig:
    return AudioLdmConfig(checkpoint=str(tiny_audioldm(tmp_path_factory.mktemp("audioldm"))))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> AudioLdm2Config:
    return AudioLdm2Config(checkpoint=str(tiny_audioldm2(tmp_path_factory.mktemp("audioldm2"))), text_tokens=6)


def parts(config: Any, **kinds: Any) -> dict[str, Any]:
    """Parts of a pipeline, read by the classes of others."""
    kinds |= {"vae": diffusers.AutoencoderKL, "vocoder": SpeechT5HifiGan, "tokenizer": AutoTokenizer}
    kinds["scheduler"] = diffusers.DDIMScheduler
    return {name: kind.from_pretrained(Path(config.checkpoint) / name) for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def pipeline(first: AudioLdmConfig) -> Any:
    text = {"text_encoder": ClapTextModelWithProjection, "unet": diffusers.UNet2DConditionModel}
    made: Any = diffusers.AudioLDMPipeline(**parts(first, **text))
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def pipeline_2(second: AudioLdm2Config) -> Any:
    kinds = {"text_encoder": ClapModel, "text_encoder_2": T5EncoderModel, "language_model": GPT2LMHeadModel}
    kinds |= {"projection_model": diffusers.AudioLDM2ProjectionModel, "tokenizer_2": AutoTokenizer}
    made: Any = diffusers.AudioLDM2Pipeline(
        **parts(second, **kinds, unet=diffusers.AudioLDM2UNet2DConditionModel), feature_extractor=None
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize("name", ["first", "second"])
def test_they_keep_the_promises_of_their_role(request: pytest.FixtureRequest, name: str) -> None:
    check_generator(request.getfixturevalue(name))


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_samples_are_those_of_the_first_pipeline(first: AudioLdmConfig, pipeline: Any, guidance: float) -> None:
    """Measured difference 0, also for a length that is no multiple of the VAE's."""
    asked, away = pooled(0, 2), pooled(1, 2)
    options = {
        "guidance_scale": guidance,
        "num_inference_steps": 3,
        "generator": sources(5, 6),
        "audio_length_in_s": 0.00475,
    }
    expected = pipeline(
        prompt_embeds=asked["pooled"], negative_prompt_embeds=away["pooled"] if guidance > 1 else None, **options
    ).audios
    negative = away if guidance > 1 else None
    found = first.build().sample(
        asked, negative=negative, rng=sources(5, 6), steps=3, guidance=guidance, seconds=0.00475
    )
    assert [sound.rate_hz for sound in found] == [16_000] * 2 and expected.shape == (2, 76)
    worst = max(np.abs(one.values - other.clip(-1, 1)).max() for one, other in zip(found, expected, strict=True))
    assert worst <= 1e-5


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_samples_are_those_of_the_second_pipeline(second: AudioLdm2Config, pipeline_2: Any, guidance: float) -> None:
    """Measured difference 0, with masks of several lengths."""
    asked, away = both(0, 2), both(1, 2)
    given = {"prompt_embeds": asked["tokens"], "attention_mask": asked.mask("tokens").long()}
    given["generated_prompt_embeds"] = asked["generated"]
    if guidance > 1:
        given |= {"negative_prompt_embeds": away["tokens"], "negative_generated_prompt_embeds": away["generated"]}
        given["negative_attention_mask"] = away.mask("tokens").long()
    options = {
        "guidance_scale": guidance,
        "num_inference_steps": 3,
        "generator": sources(5, 6),
        "audio_length_in_s": 0.004,
    }
    expected = pipeline_2(**given, **options).audios
    negative = away if guidance > 1 else None
    found = second.build().sample(
        asked, negative=negative, rng=sources(5, 6), steps=3, guidance=guidance, seconds=0.004
    )
    worst = max(np.abs(one.values - other.clip(-1, 1)).max() for one, other in zip(found, expected, strict=True))
    assert worst <= 1e-5


def test_text_conditions_are_those_of_the_pipelines(
    first: AudioLdmConfig, second: AudioLdm2Config, pipeline: Any, pipeline_2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a red cube", "", "two circles " * 9]
    expected = pipeline._encode_prompt(texts, "cpu", 1, False)
    assert (first.build().encode_text(texts)["pooled"] - expected).abs().max() <= 1e-6

    class Roberta(PreTrainedTokenizerFast):
        """What the pipeline fills to the full length."""

    module = importlib.import_module("diffusers.pipelines.audioldm2.pipeline_audioldm2")
    monkeypatch.setattr(module, "RobertaTokenizer", Roberta)
    monkeypatch.setattr(module, "T5Tokenizer", PreTrainedTokenizerFast)
    heard = Roberta.from_pretrained(Path(second.checkpoint) / "tokenizer")
    monkeypatch.setattr(pipeline_2, "tokenizer", heard)
    ours = second.replace(text_tokens=16).build()
    for text in texts:
        tokens, mask, generated = pipeline_2.encode_prompt(text, "cpu", 1, False, max_new_tokens=8)
        found = ours.encode_text([text])
        assert (found["generated"] - generated).abs().max() <= 1e-5 * generated.abs().max()
        assert (found["tokens"][found.mask("tokens")] - tokens[mask.bool()]).abs().max() <= 1e-5 * tokens.abs().max()


def test_conditions_are_declared_without_weights(first: AudioLdmConfig, second: AudioLdm2Config) -> None:
    assert first.condition_shapes() == {"pooled": ConditionShape(16, norm="l2")}
    expected = {"generated": ConditionShape(12, 8), "tokens": ConditionShape(24, 6, masked=True)}
    assert second.condition_shapes() == expected


def test_a_vector_of_any_length_is_one_of_length_1(first: AudioLdmConfig) -> None:
    ours, asked = first.build(), pooled(0, 1)
    longer = Conditions({"pooled": asked["pooled"] * 7})
    one, other = (ours.sample(c, rng=sources(0), steps=2)[0].values for c in (asked, longer))
    assert np.abs(one - other).max() <= 1e-4


def test_a_spectrogram_is_the_textbooks() -> None:
    """A tone of 1 kHz stands in the bands about it; silence is the floor everywhere."""
    time = np.arange(16_000) / 16_000
    target = TargetSpectrogram(16_000, 160, 50, 64)
    tone = target(Sound(np.sin(2 * np.pi * 1000 * time).astype(np.float32), 16_000))
    assert tone.shape == (1, 1, 50, 64)
    # Slaney's scale is even up to 1 kHz: 15 of the 45.25 mels up to 8 kHz, in bands 45.25 / 65 apart.
    assert tone[0, 0, 25].argmax().item() in (20, 21)
    silent = target(Sound(np.zeros(4000, np.float32), 8000))
    assert torch.allclose(silent, torch.full_like(silent, math.log(1e-5)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 1e-5}, r"seconds: found 1e-05, needed a length from 0\.00025 to 120 seconds"),
        ({"seconds": 0}, "seconds: found 0"),
        ({"seconds": 121}, "seconds: found 121"),
        ({"seconds": math.nan}, "seconds: found nan"),
        ({"frames": 10**6}, "found frames, which this generator does not take"),
        ({"steps": 0}, "steps: found 0"),
        ({"guidance": -1}, "guidance: found -1"),
    ],
)
def test_odd_requests_are_refused(first: AudioLdmConfig, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        first.build().sample(pooled(0, 1), rng=sources(0), **options)


def test_conditions_that_are_no_numbers_are_refused(second: AudioLdm2Config) -> None:
    broken = both(0, 2)
    broken["generated"][1, 3, 2] = torch.nan
    with pytest.raises(GenerationError, match="found NaN or infinite numbers in 'generated' of item 1"):
        second.build().sample(broken, rng=sources(0, 1))


def test_it_stops_between_two_steps(first: AudioLdmConfig) -> None:
    ours, asked = first.build(), iter([False, True])
    with pytest.raises(Stopped, match="after 1 of 5 steps"):
        ours.sample(pooled(0, 1), rng=sources(0), steps=5, should_stop=lambda: next(asked))


def test_parts_of_different_pipelines_are_refused(tmp_path: Path) -> None:
    wide = tiny_audioldm(tmp_path / "a", projection_class_embeddings_input_dim=20)
    with pytest.raises(PartError, match="CLAP makes vectors of 16, the UNet reads 20"):
        AudioLdmConfig(checkpoint=str(wide)).build()
    wide = tiny_audioldm2(tmp_path / "b", cross_attention_dim=((None, 12, 20),) * 2)
    with pytest.raises(PartError, match=r"GPT-2 is 12, T5 24 wide, the UNet reads \[12, 20\]"):
        AudioLdm2Config(checkpoint=str(wide)).condition_shapes()


def test_a_projector_in_front_learns_through_the_frozen_networks(
    first: AudioLdmConfig, second: AudioLdm2Config
) -> None:
    makers: list[tuple[AudioLdm | AudioLdm2, Conditions]] = [
        (first.build(), pooled(0, 2)),
        (second.build(), both(0, 2)),
    ]
    for ours, asked in makers:
        link = torch.nn.Parameter(torch.ones(()))
        made = Conditions({name: values * link + link for name, values in asked.tensors.items()}, asked.masks)
        ours.denoising_error(torch.randn(2, 4, 8, 4), made, sources(0, 1)).sum().backward()
        assert link.grad is not None and link.grad.abs() > 0
        assert all(parameter.grad is None for parameter in ours.parameters())


@pytest.mark.parametrize(
    ("config", "unet", "seconds"),
    [
        (AudioLdmConfig(checkpoint="cvssp/audioldm-s-full-v2"), 185_036_552, 5.12),
        (AudioLdmConfig(checkpoint="cvssp/audioldm-l-full"), 739_139_080, 5.12),
        (AudioLdm2Config(checkpoint="cvssp/audioldm2"), 346_943_496, 5.12),
    ],
)
def test_published_pipelines_build_without_network_or_memory(config: Any, unet: int, seconds: float) -> None:
    """The papers say 185 and 739 million for AudioLDM-S and -L, and 346 million for AudioLDM 2."""
    with torch.device("meta"):
        bare = config.build(weights=False)
    assert sum(parameter.numel() for parameter in bare.unet.parameters()) == unet
    assert math.isclose(bare.defaults.seconds, seconds) and bare.vocoder.config.model_in_dim == 64
    assert (config.preprocessor().frames, config.preprocessor().bands) == (512, 64)
    with pytest.raises(PartError, match="not in the local cache"):
        config.build()
