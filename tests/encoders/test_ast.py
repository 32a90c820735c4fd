"""The Audio Spectrogram Transformer: equal to transformers' own, windows without a lost frame, tokens row by row."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor, ASTModel

from modalink.encoders.ast import AstConfig
from modalink.errors import MediumError, PartError
from modalink.kinds import parse
from modalink.modalities.audio import Sound
from modalink.ragged import Layout, Ragged
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_ast, tiny_hubert, tiny_whisper

HOP, FRAME = 160, 400


def sound(samples: int, rate: int = 16_000) -> Sound:
    return Sound(np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32), rate)


def samples(frames: int) -> int:
    return FRAME + (frames - 1) * HOP


@pytest.mark.parametrize("settings", [{}, {"drop_padding": False}])
def test_it_keeps_the_promises_of_its_role(tmp_path: Path, settings: dict[str, Any]) -> None:
    check_encoder(AstConfig(checkpoint=str(tiny_ast(tmp_path)), **settings))


def test_tokens_are_those_of_transformers(tmp_path: Path) -> None:
    """Measured difference 0.0: three windows of 64 frames; of the last, 20 hold sound, in which 4 columns begin."""
    config = AstConfig(checkpoint=str(tiny_ast(tmp_path)))
    preprocess, medium = config.preprocessor(), sound(samples(64 + 64 + 20))
    layout = preprocess.layout(medium)
    items = Ragged.of([preprocess(medium)], [layout])
    extract, tower = ASTFeatureExtractor.from_pretrained(tmp_path), ASTModel.from_pretrained(tmp_path).eval()
    starts = [64 * HOP * number for number in range(3)]
    cut = [medium.values[start : start + samples(64)] for start in starts]
    with torch.no_grad():
        states = tower(extract(cut, sampling_rate=16_000, return_tensors="pt").input_values).last_hidden_state[:, 2:]
        whole, found = config.replace(drop_padding=False).build()(items), config.build()(items)
    assert torch.equal(whole.values, states.flatten(0, 1)) and whole.layouts[0].grid == (2, 10)
    last = states[2].unflatten(0, (2, 10))[:, :4].flatten(0, 1)
    assert torch.equal(found.values, torch.cat([states[0], states[1], last]))
    assert found.layouts == (Layout(3, (20, 20, 8), times_s=(0.0, 0.64, 1.28)),)


def test_windows_hold_the_frames_of_the_whole(tmp_path: Path) -> None:
    """Frames overlap, and so do windows: each frame of the whole spectrogram stands in one of them."""
    preprocess = AstConfig(checkpoint=str(tiny_ast(tmp_path))).preprocessor()
    extract = ASTFeatureExtractor(num_mel_bins=16, max_length=150)
    medium = sound(samples(150))
    whole = extract(medium.values, sampling_rate=16_000, return_tensors="pt").input_values[0]
    found = preprocess(medium)
    assert torch.equal(torch.cat([found[0], found[1], found[2, :22]]), whole)


@pytest.mark.parametrize(
    ("count", "frames", "tokens"),
    [
        (FRAME, (1,), (2,)),
        (samples(2) - 1, (1,), (2,)),
        (samples(6), (6,), (2,)),
        (samples(7), (7,), (4,)),
        (samples(64), (64,), (20,)),
        (samples(65), (64, 1), (20, 2)),
    ],
)
def test_a_layout_is_known_from_the_length_alone(
    tmp_path: Path, count: int, frames: tuple[int, ...], tokens: tuple[int, ...]
) -> None:
    config = AstConfig(checkpoint=str(tiny_ast(tmp_path)))
    layout = config.preprocessor().layout(sound(count))
    assert (layout.blocks, config.layout(layout).blocks) == (frames, tokens)


def test_a_row_is_a_band_of_frequencies(tmp_path: Path) -> None:
    """With weights that let tokens learn little of each other, the one of a changed place changes most."""
    encoder = AstConfig(checkpoint=str(tiny_ast(tmp_path))).build()
    for name, parameter in encoder.named_parameters():
        if "patch" not in name:
            parameter.data.mul_(0.02)
    unit = torch.randn(1, 64, 16, generator=torch.Generator().manual_seed(0))
    item = Ragged.of([unit], [Layout(1, (64,))])
    assert encoder.layout(item.layouts[0]).grid == (2, 10)
    with torch.no_grad():
        before = encoder(item).values
        for row, column in ((0, 0), (1, 3), (0, 9)):
            other = unit.clone()
            # A patch is eight frames of eight bands, the next begins six further: the middle belongs to it alone.
            other[:, 6 * column + 2 : 6 * column + 6, 8 * row : 8 * row + 6].neg_()
            moved = (encoder(Ragged.of([other], item.layouts)).values - before).abs().sum(1)
            assert moved.argmax() == 10 * row + column


def test_what_it_cannot_read_is_refused(tmp_path: Path) -> None:
    tiny_ast(tmp_path / "ast")
    with pytest.raises(MediumError, match="makes no token of less than") as caught:
        AstConfig(checkpoint=str(tmp_path / "ast")).preprocessor().layout(sound(FRAME - 1))
    assert caught.value.reason == "too_short"
    with pytest.raises(PartError, match="type 'hubert', needed an Audio Spectrogram Transformer's"):
        AstConfig(checkpoint=str(tiny_hubert(tmp_path / "hubert"))).build()


def test_preprocessing_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    file = tiny_ast(tmp_path / "ast") / "preprocessor_config.json"
    config, facts = AstConfig(checkpoint=str(tmp_path / "ast")), json.loads(file.read_text())
    for key, value in {"sampling_rate": 8000, "num_mel_bins": 32, "max_length": 128}.items():
        file.write_text(json.dumps(facts | {key: value}))
        with pytest.raises(PartError, match=rf"its preprocessing has .*{key}': {value}.*, needed"):
            config.preprocessor()
    file.write_text((tiny_whisper(tmp_path / "whisper") / "preprocessor_config.json").read_text())
    with pytest.raises(PartError, match="found the preprocessing of a 'WhisperFeatureExtractor'"):
        config.preprocessor()


def test_the_full_size_is_known_without_a_network() -> None:
    name = "MIT/ast-finetuned-audioset-10-10-0.4593"
    config: Any = parse("modalink.encoders", {"kind": "ast", "checkpoint": name})
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 86_187_264
    assert config.layout(config.preprocessor().layout(sound(11 * 16_000))).blocks == (1212, 12 * 8)
