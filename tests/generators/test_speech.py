"""Voices speak the numbers of transformers' own classes, each text from its own source of randomness."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, SpeechT5ForTextToSpeech, SpeechT5HifiGan, VitsModel

from modalink.errors import GenerationError, PartError, Stopped
from modalink.generators._spelling import Characters, passages, spelled_out
from modalink.generators.speech import MOST, Speech, SpeechConfig
from modalink.inference import Session
from modalink.kinds import parse
from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.roles import Conditions
from modalink.testing import check_generator
from modalink.testing.checkpoints import tiny_llama
from modalink.testing.voices import tiny_hifigan, tiny_speecht5, tiny_vits

TEXT = "The cube is red"


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("voices")
    np.save(folder / "speaker.npy", np.random.default_rng(0).normal(size=(1, 12)))
    return {
        "speecht5": str(tiny_speecht5(folder / "speecht5")),
        "vocoder": str(tiny_hifigan(folder / "hifigan")),
        "vits": str(tiny_vits(folder / "vits")),
        "several": str(tiny_vits(folder / "several", num_speakers=3, speaker_embedding_size=4)),
        "speaker": str(folder / "speaker.npy"),
    }


@pytest.fixture(scope="module", params=["speecht5", "vits"])
def config(request: Any, places: dict[str, str]) -> SpeechConfig:
    if request.param == "vits":
        return SpeechConfig(checkpoint=places["vits"])
    return SpeechConfig(checkpoint=places["speecht5"], vocoder=places["vocoder"], speaker=places["speaker"])


@pytest.fixture(scope="module")
def voice(config: SpeechConfig) -> Speech:
    return config.build()


def test_it_keeps_the_promises_of_its_role(config: SpeechConfig) -> None:
    check_generator(config)


def test_it_is_found_by_its_name(config: SpeechConfig) -> None:
    assert parse("modalink.generators", {"kind": "speech", **config.model_dump(exclude={"kind"})}) == config


def test_speecht5_speaks_the_samples_of_generate_speech(
    places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the draws of its dropout from our source; measured difference 6e-8 in float32, where ours embeds one frame
    at a time and the reference all of them again."""
    model = SpeechT5ForTextToSpeech.from_pretrained(places["speecht5"], dtype=torch.float64).eval()
    vocoder = SpeechT5HifiGan.from_pretrained(places["vocoder"], dtype=torch.float64).eval()
    ours = SpeechConfig(
        checkpoint=places["speecht5"], vocoder=places["vocoder"], speaker=places["speaker"], dtype="float64"
    ).build()
    conditions = ours.encode_text([TEXT])
    (found,) = ours.sample(conditions, rng=sources(4))
    source = sources(4)[0]

    def dropped(inputs: torch.Tensor, share: float) -> torch.Tensor:
        kept = torch.bernoulli(torch.full(inputs.shape[-1:], share), generator=source) == 1
        return torch.where(kept, inputs, 0) / (1 - share)

    monkeypatch.setattr(model.speecht5.decoder.prenet, "_consistent_dropout", dropped)
    ids = torch.tensor([Characters(Path(places["speecht5"]) / "spm_char.model")(TEXT)])
    assert torch.equal(conditions["characters"][0, : ids.shape[1], 0], ids[0])
    speaker = torch.from_numpy(np.load(places["speaker"]))
    expected = model.generate_speech(ids, speaker, vocoder=vocoder).clamp(-1, 1)
    assert found.rate_hz == 16_000 and len(found.values) == len(expected) > 100
    assert np.abs(found.values - expected.detach().numpy()).max() <= 1e-6


