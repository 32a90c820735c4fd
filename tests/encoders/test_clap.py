"""CLAP's tower of sounds: equal to transformers' own, with and without fusion, and without chance."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ClapFeatureExtractor, ClapModel

from modalink.encoders.clap import ClapConfig
from modalink.errors import PartError
from modalink.kinds import parse
from modalink.modalities.audio import Sound
from modalink.ragged import Layout, Ragged
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_ast, tiny_clap

FUSED = {"enable_fusion": True, "fusion_type": "aff_2d"}


def sound(seconds: float, rate: int = 16_000) -> Sound:
    return Sound(np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32), rate)


def encoded(config: ClapConfig, sounds: list[Sound]) -> Ragged:
    preprocess = config.preprocessor()
    items = Ragged.of([preprocess(one) for one in sounds], [preprocess.layout(one) for one in sounds])
    with torch.no_grad():
        return config.build()(items)


@pytest.mark.parametrize("form", [{}, FUSED])
def test_it_keeps_the_promises_of_its_role(tmp_path: Path, form: dict[str, Any]) -> None:
    check_encoder(ClapConfig(checkpoint=str(tiny_clap(tmp_path, **form))))


@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
@pytest.mark.parametrize("form", [{}, FUSED])
def test_tokens_are_those_of_transformers(tmp_path: Path, form: dict[str, Any], padding: str) -> None:
    """Measured difference 0.0, for sounds that fill a window or are repeated in it, and of an odd length."""
    file = tiny_clap(tmp_path, **form) / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"padding": padding}))
    sounds = [sound(1.0), sound(0.3), sound(0.7)]
    found = encoded(ClapConfig(checkpoint=str(tmp_path)), sounds)
    extract, model = ClapFeatureExtractor.from_pretrained(tmp_path), ClapModel.from_pretrained(tmp_path).eval()
    features = extract([one.values for one in sounds], sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        states = model.audio_model(features.float(), is_longer=torch.zeros(3, 1)).last_hidden_state
    assert torch.equal(found.values, states.flatten(2).mT.flatten(0, 1))
    assert found.layouts == (Layout(1, (64,), (4, 16), times_s=(0.0,)),) * 3


def test_long_sounds_are_cut_in_windows_without_fusion(tmp_path: Path) -> None:
    config, long = ClapConfig(checkpoint=str(tiny_clap(tmp_path))), sound(2.3)
    found = encoded(config, [long])
    parts = [Sound(long.values[start : start + 16_000], 16_000) for start in (0, 16_000, 32_000)]
    assert torch.allclose(found.values, encoded(config, parts).values, atol=1e-5)
    assert found.layouts == (Layout(3, (64, 64, 64), (4, 16), times_s=(0.0, 1.0, 2.0)),)


def test_long_sounds_are_fused_where_the_checkpoint_fuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of the fusion are read, by the long ones alone, in any company; the middle of each third is taken."""
    config = ClapConfig(checkpoint=str(tiny_clap(tmp_path, **FUSED)))
    sounds = [sound(2.3), sound(0.3), sound(1.0001), sound(4.0)]
    found = encoded(config, sounds)
    monkeypatch.setattr(np.random, "choice", lambda places: places[len(places) // 2])
    extract, model = ClapFeatureExtractor.from_pretrained(tmp_path), ClapModel.from_pretrained(tmp_path).eval()
    inputs = extract([one.values for one in sounds], sampling_rate=16_000, return_tensors="pt")
    assert inputs.is_longer[:, 0].tolist() == [True, False, False, True]
    with torch.no_grad():
        states = model.audio_model(inputs.input_features.float(), is_longer=inputs.is_longer).last_hidden_state
        short = model.audio_model(inputs.input_features.float(), is_longer=torch.zeros(4, 1)).last_hidden_state
    expected = states.flatten(2).mT
    assert torch.equal(found.values, expected.flatten(0, 1))
    assert found.layouts == (Layout(1, (64,), (4, 16), times_s=(0.0,)),) * 4
    assert [torch.equal(a, b) for a, b in zip(states, short, strict=True)] == [False, True, True, False]
    alone = encoded(config, sounds[:1]).values
    assert torch.allclose(alone, expected[0], atol=1e-5)


def test_nothing_is_drawn(tmp_path: Path) -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    preprocess = ClapConfig(checkpoint=str(tiny_clap(tmp_path, **FUSED))).preprocessor()
    first, second = preprocess(sound(2.3)), preprocess(sound(2.3))
    preprocess(sound(0.3))
    assert torch.equal(first, second) and np.random.get_state()[1].tolist() == before


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="type 'audio-spectrogram-transformer', needed CLAP's"):
        ClapConfig(checkpoint=str(tiny_ast(tmp_path / "ast"))).build()
    mapped = tiny_clap(tmp_path / "mapped", enable_fusion=True, fusion_type="channel_map")
    with pytest.raises(PartError, match="found the fusion 'channel_map'"):
        ClapConfig(checkpoint=str(mapped)).build()
    plain, fused = tiny_clap(tmp_path / "plain"), tiny_clap(tmp_path / "fused", **FUSED)
    (plain / "preprocessor_config.json").write_text((fused / "preprocessor_config.json").read_text())
    with pytest.raises(PartError, match=r"its preprocessing has truncation 'fusion', .* enable_fusion: False"):
        ClapConfig(checkpoint=str(plain)).build()


@pytest.mark.parametrize(
    ("checkpoint", "parameters", "width"),
    [
        ("laion/clap-htsat-unfused", 27_534_488, 768),
        ("laion/clap-htsat-fused", 27_549_128, 768),
        ("laion/larger_clap_general", 67_824_408, 1024),
    ],
)
def test_the_full_size_is_known_without_a_network(checkpoint: str, parameters: int, width: int) -> None:
    config: Any = parse("modalink.encoders", {"kind": "clap", "checkpoint": checkpoint})
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert (sum(parameter.numel() for parameter in encoder.parameters()), encoder.dim) == (parameters, width)
    windows = 1 if encoder.fused else 2
    assert config.layout(config.preprocessor().layout(sound(11, 48_000))) == Layout(
        windows, (64,) * windows, (2, 32), times_s=(0.0, 10.0)[:windows]
    )
