"""Pictures as cosine coefficients, and a Swin Transformer that reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy import fft
from torch.nn import functional
from transformers import SwinConfig, SwinModel, Swinv2Config, Swinv2Model, ViTImageProcessorPil

from modalink.encoders._frequencies import TO_RGB, FrequencyPreprocessor, frequencies, spectral_stem
from modalink.encoders.frequency import FrequencyConfig
from modalink.encoders.tiles import TilesConfig
from modalink.errors import PartError
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_clip_vision
from modalink.testing.requirements import examples

NOISE = np.random.default_rng(0)


def swin(folder: Path, model: Any = SwinModel, **changes: Any) -> Path:
    """A Swin Transformer of pixels: 4 px patches, four stages of one or two blocks."""
    kind = Swinv2Config if model is Swinv2Model else SwinConfig
    settings = {"image_size": 64, "patch_size": 4, "embed_dim": 16, "depths": [1, 1, 2, 1], "num_heads": [2, 2, 4, 4]}
    torch.manual_seed(0)
    model(kind(**(settings | {"window_size": 2} | changes))).save_pretrained(folder)
    ViTImageProcessorPil(image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.25]).save_pretrained(folder)
    return folder


def test_it_keeps_the_promises_of_its_role(tmp_path: Path) -> None:
    check_encoder(FrequencyConfig(checkpoint=str(swin(tmp_path / "swin")), image_size=128))


def test_the_second_swin_reads_them_too(tmp_path: Path) -> None:
    config = FrequencyConfig(checkpoint=str(swin(tmp_path / "swin", Swinv2Model)), image_size=128)
    (image,) = examples({"image"}, 1)
    assert config.build().encode(config.preprocessor()(image)).shape == (1, 4, 128)


def test_a_grey_picture_is_its_grey_in_the_first_channel() -> None:
    """8 times (grey - 128) / 128 in channel 0, nothing elsewhere; the fill around a picture is nothing at all."""
    (found,) = FrequencyPreprocessor(32)(Image.new("RGB", (64, 32), (192, 192, 192)))
    assert found.shape == (192, 4, 4)
    assert torch.allclose(found[0], torch.tensor([[0.0], [4], [4], [0]]).expand(4, 4), atol=1e-5)
    assert found[1:].abs().max() < 1e-5


def test_a_wave_is_one_coefficient() -> None:
    """Waves of k half-periods in 8 rows stand at row 8 k of Y's coefficients, those in 8 columns at k."""
    for frequency in (1, 3, 7):
        wave = 40 * np.cos(np.pi * frequency * (np.arange(16) % 8 + 0.5) / 8)
        rows = np.broadcast_to((128 + wave).round()[:, None, None], (16, 16, 3)).astype(np.uint8)
        down, across = frequencies(rows), frequencies(rows.transpose(1, 0, 2).copy())
        assert down[:64].abs().mean((1, 2)).argmax() == 8 * frequency
        assert across[:64].abs().mean((1, 2)).argmax() == frequency
        assert down[64:].abs().max() < 1e-5


def test_a_picture_comes_back_from_its_coefficients() -> None:
    """Of noise in grey over a colour, inverted by the cosine transform and JFIF's matrix."""
    grey = NOISE.integers(40, 160, (48, 32, 1))
    pixels = (grey + np.array([30, 0, 60])).astype(np.uint8)
    values = frequencies(pixels).double().numpy().reshape(3, 8, 8, 6, 4)
    planes = fft.idctn(values, axes=(1, 2), norm="ortho").transpose(0, 3, 1, 4, 2).reshape(3, 48, 32)
    back = np.moveaxis(planes, 0, 2) @ np.array(TO_RGB).T * 128 + 128
    assert np.abs(back - pixels).max() < 1e-2


def test_colours_stand_at_half_the_resolution() -> None:
    """Red on the left, blue on the right: each half's colour is the first channel of Cb and of Cr."""
    pixels = np.zeros((16, 64, 3), np.uint8)
    pixels[:, :32, 0] = pixels[:, 32:, 2] = 255
    found = frequencies(pixels)
    blueness, redness = found[64].mean(0), found[128].mean(0)
    assert redness[0] > 3 > -0.5 > redness[-1] and blueness[-1] > 3 > -1 > blueness[0]
    assert torch.allclose(found[128, 0, 0], torch.tensor(8 * 0.5 * 255 / 128), atol=1e-3)


def test_its_first_layer_sees_what_that_of_pixels_saw() -> None:
    """The patches of a picture half as large: its greys in full, its colour as a mean."""
    weight, bias = torch.randn(5, 3, 4, 4), torch.randn(5)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
    pixels = (NOISE.integers(40, 160, (32, 48, 1)) + np.array([30, 0, 60])).astype(np.uint8)
    halved = functional.avg_pool2d(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, 2)
    normal = (halved - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    expected = functional.conv2d(normal[None], weight, bias, stride=4)
    found = functional.conv2d(frequencies(pixels)[None], *spectral_stem(weight, bias, mean, std))
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_tower_of_frequencies_is_loaded_as_it_is(tmp_path: Path) -> None:
    folder = swin(tmp_path / "own", num_channels=192, patch_size=1, image_size=16)
    encoder = FrequencyConfig(checkpoint=str(folder), image_size=128).build()
    own = SwinModel.from_pretrained(folder).state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in encoder.tower.state_dict().items())


def test_docpedias_page_is_1600_tokens(tmp_path: Path) -> None:
    folder = swin(tmp_path / "base", embed_dim=32, num_heads=[1, 2, 4, 8], depths=[2, 2, 2, 2], window_size=7)
    config = FrequencyConfig(checkpoint=str(folder))
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert (encoder.unit_shape, encoder.tokens_per_block, encoder.grid) == ((192, 320, 320), 1600, (40, 40))
    assert encoder.tower.embeddings.patch_embeddings.projection.weight.shape == (32, 192, 1, 1)


def test_pages_may_be_cut_in_tiles_of_frequencies(tmp_path: Path) -> None:
    config = FrequencyConfig(checkpoint=str(swin(tmp_path / "swin")), image_size=64)
    preprocess = TilesConfig(encoder=config).preprocessor()
    (image,) = examples({"image"}, 1)
    assert preprocess(image).shape[1:] == (192, 8, 8) and len(preprocess(image)) == preprocess.layout(image).units


def test_what_cannot_read_frequencies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="type 'clip_vision_model', needed one of swin, swinv2, donut-swin"):
        FrequencyConfig(checkpoint=str(tiny_clip_vision(tmp_path / "clip")), image_size=128).build()
    with pytest.raises(ValidationError, match="found 100, needed a multiple of 64"):
        FrequencyConfig(checkpoint="any", image_size=100)
    with pytest.raises(PartError, match="this tower cannot read images of 64 px"):
        FrequencyConfig(checkpoint=str(swin(tmp_path / "swin", window_size=4)), image_size=64).build()
    folder = swin(tmp_path / "placed", use_absolute_embeddings=True)
    with pytest.raises(PartError, match="cannot read frequencies of 256 px"):
        FrequencyConfig(checkpoint=str(folder), image_size=256).build()
