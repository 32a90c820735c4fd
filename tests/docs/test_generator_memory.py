"""The counter of memory: what is alive at once, and not what was there before."""

import importlib
from pathlib import Path

import pytest
import torch

from modalink.generators.ltx import LtxConfig
from modalink.generators.zeroscope import ZeroscopeConfig
from modalink.testing.clip_pipelines import tiny_ltx
from modalink.testing.pipelines import tiny_zeroscope

ROOT = Path(__file__).parents[2]


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "tools")
    return importlib.import_module("generator_memory")


def test_what_is_alive_at_once_is_counted_once(memory):
    weight = torch.randn(100, 100)

    def call():
        first = weight.t() @ weight  # 40,000 bytes; the view of the weight is none
        second = first.view(-1).relu()  # as many again
        del first
        return second * 2  # 40,000 + 40,000 again

    assert memory.peak(call, [weight]) == 80_000
    assert memory.peak(lambda: [torch.zeros(1000) for _ in range(3)]) == 12_000


def test_more_frames_need_more_of_the_denoiser_and_not_of_the_decoder(memory, tmp_path):
    config = ZeroscopeConfig(checkpoint=str(tiny_zeroscope(tmp_path)), frames=8)
    few, many = memory.row(config), memory.row(config.replace(frames=16))
    assert few.weights == many.weights and few.decoder == many.decoder
    assert many.denoiser == pytest.approx(2 * few.denoiser, rel=0.05)
    assert many.peak == many.weights + max(many.denoiser, many.decoder)


def test_an_autoencoder_of_clips_needs_more_for_more_frames(memory, tmp_path):
    config = LtxConfig(checkpoint=str(tiny_ltx(tmp_path)), size=16, frames=9)
    few, many = memory.row(config), memory.row(config.replace(frames=17))
    assert few.name.endswith("9 frames of 16 x 16 px") and few.weights == many.weights
    assert many.decoder == pytest.approx(17 / 9 * few.decoder, rel=0.1)
