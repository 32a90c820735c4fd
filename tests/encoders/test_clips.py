"""What ImageBind reads of pictures, videos and sounds.

The numbers are those of the original's data.py (facebookresearch/ImageBind@53680b0, with pytorchvideo@6cdc929 and the
filter banks of torchaudio 2.11.1) for the media below. It takes means of overlapping clips in place, so that of sounds
of two to six seconds its numbers differ by up to 0.02.
"""

from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from modalink import modalities
from modalink.encoders._clips import PicturePreprocessor, SoundClipsPreprocessor, VideoPreprocessor, starts_s
from modalink.errors import MediumError
from modalink.modalities.audio import Sound
from modalink.modalities.video import Clip

FILM = np.random.default_rng(80).integers(0, 256, (80, 30, 52, 3), dtype=np.uint8)
GREEN = [
    [0.2296, 0.6222], [0.2168, -0.6478], [1.2120, -0.6750], [1.1304, -1.2698], [-1.0281, 0.0706],
    [-0.8080, 1.7098], [-0.9918, -0.0505], [-0.1615, -0.2221], [-0.5480, 0.3276], [0.9457, -0.5518],
    [1.2139, -1.3895], [-0.0800, -0.1957], [-0.0886, 1.6520], [1.0762, 0.9461], [1.4905, 0.9936],
]  # fmt: skip
"""Row 100, column 50 of both frames, for each clip of its three squares."""
BANDS = [
    [[-0.1296, -0.3641, 0.0560, 0.4671], [0.4526, 0.3164, 0.6255, 0.4671], [0.7907, 0.7842, 0.7295, 0.4671], [0.9947, 1.1074, 0.9896, 0.4671]],
    [[-0.3815, -0.3253, -0.3150, 0.4671], [0.4425, 0.5825, 0.5000, 0.4671], [0.9498, 0.7562, 0.8808, 0.4671], [1.0568, 1.1784, 1.0646, 0.4671]],
    [[-0.0187, -0.2318, -0.4224, 0.4671], [0.5581, 0.4930, 0.5478, 0.4671], [0.7423, 0.8130, 0.8037, 0.4671], [1.0408, 1.0332, 1.0786, 0.4671]],
]  # fmt: skip
"""Bands 0, 42, 84, 126 of frames 0, 66, 132, 198, which is filled up, for each clip."""


def noise(samples: int) -> Sound:
    return Sound(np.random.default_rng(3).uniform(-0.5, 0.5, samples).astype(np.float32), 16_000)


def test_clips_lie_evenly_from_the_beginning_to_the_end() -> None:
    assert starts_s(10.0, 5) == [0, 2, 4, 6, 8]
    assert starts_s(3.0, 3) == [0, Fraction(1, 2), 1]
    assert starts_s(1.0, 3) == [0, 0, 0]
    assert starts_s(9.0, 1) == [0]


def test_clips_of_a_video_are_the_originals() -> None:
    preprocess, film = VideoPreprocessor(224, 5, 3), Clip.of(FILM, fps=10.0)
    found = preprocess(film)
    assert found.shape == (15, 3, 2, 224, 224)
    torch.testing.assert_close(found[:, 1, :, 100, 50], torch.tensor(GREEN), atol=1e-4, rtol=0)
    assert preprocess.layout(film).times_s == tuple(time for time in (0.0, 1.5, 3.0, 4.5, 6.0) for _ in range(3))


def test_the_middle_square_is_the_second_of_three() -> None:
    film = Clip.of(FILM.transpose(0, 2, 1, 3)[:30], fps=10.0)
    three, one = (VideoPreprocessor(32, 2, crops)(film) for crops in (3, 1))
    assert torch.equal(three[1::3], one) and not torch.equal(three[0::3], one)


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_short_video_is_read_from_end_to_end(frames: int) -> None:
    film = Clip.of(FILM[:frames], fps=10.0)
    clip = VideoPreprocessor(30, 1, 1)(film)[0]
    assert torch.equal(clip[:, 0], VideoPreprocessor(30, 1, 1)(Clip.of(FILM[:1], fps=10.0))[0][:, 0])
    assert torch.equal(clip[:, 1], VideoPreprocessor(30, 1, 1)(Clip.of(FILM[frames - 1 : frames], fps=10.0))[0][:, 0])


def test_a_stored_video_has_the_frames_of_the_one_in_memory(tmp_path) -> None:
    record, film = modalities.get("video"), Clip.of(FILM[:50], fps=10.0)
    for suffix in (".mkv", ".mp4"):
        record.write(film, tmp_path / f"a{suffix}")
        stored = record.open(tmp_path / f"a{suffix}")
        kept = Clip.of(np.asarray(stored), fps=10.0)
        preprocess = VideoPreprocessor(30, 3, 1)
        assert torch.equal(preprocess(stored), preprocess(kept))


def test_clips_of_a_sound_are_the_originals() -> None:
    preprocess, sound = SoundClipsPreprocessor(3, 128, 204), noise(100_007)
    found = preprocess(sound)
    assert found.shape == (3, 1, 128, 204)
    torch.testing.assert_close(found[:, 0, ::42, ::66], torch.tensor(BANDS), atol=2e-4, rtol=0)
    assert torch.equal(found, preprocess.made(sound.values))
    assert preprocess.layout(sound).times_s == (0.0, 34_003 / 16_000, 68_007 / 16_000)


def test_what_is_too_short_for_a_frame_of_sound_is_refused() -> None:
    preprocess = SoundClipsPreprocessor(3, 128, 204)
    assert preprocess(noise(400)).isfinite().all()
    with pytest.raises(MediumError, match=r"lasts 0\.0249 s, this encoder makes no token of less than 0\.025 s"):
        preprocess.layout(noise(399))


@pytest.mark.parametrize("size", [(300, 224), (224, 301), (500, 333), (60, 41), (2, 300)])
def test_a_picture_is_scaled_and_cut_as_torchvision_does(size: tuple[int, int]) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    picture = Image.fromarray(values)
    reference = transforms.Compose(
        [
            transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ]
    )
    assert torch.equal(PicturePreprocessor(224)(picture)[0], reference(picture))
