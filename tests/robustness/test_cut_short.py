"""A file that ends early is refused, or gives what the whole one gives: nothing is lost in silence.

Of a text the last number may lose digits. Formats that do not tell how long they are (OBJ, XYZ, CSV, HTML) are not here, nor MP3, whose frames end alike.
"""

import io
from typing import Any

import numpy as np
import pytest
from films import film
from hypothesis import given
from hypothesis import strategies as st
from shapes import every_format

from modalink import modalities
from tests.robustness.fuzzing import fuzzed
from tests.robustness.test_drawn import numbers
from tests.robustness.test_media import FORMATS, VIDEOS, picture
from tests.robustness.test_sounds import SOUNDS
from tests.robustness.watch import held

_UNTOLD = ("obj", "xyz", "mp3")
_ENDS_IN_NUMBERS = ("pcd-text", "ply-points")


def _film(format: str, codec: str, pixels: str) -> bytes:
    """Every picture differs from the one before."""
    frames = np.random.default_rng(0).integers(0, 255, (12, 24, 32, 3)).astype(np.uint8)
    file = io.BytesIO()
    film(file, [*frames], codec=codec, pixels=pixels, key_every=4, format=format)
    return file.getvalue()


_WHOLE = {
    **{("image", format): picture(format) for format in FORMATS if format != "ICO"},
    **{("video", coded[0]): _film(*coded) for coded in VIDEOS},
    **{("audio", format): content for format, content in SOUNDS.items() if format not in _UNTOLD},
    **{("points", format): content for format, content in every_format().items() if format not in _UNTOLD},
    ("heatmap", "npy"): numbers(".npy"),
}


def _read(modality: str, content: bytes) -> Any:
    handle = modalities.get(modality).open(content)
    if modality == "video":
        return np.stack([np.asarray(image) for _, image in handle.all_frames()])
    return handle.samples(handle.rate_hz) if modality == "audio" else np.asarray(handle.read())


@pytest.mark.parametrize(("modality", "format"), sorted(_WHOLE))
def test_what_ends_early(modality: str, format: str) -> None:
    content = _WHOLE[modality, format]
    whole = _read(modality, content)

    @fuzzed(0.5)
    @given(length=st.integers(0, len(content) - 1))
    def read(length: int) -> None:
        with held():
            found, rows = _read(modality, content[:length]), -1 if format in _ENDS_IN_NUMBERS else None
            assert found.shape == whole.shape
            np.testing.assert_array_equal(found[:rows], whole[:rows])

    read()
