"""The perceptual hash is imagehash's, and finds what looks alike."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from modalink.data_quality.pictures import MOST_BITS, Look, Looks, perceptual_hash


# str(imagehash.phash(picture(number))) of imagehash 4.3.2, the width of each being 90 + 7 * number.
@pytest.mark.parametrize(
    ("number", "known"),
    [
        (0, 0xA7D2B2C9B60D48F2),
        (1, 0xB8E70D5227E99C16),
        (2, 0xA712B2D8F2270BD9),
        (3, 0xB8F292F292586DA3),
        (4, 0xC987A7520958F6A7),
    ],
)
def test_the_hash_is_that_of_imagehash(picture, number, known):
    found = perceptual_hash(picture(number, (90 + 7 * number, 70)))
    assert (found ^ known).bit_count() <= 2  # coefficients beside the median may round to either side


def stored_again(picture, quality):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize(
    "changed",
    [
        lambda p: stored_again(p, 60),
        lambda p: p.resize((p.width * 2, p.height * 2)),
        lambda p: ImageEnhance.Brightness(p).enhance(1.08),
        lambda p: p.resize((p.width // 2, p.height // 2), Image.Resampling.BICUBIC),
    ],
)
def test_what_looks_alike_is_found(picture, changed):
    looks = Looks(10, 40)
    for number in range(40):
        looks.add(number, Look.of(picture(number)))
    for number in range(0, 40, 7):
        assert list(looks.like(Look.of(changed(picture(number))))) == [number]
    assert not list(looks.like(Look.of(picture(99))))


def test_the_same_in_other_colours_is_another_picture(picture):
    look, red = Look.of(picture(1)), Look.of(Image.merge("RGB", picture(1).split()[::-1]))
    assert not look.is_like(red, MOST_BITS, 40) and look.is_like(look, 0, 0)


def test_all_hashes_within_the_bits_are_found():
    rng = np.random.default_rng(0)
    copy = np.zeros((16, 16, 3), np.uint8)
    looks = Looks(MOST_BITS, 0)
    looks.add(7, Look(0, copy))
    for bits in (0, 1, MOST_BITS, MOST_BITS + 1):
        for _ in range(50):
            flipped = sum(1 << int(place) for place in rng.permutation(64)[:bits])
            assert list(looks.like(Look(flipped, copy))) == ([7] if bits <= MOST_BITS else [])
