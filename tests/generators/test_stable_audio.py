"""Stable Audio: the numbers of diffusers' pipeline, the error that is learned by, and what it refuses."""

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, T5EncoderModel

from modalink.errors import GenerationError, PartError, Stopped
from modalink.generators._edm import CosineSolver, under_noise
from modalink.generators.stable_audio import StableAudio, StableAudioConfig
from modalink.modalities.audio import Sound
from modalink.ragged import Layout, Ragged
from modalink.roles import Conditions, ConditionShape
from modalink.testing import check_generator
from modalink.testing.sound_pipelines import tiny_stable_audio

PUBLISHED = "stabilityai/stable-audio-open-1.0"
COSINE: dict[str, Any] = {"sigma_min": 0.3, "sigma_max": 500, "sigma_data": 1.0, "sigma_schedule": "exponential"}
COSINE |= {"prediction_type": "v_prediction"}
WIDE = torch.float64


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def drawn(seed: int, *lengths: int) -> Conditions:
    states = torch.randn(len(lengths), 6, 24, dtype=WIDE, generator=torch.Generator().manual_seed(seed))
    return Conditions({"tokens": states}, {"tokens": torch.arange(6) < torch.tensor(lengths)[:, None]})


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> StableAudioConfig:
    place = str(tiny_stable_audio(tmp_path_factory.mktemp("stable_audio")))
    return StableAudioConfig(checkpoint=place, text_tokens=6, steps=4, dtype="float64")


@pytest.fixture(scope="module")
def generator(config: StableAudioConfig) -> StableAudio:
    return config.build()


@pytest.fixture(scope="module")
def pipeline(config: StableAudioConfig) -> Any:
    kinds: dict[str, Any] = {"transformer": diffusers.StableAudioDiTModel, "vae": diffusers.AutoencoderOobleck}
    kinds |= {"projection_model": diffusers.StableAudioProjectionModel, "text_encoder": T5EncoderModel}
    place = Path(config.checkpoint)
    made: Any = diffusers.StableAudioPipeline(
        **{name: kind.from_pretrained(place / name, torch_dtype=WIDE) for name, kind in kinds.items()},
        tokenizer=AutoTokenizer.from_pretrained(place / "tokenizer"),
        scheduler=diffusers.EDMDPMSolverMultistepScheduler.from_pretrained(place / "scheduler"),
    )
    made.tokenizer.model_max_length = 6
    made.set_progress_bar_config(disable=True)
    return made


def test_it_keeps_the_promises_of_its_role(config: StableAudioConfig) -> None:
    check_generator(config.replace(dtype="float32"))


@pytest.mark.parametrize(("guidance", "steered"), [(1.0, False), (7.0, False), (7.0, True)])
def test_samples_are_those_of_the_pipeline(
    generator: StableAudio, pipeline: Any, guidance: float, steered: bool
) -> None:
    """Also where guidance steers away from nothing: the seconds are then kept beside the words, and left out of them."""
    asked, away = drawn(0, 6, 4), drawn(1, 3, 6)
    given = {"prompt_embeds": asked["tokens"], "attention_mask": asked.mask("tokens").long()}
    if steered:
        states, there = away["tokens"], away.mask("tokens")
        given |= {"negative_prompt_embeds": states, "negative_attention_mask": there.long()}
    options = {"num_inference_steps": 4, "guidance_scale": guidance, "audio_end_in_s": 0.00475}
    latents = pipeline(**given, **options, generator=sources(5, 6), output_type="latent").audios
    waves = pipeline(**given, **options, generator=sources(5, 6)).audios
    mine = {"negative": away if steered else None, "steps": 4, "guidance": guidance, "seconds": 0.00475}
    found = generator.sample_latents(asked, rng=sources(5, 6), **mine)
    assert found.shape == latents.shape == (2, 4, 12) and found.dtype == WIDE
    # The transformer turns its queries in float32 whatever its weights are.
    assert (found - latents).abs().max() <= 1e-5 * latents.abs().max()
    sounds = generator.sample(asked, rng=sources(5, 6), **mine)
    assert [sound.rate_hz for sound in sounds] == [16_000] * 2 and waves.shape == (2, 2, 76)
    expected = waves.clamp(-1, 1).numpy()
    assert max(np.abs(sound.values.T - wave).max() for sound, wave in zip(sounds, expected, strict=True)) <= 1e-5


def test_text_conditions_are_those_of_the_pipeline(generator: StableAudio, pipeline: Any) -> None:
    texts = ["a red cube", "", "two circles " * 9]
    found = generator.encode_text(texts)
    made = pipeline.encode_prompt(texts, "cpu", False)
    words = pipeline.projection_model(text_hidden_states=found["tokens"]).text_hidden_states
    assert torch.allclose(words * found.mask("tokens")[..., None], made, rtol=0, atol=1e-9)
    assert found.mask("tokens").sum(1).tolist()[1:] == [1, 6]  # no words end, too; a long text is cut
    assert not generator.null_conditions(2).mask("tokens").any()


