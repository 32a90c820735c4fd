"""Media that are spoilt on purpose: what is left of them, alike each time that it is drawn alike."""

import random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modalink import modalities
from modalink.conversation import Medium, Text, Turn
from modalink.data.damage import damaged
from modalink.data.preference import Preference, Side
from modalink.errors import SampleError
from modalink.modalities.audio import Sound
from modalink.modalities.points import Cloud
from modalink.modalities.video import Clip

RAMP = np.linspace(0, 255, 40 * 60 * 3).reshape(40, 60, 3).astype(np.uint8)


def _preference(*media: Medium) -> Preference:
    said = [Side((Turn("assistant", (Text(text),)),)) for text in ("a cube", "a ball")]
    return Preference.of([Turn("user", (*media, Text("What?")))], said, "one")


def _spoilt(modality: str, source: Any, damage: str, seed: int = 0) -> Any:
    (medium,) = damaged(_preference(Medium(modality, source)), damage, random.Random(seed))
    assert medium.modality == modality
    return modalities.get(modality).open(medium.source).read()


def test_a_crop_shows_a_small_part_of_a_picture_at_its_size() -> None:
    for seed in range(20):
        part = np.asarray(_spoilt("image", Image.fromarray(RAMP), "crop", seed)).astype(int)
        assert part.shape == RAMP.shape
        rows = part[:, 30, 0]  # a fifth of the area is 0.45 of the height at most, and the ramp goes down the picture
        assert rows.max() - rows.min() < 0.5 * 255
    assert not np.array_equal(
        _spoilt("image", Image.fromarray(RAMP), "crop", 0), _spoilt("image", Image.fromarray(RAMP), "crop", 1)
    )
    assert np.array_equal(
        _spoilt("image", Image.fromarray(RAMP), "crop", 0), _spoilt("image", Image.fromarray(RAMP), "crop", 0)
    )


@pytest.mark.parametrize("modality", ["image", "video", "audio"])
def test_noise_hides_and_blank_leaves_nothing(modality: str) -> None:
    waves = np.sin(np.arange(16_000) / 5).astype(np.float32)
    whole = {"image": Image.fromarray(RAMP), "video": Clip(np.stack([RAMP] * 2), [0.0, 0.5], 1.0)}
    source = whole | {"audio": Sound(waves, 16_000)}

    def values(medium: Any) -> np.ndarray:
        if isinstance(medium, Clip):
            return np.stack([np.asarray(frame) for _, frame in medium.all_frames()])
        return np.asarray(medium.values if isinstance(medium, Sound) else medium)

    before = values(source[modality])
    assert not values(_spoilt(modality, source[modality], "blank")).any()
    noisy = values(_spoilt(modality, source[modality], "noise"))
    assert noisy.shape == before.shape
    likeness = np.corrcoef(noisy.ravel().astype(float), before.ravel().astype(float))[0, 1]
    assert 0.1 < likeness < 0.4
    cropped = values(_spoilt(modality, source[modality], "crop"))
    assert cropped.shape == before.shape
    if modality == "audio":
        assert 0.005 < (cropped != 0).mean() <= 0.2


def test_a_prompt_without_media_has_none_and_what_cannot_be_spoilt_is_named() -> None:
    assert damaged(_preference(), "crop", random.Random(0)) == ()
    cloud = Medium("points", Cloud(np.zeros((4, 3), np.float32)))
    with pytest.raises(SampleError, match="found a medium of modality 'points' to spoil; image, video, audio can be"):
        damaged(_preference(cloud), "noise", random.Random(0))
