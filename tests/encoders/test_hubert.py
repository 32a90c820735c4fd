"""HuBERT, wav2vec 2.0 and WavLM: equal to the classes of transformers, each window as if it were alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import HubertForCTC, HubertModel, Wav2Vec2ForPreTraining, Wav2Vec2Model, WavLMModel

from modalink.encoders.hubert import HubertConfig
from modalink.errors import MediumError, PartError
from modalink.kinds import parse
from modalink.modalities.audio import Sound
from modalink.ragged import Ragged
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_hubert, tiny_llama, tiny_whisper

MODELS = (HubertModel, Wav2Vec2Model, WavLMModel)
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
FORMS = [{}, LAYER, {"conv_pos_batch_norm": True, **LAYER}]


def sound(samples: int, rate: int = 16_000, seed: int = 0) -> Sound:
    return Sound(np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32), rate)


def items(config: HubertConfig, sounds: list[Sound]) -> Ragged:
    preprocess = config.preprocessor()
    return Ragged.of([preprocess(one) for one in sounds], [preprocess.layout(one) for one in sounds])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("form", FORMS[:2])
def test_they_keep_the_promises_of_their_role(tmp_path: Path, model: Any, form: dict[str, Any]) -> None:
    check_encoder(HubertConfig(checkpoint=str(tiny_hubert(tmp_path, model, **form)), window_seconds=0.5))


@pytest.mark.parametrize("form", FORMS)
def test_a_sound_in_a_batch_is_the_sound_alone(tmp_path: Path, form: dict[str, Any]) -> None:
    """Lengths that share a token count, too; without a mask the filled ones would move by 0.1 and more."""
    config = HubertConfig(checkpoint=str(tiny_hubert(tmp_path, **form)))
    encoder, sounds = config.build(), [sound(n, seed=n) for n in (16_000, 15_999, 400, 719, 5000, 16_000)]
    batch = items(config, sounds)
    assert encoder.masked == (form == LAYER)
    with torch.no_grad():
        together = list(encoder(batch))
        for number, found in enumerate(together):
            alone = encoder(batch.take([number])).values
            assert (found - alone).abs().max() < 1e-5 * alone.abs().max()
            whole = HubertModel.from_pretrained(tmp_path).eval()
            values = config.preprocessor().extractor(sounds[number].values, sampling_rate=16_000, return_tensors="pt")
            assert torch.equal(alone, whole(values.input_values).last_hidden_state[0])
    assert [len(found) for found in together] == [49, 49, 1, 1, 15, 49]


def test_long_sounds_are_cut_and_no_sample_is_lost(tmp_path: Path) -> None:
    config = HubertConfig(checkpoint=str(tiny_hubert(tmp_path)), window_seconds=0.5)
    preprocess = config.preprocessor()
    for samples, blocks in {
        8000: (8000,),
        8399: (8399,),
        8400: (8000, 400),
        16_001: (8000, 8001),
        20_000: (8000, 8000, 4000),
    }.items():
        layout = preprocess.layout(sound(samples))
        assert (layout.blocks, layout.units) == (blocks, -(-samples // 320))
        assert layout.times_s == tuple(0.5 * number for number in range(len(blocks)))
        assert config.layout(layout).blocks == tuple(1 + (n - 400) // 320 for n in blocks)
    batch = items(config, [sound(20_000)])
    with torch.no_grad():
        found = config.build()(batch).values
        tower = HubertModel.from_pretrained(tmp_path).eval()
        even = batch.values.flatten()[:20_000]
        parts = [tower(part[None]).last_hidden_state[0] for part in even.split([8000, 8000, 4000])]
    assert torch.allclose(found, torch.cat(parts), atol=1e-5)


def test_its_rate_is_the_checkpoints_own(tmp_path: Path) -> None:
    config = HubertConfig(checkpoint=str(tiny_hubert(tmp_path)))
    assert config.preprocessor().layout(sound(44_100, 44_100)).blocks == (16_000,)


def test_heads_stay_behind(tmp_path: Path) -> None:
    tiny_hubert(tmp_path / "a", vocab_size=9)
    HubertForCTC.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "a")
    tiny_hubert(tmp_path / "b", Wav2Vec2Model)
    Wav2Vec2ForPreTraining.from_pretrained(tmp_path / "b").save_pretrained(tmp_path / "b")
    for folder, model in (("a", HubertModel), ("b", Wav2Vec2Model)):
        tower = HubertConfig(checkpoint=str(tmp_path / folder)).build().tower
        reference = model.from_pretrained(tmp_path / folder).state_dict()
        assert all(torch.equal(tensor, reference[name]) for name, tensor in tower.state_dict().items())


def test_nothing_is_hidden_or_left_out_while_it_trains(tmp_path: Path) -> None:
    """What a sound gives in training and without differs by nothing but dropout."""
    still = {name: 0.0 for name in ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout")}
    config = HubertConfig(checkpoint=str(tiny_hubert(tmp_path, mask_time_prob=0.9, layerdrop=0.9, **still)))
    encoder, batch = config.build(), items(config, [sound(16_000)])
    with torch.no_grad():
        assert torch.equal(encoder.train()(batch).values, encoder.eval()(batch).values)


def test_too_short_a_sound_is_refused(tmp_path: Path) -> None:
    preprocess = HubertConfig(checkpoint=str(tiny_hubert(tmp_path))).preprocessor()
    with pytest.raises(
        MediumError, match=r"lasts 0\.0249 s, .* no token of less than 0\.025 s \(400 samples"
    ) as caught:
        preprocess.layout(sound(399))
    assert caught.value.reason == "too_short"
    with pytest.raises(MediumError, match=r"no token of less than"):
        preprocess(sound(399))


def test_what_is_none_of_its_kin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="found a checkpoint of type 'llama', needed one of hubert, wav2vec2, wavlm"):
        HubertConfig(checkpoint=str(tiny_llama(tmp_path / "llm"))).build()
    adapted = tiny_hubert(tmp_path / "adapted", Wav2Vec2Model, add_adapter=True, output_hidden_size=32)
    with pytest.raises(PartError, match="found an adapter behind its blocks"):
        HubertConfig(checkpoint=str(adapted)).build()


def test_preprocessing_of_another_kind_or_rate_is_refused(tmp_path: Path) -> None:
    file = tiny_hubert(tmp_path) / "preprocessor_config.json"
    facts = json.loads(file.read_text())
    for rate in (0, 3, 16_000.5, "16000"):
        file.write_text(json.dumps(facts | {"sampling_rate": rate}))
        with pytest.raises(PartError, match="needed a whole number from 1,000 to 384,000"):
            HubertConfig(checkpoint=str(tmp_path)).preprocessor()
    whisper = tiny_whisper(tmp_path / "whisper") / "preprocessor_config.json"
    file.write_text(whisper.read_text())
    with pytest.raises(PartError, match="found the preprocessing of a 'WhisperFeatureExtractor', needed Wav2Vec2"):
        HubertConfig(checkpoint=str(tmp_path)).preprocessor()


@pytest.mark.parametrize(
    ("checkpoint", "parameters", "width"),
    [
        ("facebook/hubert-base-ls960", 94_370_944, 768),
        ("facebook/hubert-large-ll60k", 315_437_696, 1024),
        ("facebook/hubert-xlarge-ll60k", 962_496_128, 1280),
        ("facebook/wav2vec2-base", 94_370_944, 768),
        ("microsoft/wavlm-base-plus", 94_381_168, 768),
        ("microsoft/wavlm-large", 315_452_096, 1024),
    ],
)
def test_the_full_size_is_known_without_a_network(checkpoint: str, parameters: int, width: int) -> None:
    """The papers say 95, 317 and 964; 95; 94.70 and 316.62 million, with what stands behind the blocks in pre-training."""
    config: Any = parse("modalink.encoders", {"kind": "hubert", "checkpoint": checkpoint})
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert (sum(parameter.numel() for parameter in encoder.parameters()), encoder.dim) == (parameters, width)
    assert config.layout(config.typical()).blocks == (49,)