def test_vits_speaks_the_samples_of_its_own_class(places: dict[str, str]) -> None:
    """The same computation from the same noise: measured difference 0."""
    model: Any = VitsModel.from_pretrained(places["several"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(places["several"])
    ours = SpeechConfig(checkpoint=places["several"], speaker=2).build()
    before = torch.get_rng_state()
    (found,) = ours.sample(ours.encode_text([TEXT]), rng=sources(4))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(int(torch.randint(2**63 - 1, (1,), generator=sources(4)[0])))
        expected = model(**tokenizer(TEXT, return_tensors="pt"), speaker_id=2).waveform[0].clamp(-1, 1)
    assert np.array_equal(found.values, expected.numpy())


def test_sentences_are_spoken_one_by_one_with_silence_between(voice: Speech) -> None:
    both = voice.sample(voice.encode_text(["It is red. It is blue."]), rng=sources(3))[0].values
    (source,) = sources(3)
    first, second = (
        voice.sample(voice.encode_text([t]), rng=[source])[0].values for t in ("It is red.", "It is blue.")
    )
    assert np.array_equal(both, np.concatenate([first, np.zeros(3200, np.float32), second]))


@pytest.mark.parametrize("text", ["", "   ", "☃☃", "\n\n"])
def test_where_nothing_can_be_spoken_there_is_silence(voice: Speech, text: str) -> None:
    (sound,) = voice.sample(voice.encode_text([text]), rng=sources(0))
    assert len(sound.values) == 1600 and not sound.values.any()


def test_a_speaker_changes_the_voice(places: dict[str, str]) -> None:
    makers = [{"checkpoint": places["several"], "speaker": n} for n in (0, 1)]
    makers += [
        {"checkpoint": places["speecht5"], "vocoder": places["vocoder"], "speaker": s}
        for s in (None, places["speaker"])
    ]
    said = []
    for settings in makers:
        voice = SpeechConfig.model_validate(settings).build()
        said.append(voice.sample(voice.encode_text([TEXT]), rng=sources(0))[0].values)
    assert not np.array_equal(said[0], said[1]) and not np.array_equal(said[2], said[3])


def test_it_stops_between_two_steps_and_speaks_again_as_before(voice: Speech) -> None:
    text = voice.encode_text(["It is red. It is blue."])
    before = voice.sample(text, rng=sources(1))[0].values
    asked = iter([False, True])
    with pytest.raises(Stopped, match="as was asked"):
        voice.sample(text, rng=sources(1), should_stop=lambda: next(asked))
    assert np.array_equal(voice.sample(text, rng=sources(1))[0].values, before)


def test_odd_requests_are_refused_in_words(voice: Speech) -> None:
    text = voice.encode_text([TEXT])
    for options, message in (
        ({"steps": 3}, "found steps, which this generator does not take; its options: none"),
        ({"seconds": 0}, "found seconds"),
        ({"negative": text}, "negative condition, which this generator cannot use"),
    ):
        with pytest.raises(GenerationError, match=message):
            voice.sample(text, rng=sources(0), **options)
    with pytest.raises(GenerationError, match="found 2 sources of randomness for 1 items"):
        voice.sample(text, rng=sources(0, 1))
    with pytest.raises(GenerationError, match=r"item 0: found the id -\d+, needed ids from 0"):
        voice.sample(Conditions({"characters": text["characters"] - 70}, text.masks), rng=sources(0))
    with pytest.raises(GenerationError, match=r"found a text of 16,000 characters to speak.*lower max_new_tokens"):
        voice.encode_text(["ab cd fg" * 2000])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"checkpoint": "speecht5"}, "no vocoder is named that makes sound of them; give one"),
        ({"checkpoint": "speecht5", "vocoder": "vits"}, "found a vits of None bands, needed a HiFi-GAN of the 8 bands"),
        (
            {"checkpoint": "speecht5", "vocoder": "vocoder", "speaker": 3},
            "found 3, needed a file (.npy) with the 12 numbers",
        ),
        ({"checkpoint": "speecht5", "vocoder": "vocoder", "speaker": "/nowhere.npy"}, "/nowhere.npy cannot be read"),
        ({"checkpoint": "vits", "speaker": 1}, "found the speaker 1; needed no speaker, since it has one alone"),
        ({"checkpoint": "several", "speaker": 3}, "found the speaker 3; needed a speaker from 0 to 2"),
        ({"checkpoint": "vits", "vocoder": "vocoder"}, "found the vocoder"),
        ({"checkpoint": "vocoder"}, "found a checkpoint of type 'speecht5_hifigan', needed a voice: speecht5 or vits"),
    ],
)
def test_what_does_not_fit_together_is_refused(places: dict[str, str], settings: dict[str, Any], message: str) -> None:
    found = {key: places.get(str(value), value) for key, value in settings.items()}
    with pytest.raises(PartError, match=re.escape(message)):
        SpeechConfig.model_validate(found).build()


@pytest.mark.parametrize("content", [b"", b"\x0a\xff", b"\x0a\x05\x0a\x03abc", b"\xff" * 20])
def test_a_damaged_vocabulary_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spm_char.model").write_bytes(content)
    with pytest.raises(PartError, match=r"spm_char\.model"):
        Characters(tmp_path / "spm_char.model")


def test_speakers_of_another_shape_or_without_numbers_are_refused(places: dict[str, str], tmp_path: Path) -> None:
    for name, vector in (("wide", np.zeros(13)), ("nan", np.full(12, np.nan)), ("words", np.array(["a"] * 12))):
        np.save(tmp_path / f"{name}.npy", vector)
        config = SpeechConfig(
            checkpoint=places["speecht5"], vocoder=places["vocoder"], speaker=str(tmp_path / f"{name}.npy")
        )
        with pytest.raises(PartError, match=r"speaker: .*needed a file \(.npy\) with the 12 numbers"):
            config.build(weights=False)


def test_texts_are_cut_at_sentences_then_words_then_letters() -> None:
    assert passages("One two. Three!\nFour five six", 9) == ["One two.", "Three!", "Four five", "six"]
    assert passages("abcdefghij", 4) == ["abcd", "efgh", "ij"]


def test_numbers_are_spoken_as_words() -> None:
    assert spelled_out("0 cubes, 12 balls, 10 of 300") == "zero cubes, twelve balls, ten of three hundred"
    assert spelled_out("1" * 13) == " ".join(["one"] * 13)


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"checkpoint": "microsoft/speecht5_tts", "vocoder": "microsoft/speecht5_hifigan"}, 157_087_941),
        ({"checkpoint": "facebook/mms-tts-eng"}, 36_284_592),
    ],
)
def test_published_voices_build_without_network_or_memory(settings: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        bare = SpeechConfig.model_validate(settings).build(weights=False)
    assert sum(parameter.numel() for parameter in bare.parameters()) == parameters
    assert bare.condition_shapes["characters"].tokens == MOST


def test_a_system_speaks_its_replies(places: dict[str, str], tmp_path: Path) -> None:
    generator = {"kind": "speech", "checkpoint": places["vits"]}
    spec = {
        "inputs": {},
        "llm": {"checkpoint": str(tiny_llama(tmp_path / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
    }
    system = compose(SystemSpec.model_validate(spec | {"outputs": {"audio": {"generator": generator}}}))
    system.save(tmp_path / "saved")
    answers = [
        Session(s).ask("Hello?", max_new_tokens=8, temperature=9.0) for s in (system, System.load(tmp_path / "saved"))
    ]
    voice = system.generators["audio"]
    (expected,) = voice.sample(voice.encode_text([answers[0].text]), rng=sources(0))
    for answer in answers:
        assert [modality for modality, _ in answer.media] == ["audio"]
        assert np.array_equal(answer.media[0][1].values, expected.values)
    (path,) = answers[0].save_media(tmp_path)
    assert path.suffix == ".wav" and path.stat().st_size > 44
