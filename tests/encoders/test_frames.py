"""Videos frame by frame: which frames are read, and that each is encoded as an image would be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from films import film, numbered

from modalink.encoders._sampling import FramesSpec
from modalink.encoders.frames import FramesConfig
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError
from modalink.modalities import video
from modalink.ragged import Layout
from modalink.roles import Preprocessor
from modalink.testing import TinyEncoderConfig, check_encoder
from modalink.testing.checkpoints import tiny_clip_vision

CLIP = video.Clip.of(np.stack(numbered(80)), fps=10.0)
"""Eight seconds."""


def frames(**settings: Any) -> FramesConfig:
    return FramesConfig(encoder=TinyEncoderConfig(), frames=FramesSpec(**settings))


def test_they_keep_the_promises_of_their_role(tmp_path: Path) -> None:
    tower = VisionConfig(checkpoint=str(tiny_clip_vision(tmp_path / "clip")))
    media = [video.example(number) for number in range(2)]
    check_encoder(FramesConfig(encoder=tower, frames=FramesSpec(count=3)), media, from_files=False)


def test_which_frames_are_read() -> None:
    assert FramesSpec(count=4).times_s(CLIP) == [1, 3, 5, 7]
    assert FramesSpec(sampling="fps", fps=0.5).times_s(CLIP) == [0, 2, 4, 6]
    assert FramesSpec(sampling="fps", fps=0.01).times_s(CLIP) == [0]
    assert FramesSpec(sampling="fps", fps=10.0, count=4).times_s(CLIP) == [1, 3, 5, 7]
    assert FramesSpec(sampling="segments", count=4).times_s(CLIP) == [1, 3, 5, 7]


def test_key_frames_are_read_and_spread_where_they_are_many(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", numbered(50), codec="libx264", pixels="yuv420p", key_every=10, codec_options={"sc_threshold": "0"})  # fmt: skip
    opened = video.open_video(path)
    assert FramesSpec(sampling="key").times_s(opened) == pytest.approx([0, 1, 2, 3, 4])
    assert FramesSpec(sampling="key", count=2).times_s(opened) == pytest.approx([1, 3])


def test_frames_of_segments_are_drawn_from_the_samples_seed() -> None:
    spec = FramesSpec(sampling="segments", count=4)
    drawn = [spec.times_s(CLIP, seed) for seed in range(20)]
    assert drawn[3] == spec.times_s(CLIP, 3) and len({tuple(times) for times in drawn}) == 20
    assert all(2 * segment <= time < 2 * segment + 2 for times in drawn for segment, time in enumerate(times))
    preprocess = frames(sampling="segments", count=4).preprocessor()
    assert preprocess.seeded(3).layout(CLIP).times_s == tuple(drawn[3])
    assert preprocess.seeded(3).to_dict() == preprocess.to_dict()
    steady = frames(count=4).preprocessor()
    assert steady.seeded(3) is steady


def test_a_frame_is_encoded_as_an_image_would_be() -> None:
    config = frames(count=3)
    alone, preprocess = TinyEncoderConfig(), config.preprocessor()
    shown = list(CLIP.frames(FramesSpec(count=3).times_s(CLIP)))
    each = torch.cat([alone.preprocessor()(frame) for frame in shown])
    assert torch.equal(preprocess(CLIP), each)
    assert preprocess.layout(CLIP) == Layout.of_units(3, times_s=tuple(FramesSpec(count=3).times_s(CLIP)))
    layout = config.layout(preprocess.layout(CLIP))
    assert (layout.blocks, layout.grid) == ((4, 4, 4), (2, 2))


def test_an_image_is_read_as_ever() -> None:
    """So that one encoder may read both, `use: video`."""
    config, image = frames(count=3), next(CLIP.frames([0.0]))
    assert config.reads() == {"image", "video"}
    assert torch.equal(config.preprocessor()(image), TinyEncoderConfig().preprocessor()(image))
    assert config.preprocessor().layout(image) == Layout.of_units(1)


def test_an_encoder_that_cuts_frames_into_pieces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tiles(Preprocessor):
        def __call__(self, medium: Any) -> torch.Tensor:
            return torch.zeros(2, 3)

        def to_dict(self) -> dict[str, Any]:
            return {}

    monkeypatch.setattr(TinyEncoderConfig, "preprocessor", lambda self: Tiles())
    with pytest.raises(PartError, match="a frame of a video makes 2 units, needed one"):
        frames(count=2).preprocessor()(CLIP)


def test_the_tiny_form_reads_few_frames() -> None:
    assert frames(count=64).tiny().frames.count == 4 and frames(count=2).tiny().frames.count == 2
