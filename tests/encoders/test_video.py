"""Video towers: equal to the classes of transformers, each slice of time a block that looks at its own frames."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TimesformerModel, VideoMAEForVideoClassification, VideoMAEModel, VivitModel

from modalink.encoders.video import VideoConfig
from modalink.errors import PartError
from modalink.modalities import video
from modalink.ragged import Layout, Ragged
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_clip_vision, tiny_video

TOWERS = (VideoMAEModel, TimesformerModel, VivitModel)


def config(folder: Path, model: Any, **settings: Any) -> VideoConfig:
    return VideoConfig(checkpoint=str(tiny_video(folder, model)), **settings)


@pytest.mark.parametrize("model", TOWERS)
def test_they_keep_the_promises_of_their_role(tmp_path: Path, model: Any) -> None:
    check_encoder(config(tmp_path, model), [video.example(number) for number in range(2)])


@pytest.mark.parametrize("model", TOWERS)
def test_its_tokens_are_those_of_transformers_to_the_bit(tmp_path: Path, model: Any) -> None:
    settings = config(tmp_path, model, clips=2)
    preprocess, encoder = settings.preprocessor(), settings.build()
    clips = [video.example(number) for number in range(2)]
    items = Ragged.of([preprocess(clip) for clip in clips], [preprocess.layout(clip) for clip in clips])
    reference = model.from_pretrained(settings.checkpoint).eval()
    with torch.no_grad():
        found, whole = encoder(items), reference(pixel_values=items.values.unflatten(0, (-1, 4))).last_hidden_state
    slices = 4 if model is TimesformerModel else 2
    tokens = whole[:, -slices * 16 :]
    if model is TimesformerModel:
        tokens = tokens.unflatten(1, (16, 4)).transpose(1, 2).flatten(1, 2)
    assert torch.equal(found.values, tokens.flatten(0, 1))
    assert found.layouts[0] == Layout(8, (16,) * 2 * slices, (4, 4), times_s=items.layouts[0].times_s[:: 4 // slices])


@pytest.mark.parametrize("model", TOWERS)
def test_each_token_looks_most_at_its_own_frame_and_place(tmp_path: Path, model: Any) -> None:
    """With weights that let tokens learn little of each other, the one of a changed place changes most."""
    encoder = config(tmp_path, model).build()
    for name, parameter in encoder.named_parameters():
        if "patch" not in name and "project" not in name.partition("attention")[0]:
            parameter.data.mul_(0.02)
    frames = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    item = Ragged.of([frames], [Layout.of_units(4)])
    slices = 4 if model is TimesformerModel else 2
    with torch.no_grad():
        before = encoder(item).values
        for frame, row, column in ((0, 0, 1), (3, 2, 0), (2, 3, 3)):
            other = frames.clone()
            other[frame, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].neg_()
            moved = (encoder(Ragged.of([other], item.layouts)).values - before).abs().sum(1).argmax()
            assert moved == (frame * slices // 4) * 16 + row * 4 + column


def test_checkpoints_of_classifiers_hold_the_tower_too(tmp_path: Path) -> None:
    config(tmp_path, VideoMAEModel)
    tower = VideoMAEModel.from_pretrained(tmp_path)
    classifier = VideoMAEForVideoClassification(tower.config)
    classifier.videomae.load_state_dict(tower.state_dict())
    classifier.save_pretrained(tmp_path)
    loaded = VideoConfig(checkpoint=str(tmp_path)).build()
    assert all(torch.equal(p, tower.get_parameter(n)) for n, p in loaded.tower.named_parameters())


def test_whole_clips_are_needed(tmp_path: Path) -> None:
    settings = config(tmp_path, VideoMAEModel)
    with pytest.raises(PartError, match="found 6 frames, needed a multiple of 4"):
        settings.layout(Layout.of_units(6))


def test_what_is_no_video_tower(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="needed a video tower: videomae, timesformer, vivit"):
        VideoConfig(checkpoint=str(tiny_clip_vision(tmp_path / "clip"))).build()
    still = tiny_video(tmp_path / "still", TimesformerModel, attention_type="space_only")
    with pytest.raises(PartError, match="whose frames do not see each other"):
        VideoConfig(checkpoint=str(still)).build()