def test_seconds_are_told_and_are_the_length(generator: StableAudio) -> None:
    asked = drawn(0, 6)
    lengths = (0.002, 0.00475)
    short, long = (generator.sample(asked, rng=sources(0), seconds=seconds)[0] for seconds in lengths)
    assert (len(short.values), len(long.values)) == (32, 76)
    told = [generator.sample_latents(asked, rng=sources(0), seconds=seconds) for seconds in lengths]
    assert (told[0] - told[1]).abs().max() > 1e-6  # and not merely cut
    (own,) = generator.sample(asked, rng=sources(0))
    assert len(own.values) == 12 * 8


def test_one_without_words_is_told_no_seconds_in_their_place(
    config: StableAudioConfig,
) -> None:
    """Two lengths differ through the vector beside the words alone."""
    generator = config.build()
    noisy, time, none = torch.randn(1, 4, 12, dtype=WIDE), torch.tensor(0.3, dtype=WIDE), drawn(0, 0)
    some = drawn(0, 6)

    def apart(conditions: Conditions) -> float:
        short, long = (generator.predict(noisy, time, conditions, seconds) for seconds in (0.001, 0.004))
        return (long - short).abs().max().item()

    beside = [apart(it) for it in (none, some)]
    # Without that vector.
    generator.transformer.global_proj[0].weight.zero_()
    words = [apart(it) for it in (none, some)]
    assert min(beside) > 0 and words[0] == 0 and words[1] > 0


def test_sounds_are_learned_in_both_channels_with_silence_behind(config: StableAudioConfig) -> None:
    ours, prepare = config.build(), config.replace(seconds=0.004).preprocessor()
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 100).astype(np.float32)
    blocks = prepare(Sound(wave, 16_000))
    assert blocks.shape == (8, 8) and np.array_equal(blocks.flatten().numpy(), wave[:64])
    (latent,) = ours.encode_media(Ragged.of([blocks], [Layout.of_units(8)]))
    filled = torch.zeros(1, 2, 96, dtype=WIDE)
    filled[..., :64] = torch.from_numpy(wave[:64])
    assert torch.equal(latent, ours.vae.encode(filled).latent_dist.mode()[0])


@pytest.mark.parametrize("limit", [None, 2.0])
@pytest.mark.parametrize(("kind", "sign"), [("v_prediction", 1), ("epsilon", -1)])
def test_the_error_is_that_of_clean_latents_in_edms_scale(limit: float | None, kind: str, sign: int) -> None:
    """Whatever is predicted, diffusers' own conditioning makes clean latents of it: their error is the same."""
    solver = diffusers.EDMDPMSolverMultistepScheduler(sigma_data=0.5, prediction_type=kind)
    latents = torch.randn(2, 4, 12, dtype=WIDE)
    noised = under_noise(latents, solver, sources(3, 4), min_snr=limit)
    found = noised.error(sign * noised.values.tanh())
    for i, source in enumerate(sources(3, 4)):
        sigma = 0.5 * math.tan(torch.rand(1, generator=source).double().item() * math.pi / 2)
        noisy = latents[i] + sigma * torch.randn(4, 12, generator=source).double()
        given = solver.precondition_inputs(noisy, sigma)
        assert torch.allclose(noised.values[i], given, atol=1e-9)
        assert math.isclose(noised.times[i].item(), 0.25 * math.log(sigma), abs_tol=1e-9)
        clean = solver.precondition_outputs(noisy, sign * given.tanh(), sigma)
        error, snr = ((clean - latents[i]) / 0.5).square().mean().item(), (0.5 / sigma) ** 2
        expected = error * (snr + 1) if limit is None else error * min(snr, limit)
        assert math.isclose(found[i].item(), expected, rel_tol=1e-4)


def test_a_network_that_knows_the_media_has_no_error_and_walks_there() -> None:
    goal = torch.randn(1, 4, 12, dtype=WIDE)
    solver = CosineSolver(**COSINE, algorithm_type="sde-dpmsolver++")
    solver.set_timesteps(5)
    noisy = goal + solver.init_noise_sigma * torch.randn(1, 4, 12, dtype=WIDE)
    for time in solver.timesteps:
        sigma = (time * math.pi / 2).tan().double()
        whole = (sigma**2 + 1).sqrt()
        given = solver.scale_model_input(noisy, time)
        velocity = (given * whole - goal * (1 + sigma**2)) / (sigma * whole)
        noisy = solver.step(velocity, time, noisy, generator=sources(0)[0]).prev_sample
    assert torch.allclose(noisy, goal, atol=1e-4)


