"""BEATs: its authors' checkpoints load strictly; windows, buckets of distances and tokens that can be read by eye.

That its numbers are the authors', `docs/tools/parity/encoders/beats.py` holds.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modalink.encoders._beats import buckets
from modalink.encoders.beats import BeatsConfig
from modalink.errors import MediumError, PartError
from modalink.modalities.audio import Sound
from modalink.ragged import Layout, Ragged
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_ast, tiny_beats

RELEASED = {
    "encoder_layers": 12, "encoder_embed_dim": 768, "encoder_ffn_embed_dim": 3072, "encoder_attention_heads": 12,
    "embed_dim": 512, "input_patch_size": 16, "conv_bias": False, "conv_pos": 128, "conv_pos_groups": 16,
    "layer_norm_first": False, "deep_norm": True, "activation_fn": "gelu", "relative_position_embedding": True,
    "num_buckets": 320, "max_distance": 800, "gru_rel_pos": True, "dropout": 0.0, "layer_wise_gradient_decay_ratio": 0.6,
}  # fmt: skip


def sound(samples: int) -> Sound:
    return Sound(np.random.default_rng(samples).uniform(-0.5, 0.5, samples).astype(np.float32), 16_000)


def samples(frames: int) -> int:
    return 400 + (frames - 1) * 160


@pytest.mark.parametrize(
    "form", [{}, {"relative_position_embedding": False}, {"gru_rel_pos": False, "deep_norm": False, "embed_dim": 32}]
)
def test_it_keeps_the_promises_of_its_role(tmp_path: Path, form: dict[str, Any]) -> None:
    folder = tiny_beats(tmp_path, **form)
    check_encoder(BeatsConfig(checkpoint=str(folder), window_seconds=0.32), from_files=False)


def test_a_sound_in_a_batch_is_the_sound_alone(tmp_path: Path) -> None:
    """Windows of several lengths are filled up, and the filling is seen by none."""
    config = BeatsConfig(checkpoint=str(tiny_beats(tmp_path)))
    encoder, preprocess = config.build(), config.preprocessor()
    sounds = [sound(samples(frames)) for frames in (96, 16, 47, 96)]
    batch = Ragged.of([preprocess(one) for one in sounds], [preprocess.layout(one) for one in sounds])
    with torch.no_grad():
        together = list(encoder(batch))
        alone = [encoder(batch.take([number])).values for number in range(4)]
    assert [len(found) for found in together] == [48, 8, 16, 48]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize(
    ("frames", "blocks"),
    [(16, (16,)), (31, (16,)), (32, (32,)), (47, (32,)), (48, (32, 16)), (100, (32, 32, 32))],
)
def test_a_layout_is_known_from_the_length_alone(tmp_path: Path, frames: int, blocks: tuple[int, ...]) -> None:
    config = BeatsConfig(checkpoint=str(tiny_beats(tmp_path)), window_seconds=0.32)
    layout = config.preprocessor().layout(sound(samples(frames)))
    assert (layout.units, layout.blocks) == (sum(blocks), blocks)
    assert layout.times_s == tuple(0.32 * number for number in range(len(blocks)))
    assert config.layout(layout).blocks == tuple(n // 2 for n in blocks)
    assert config.layout(layout).grid == ((blocks[0] // 16, 8) if len({*blocks}) == 1 else None)


def test_a_row_is_a_moment_and_goes_from_low_to_high(tmp_path: Path) -> None:
    encoder = BeatsConfig(checkpoint=str(tiny_beats(tmp_path))).build()
    for name, parameter in encoder.named_parameters():
        if "patch" not in name and "norm" not in name:
            parameter.data.mul_(0.02)
    encoder.tower.project.weight.data.mul_(50)
    frames = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    item = Ragged.of([frames], [Layout(64, (64,))])
    with torch.no_grad():
        before = encoder(item).values
        for moment, band in ((0, 7), (2, 3), (3, 0)):
            other = frames.clone()
            other[16 * moment : 16 * moment + 16, 16 * band : 16 * band + 16].neg_()
            moved = (encoder(Ragged.of([other], item.layouts)).values - before).abs().sum(1)
            assert moved.argmax() == 8 * moment + band


def test_buckets_of_distances() -> None:
    """Of 16: 0 to 3 by themselves, then wider and wider up to 12 and beyond; what lies ahead is 8 further."""
    away = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 99])
    behind = [0, 1, 2, 3, 4, 4, 5, 6, 6, 6, 7, 7]
    assert buckets(-away, 16, 12).tolist() == behind
    assert buckets(away, 16, 12).tolist() == [0, *(8 + bucket for bucket in behind[1:])]


def test_full_size_has_the_published_count(tmp_path: Path) -> None:
    """90 million in the paper; the authors' own network has as many without its classifier."""
    torch.save({"cfg": RELEASED, "model": {}}, tmp_path / "BEATs.pt")
    config = BeatsConfig(checkpoint=str(tmp_path))
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 90_311_792
    ten = config.layout(config.preprocessor().layout(sound(samples(2 * 1024))))
    assert (ten.blocks, ten.grid, encoder.dim) == ((512, 512), (64, 8), 768)
    assert config.miniature().dim == 64
    absent = BeatsConfig(checkpoint="absent/beats", sizes="released")
    assert absent.describe() == config.describe()


