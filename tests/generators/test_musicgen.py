"""MusicGen says the codes of transformers' own `generate`, each item from its own source of randomness."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MusicgenForConditionalGeneration

from modalink.errors import GenerationError, PartError, Stopped
from modalink.generators.musicgen import Musicgen, MusicgenConfig
from modalink.ragged import Layout, Ragged
from modalink.roles import Conditions, ConditionShape
from modalink.testing import check_generator
from modalink.testing.checkpoints import tiny_llama
from modalink.testing.sound_pipelines import tiny_musicgen

SECONDS = 0.006  # 12 steps


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> MusicgenConfig:
    place = tiny_musicgen(tmp_path_factory.mktemp("musicgen"))
    return MusicgenConfig(checkpoint=str(place), seconds=SECONDS, text_tokens=10)


@pytest.fixture(scope="module")
def generator(config: MusicgenConfig) -> Musicgen:
    return config.build()


def test_it_keeps_the_promises_of_its_role(config: MusicgenConfig) -> None:
    check_generator(config)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_likeliest_codes_are_those_of_generate(config: MusicgenConfig, guidance: float) -> None:
    """Of two texts of different lengths, with the samples that EnCodec makes of them; in float64."""
    ours = config.replace(temperature=0, dtype="float64").build()
    model: Any = MusicgenForConditionalGeneration.from_pretrained(config.checkpoint, dtype=torch.float64).eval()
    texts = ["a red cube", "two blue circles and a star"]
    tokens = ours.tokenizer(texts, padding="max_length", max_length=10, truncation=True, return_tensors="pt")
    expected = model.generate(**tokens, do_sample=False, guidance_scale=guidance, max_new_tokens=12 + 4 - 1)
    found = ours.sample(ours.encode_text(texts), rng=sources(0, 1), guidance=guidance)
    assert expected.shape == (2, 1, 96) and [sound.rate_hz for sound in found] == [16_000] * 2
    for sound, wave in zip(found, expected[:, 0].clamp(-1, 1).numpy(), strict=True):
        assert np.abs(sound.values - wave).max() <= 1e-6


def test_codes_are_drawn_from_the_likeliest_alone(config: MusicgenConfig) -> None:
    greedy, narrow = (config.replace(**changes).build() for changes in ({"temperature": 0}, {"top_k": 1}))
    asked = greedy.encode_text(["a cube"])
    assert torch.equal(greedy.sample_codes(asked, rng=sources(3)), narrow.sample_codes(asked, rng=sources(4)))
    free = config.build()
    drawn = [free.sample_codes(asked, rng=sources(seed)) for seed in (3, 4)]
    assert not torch.equal(*drawn) and drawn[0].shape == (1, 4, 12) and drawn[0].max() < 1024


def test_the_error_is_the_mean_surprise_at_each_code(generator: Musicgen) -> None:
    """Written out: of codebook k the code t is said in column t + k + 1, from the columns before."""
    codes = torch.randint(1024, (2, 4, 5), generator=torch.Generator().manual_seed(0))
    asked = generator.encode_text(["a cube", "two stars"])
    said = torch.full((2, 4, 9), 1024)
    for k in range(4):
        said[:, k, k + 1 : k + 6] = codes[:, k]
    states = generator.model.enc_to_dec_proj(asked["tokens"]) * asked.mask("tokens")[..., None]
    logits = generator.model.decoder(
        said.flatten(0, 1), encoder_hidden_states=states, encoder_attention_mask=asked.mask("tokens").long()
    ).logits.view(2, 4, 9, 1024)
    chances = logits.log_softmax(-1)
    expected = [-sum(chances[i, k, k + t, codes[i, k, t]] for k in range(4) for t in range(5)) / 20 for i in range(2)]
    assert torch.allclose(generator.code_error(codes, asked), torch.stack(expected), atol=1e-4)


def test_a_sound_becomes_the_codes_of_encodec(generator: Musicgen) -> None:
    waves = [torch.rand(10, 8) * 2 - 1, torch.rand(6, 8) * 2 - 1]
    found = generator.encode_media(Ragged.of(waves, [Layout.of_units(10), Layout.of_units(6)]))
    for codes, wave in zip(found, waves, strict=True):
        expected = generator.model.audio_encoder.encode(wave.reshape(1, 1, -1)).audio_codes[0, 0]
        assert codes.shape == (4, len(wave)) and torch.equal(codes, expected)


def test_away_from_nothing_is_away_from_no_text(generator: Musicgen) -> None:
    asked = generator.encode_text(["a cube"])
    plain, named = (
        generator.sample_codes(asked, rng=sources(0), negative=negative)
        for negative in (None, generator.null_conditions(1))
    )
    assert torch.equal(plain, named)
    assert not torch.equal(plain, generator.sample_codes(asked, rng=sources(0), negative=generator.encode_text(["x"])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 1e-5}, "seconds: found 1e-05, needed a length from"),
        ({"seconds": 3600}, r"seconds: found 3600, needed a length from .* to 0\.03 seconds"),
        ({"seconds": math.nan}, "seconds: found nan"),
        ({"steps": 5}, "found steps, which this generator does not take; its options: guidance, seconds"),
    ],
)
def test_odd_requests_are_refused(generator: Musicgen, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        generator.sample(generator.encode_text(["a"]), rng=sources(0), **options)


def test_conditions_that_are_no_numbers_are_refused(generator: Musicgen) -> None:
    broken = Conditions({"tokens": torch.full((1, 10, 24), torch.inf)})
    with pytest.raises(GenerationError, match="found NaN or infinite numbers in 'tokens' of item 0"):
        generator.sample(broken, rng=sources(0))


def test_it_stops_between_two_steps(generator: Musicgen) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Stopped, match="after 2 of 15 steps"):
        generator.sample(generator.encode_text(["a"]), rng=sources(0), should_stop=lambda: next(asked))


def test_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="found a checkpoint of type 'llama', needed a musicgen"):
        MusicgenConfig(checkpoint=str(tiny_llama(tmp_path / "llm"))).build()
    stereo = tiny_musicgen(tmp_path / "stereo", audio_channels=2)
    with pytest.raises(PartError, match="makes stereo, needed one channel"):
        MusicgenConfig(checkpoint=str(stereo)).condition_shapes()


def test_the_published_one_builds_without_network_or_memory() -> None:
    """587 million, T5's encoder, EnCodec and the decoder together."""
    config = MusicgenConfig(checkpoint="facebook/musicgen-small")
    with torch.device("meta"):
        bare = config.build(weights=False)
    assert config.condition_shapes() == {"tokens": ConditionShape(768, 64, masked=True)}
    assert sum(parameter.numel() for parameter in bare.parameters()) == 586_884_674
    assert config.preprocessor().block == 640 and config.preprocessor().rate_hz == 32_000