def test_dpm_takes_the_published_times_and_steps_without_torchsde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published scheduler asks torchsde for nothing but noise; without any, both walk alike."""
    monkeypatch.setitem(sys.modules, "torchsde", ModuleType("torchsde"))
    module = importlib.import_module("diffusers.schedulers.scheduling_cosine_dpmsolver_multistep")
    theirs: Any = module.CosineDPMSolverMultistepScheduler(**COSINE)
    place = str(tiny_stable_audio(tmp_path, scheduler=theirs))
    ours = StableAudioConfig(checkpoint=place, solver="dpm").build().solver
    monkeypatch.setattr("diffusers.schedulers.scheduling_edm_dpmsolver_multistep.randn_tensor", lambda *a, **k: 0.0)
    states = [torch.ones(1, 4, 12, dtype=WIDE)] * 2
    theirs.set_timesteps(6), ours.set_timesteps(6)
    theirs.noise_sampler = lambda *_: torch.zeros(())
    assert torch.equal(theirs.timesteps, ours.timesteps) and torch.equal(theirs.sigmas, ours.sigmas)
    assert math.isclose(ours.timesteps[0].item(), math.atan(500) / math.pi * 2, rel_tol=1e-6)
    for time in ours.timesteps:
        given = [solver.scale_model_input(x, time) for solver, x in zip((theirs, ours), states, strict=True)]
        states = [
            solver.step(x.tanh(), time, state).prev_sample
            for solver, x, state in zip((theirs, ours), given, states, strict=True)
        ]
    assert torch.allclose(*states, rtol=1e-9)


def test_schedulers_that_cannot_walk_here_are_refused(config: StableAudioConfig, tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"needs the package 'torchsde', which is not installed: .*`solver: dpm`"):
        StableAudioConfig(checkpoint=PUBLISHED).new_solver()
    with pytest.raises(PartError, match="found 'ddim', which does not walk in EDM's scale"):
        config.replace(solver="ddim").build()
    other = tiny_stable_audio(tmp_path, scheduler=diffusers.DDIMScheduler())
    with pytest.raises(PartError, match="a scheduler DDIMScheduler that predicts 'epsilon', needed one in EDM's scale"):
        StableAudioConfig(checkpoint=str(other)).build()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 1e-5}, r"seconds: found 1e-05, needed a length from 6\.3e-05 to 0\.006 seconds"),
        ({"seconds": 0}, "seconds: found 0"),
        ({"seconds": 47.6}, "seconds: found 47.6"),
        ({"seconds": math.nan}, "seconds: found nan"),
        ({"frames": 10**6}, "found frames, which this generator does not take"),
        ({"steps": 0}, "steps: found 0"),
        ({"guidance": -1}, "guidance: found -1"),
        ({"negative": drawn(0, 6), "guidance": 1.0}, "found a negative condition with guidance 1.0"),
    ],
)
def test_odd_requests_are_refused(generator: StableAudio, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        generator.sample(drawn(0, 6), rng=sources(0), **options)


def test_conditions_that_are_no_numbers_are_refused(generator: StableAudio) -> None:
    broken = drawn(0, 6, 3)
    broken["tokens"][1, 2, 3] = torch.inf
    with pytest.raises(GenerationError, match="found NaN or infinite numbers in 'tokens' of item 1"):
        generator.sample(broken, rng=sources(0, 1))


def test_it_stops_between_two_steps_and_before_samples(generator: StableAudio) -> None:
    for passed, message in ((1, "after 1 of 4 steps"), (5, "before the samples of sound 2 of 2 were made")):
        asked = iter([False] * passed + [True])
        with pytest.raises(Stopped, match=message):
            generator.sample(drawn(0, 6, 4), rng=sources(0, 1), should_stop=lambda asked=asked: next(asked))


def test_settings_that_cannot_be_met_are_refused(config: StableAudioConfig, tmp_path: Path) -> None:
    with pytest.raises(PartError, match="its settings ask for what it cannot make: seconds: found 1"):
        config.replace(seconds=1).build()
    with pytest.raises(PartError, match="words are 16 wide, the network that reads them 20"):
        StableAudioConfig(checkpoint=str(tiny_stable_audio(tmp_path / "a", cross_attention_input_dim=20))).build()
    with pytest.raises(PartError, match=r"makes 8388608 latents of 8 samples at 16000 Hz, needed 1 to"):
        StableAudioConfig(checkpoint=str(tiny_stable_audio(tmp_path / "b", sample_size=2**23))).preprocessor()


def test_the_published_pipeline_builds_without_network_or_memory() -> None:
    """The paper (section 3) says 1,057 million for the transformer, 156 for the autoencoder, 109 for T5."""
    config = StableAudioConfig(checkpoint=PUBLISHED, solver="dpm")
    with torch.device("meta"):
        bare = config.build(weights=False)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in bare.named_children()}
    assert sizes == {
        "transformer": 1_056_939_136,
        "vae": 156_112_514,
        "projection": 396_544,
        "text_encoder": 109_628_544,
    }
    assert config.condition_shapes() == {"tokens": ConditionShape(768, 128, masked=True)}
    assert math.isclose(bare.defaults.seconds, 47.55, abs_tol=0.01)
    assert (config.preprocessor().rate_hz, config.preprocessor().block, config.preprocessor().most) == (
        44100,
        2048,
        1024,
    )
    with pytest.raises(PartError, match="not in the local cache"):
        config.build()