def changed(folder: Path, change: Any) -> BeatsConfig:
    file = tiny_beats(folder) / "BEATs_tiny.pt"
    content: dict[str, Any] = torch.load(file)
    change(content)
    torch.save(content, file)
    return BeatsConfig(checkpoint=str(folder))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda held: held["model"].pop("encoder.layers.1.fc2.bias"), "lacks parameters that the model needs"),
        (lambda held: held["model"].update(more=torch.zeros(1)), "holds tensors that the model has not: more"),
        (lambda held: held["model"].update({"layer_norm.bias": torch.zeros(9)}), "has the shape"),
        (lambda held: held["cfg"].update(encoder_layers=3), "lacks parameters that the model needs"),
        (lambda held: held["cfg"].update(layer_norm_first=True), "found cfg.layer_norm_first True, of BEATs"),
        (lambda held: held["cfg"].update(activation_fn="glu"), "found cfg.activation_fn 'glu', of BEATs"),
        (lambda held: held["cfg"].update(encoder_layers=10**9), "found cfg.encoder_layers 1000000000, of BEATs"),
        (lambda held: held["cfg"].update(encoder_attention_heads=5), "width of 32, needed a multiple of its 5 heads"),
        (lambda held: held.pop("cfg"), "found no settings under 'cfg'"),
        (lambda held: held.pop("model"), "needed named tensors"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path, change: Any, says: str) -> None:
    with pytest.raises(PartError, match=says):
        changed(tmp_path, change).build()


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Odd:
        def __reduce__(self) -> Any:
            return (Path.mkdir, (tmp_path / "made",))

    torch.save({"cfg": Odd(), "model": {}}, tmp_path / "BEATs.pt")
    with pytest.raises(PartError, match="a pickle of more than plain tensors"):
        BeatsConfig(checkpoint=str(tmp_path)).build()
    assert not (tmp_path / "made").exists()
    with pytest.raises(PartError, match="found no settings under 'cfg'"):
        BeatsConfig(checkpoint=str(tiny_ast(tmp_path / "ast"))).build()


def test_too_short_a_sound_is_refused(tmp_path: Path) -> None:
    preprocess = BeatsConfig(checkpoint=str(tiny_beats(tmp_path))).preprocessor()
    assert preprocess(sound(2800)).shape == (16, 128)
    with pytest.raises(MediumError, match=r"no token of less than 0\.175 s \(2800 samples at 16,000 Hz\)") as caught:
        preprocess.layout(sound(2799))
    assert caught.value.reason == "too_short"


def test_the_classifier_stays_behind(tmp_path: Path) -> None:
    """And the table of distances, which the file holds once for each block, is one."""
    encoder = BeatsConfig(checkpoint=str(tiny_beats(tmp_path))).build()
    held: dict[str, Tensor] = torch.load(tmp_path / "BEATs_tiny.pt")["model"]
    left = {"predictor.weight", "predictor.bias", "encoder.layers.1.self_attn.relative_attention_bias.weight"}
    assert len(encoder.state_dict()) == len(held.keys() - left)
    assert torch.equal(
        encoder.tower.distances.weight, held["encoder.layers.0.self_attn.relative_attention_bias.weight"]
    )
