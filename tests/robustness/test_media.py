"""Damaged pictures, videos and point clouds are read or refused in words."""

import io
from pathlib import Path

import numpy as np
import pytest
from films import film
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shapes import every_format, pictured

from modalink import modalities
from tests.robustness.fuzzing import fuzzed
from tests.robustness.mutations import ODD, as_json, damaged_bytes, damaged_tree
from tests.robustness.watch import held

VIDEOS = (("mp4", "libx264", "yuv420p"), ("matroska", "ffv1", "bgr0"), ("avi", "mpeg4", "yuv420p"))
_SHAPES = every_format()
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO")


def picture(format: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_bytes(format: str, tmp_path: Path) -> None:
    file = tmp_path / f"picture.{format.lower()}"
    image = modalities.get("image")

    @fuzzed(1)
    @given(content=damaged_bytes(picture(format)), as_file=st.booleans())
    def read(content: bytes, as_file: bool) -> None:
        file.write_bytes(content)
        with held(tmp_path):
            pixels = image.open(file if as_file else content).read()
            assert pixels.mode == "RGB"

    read()


@pytest.mark.parametrize("coded", VIDEOS, ids=lambda coded: coded[0])
def test_damaged_videos(coded: tuple[str, str, str], tmp_path: Path) -> None:
    format, codec, pixels = coded
    frames = np.random.default_rng(0).integers(0, 255, (12, 24, 32, 3)).astype(np.uint8)
    file = io.BytesIO()
    film(file, [*frames], codec=codec, pixels=pixels, key_every=4, format=format)

    @fuzzed(3)
    @given(content=damaged_bytes(file.getvalue()))
    def read(content: bytes) -> None:
        with held(tmp_path):
            video = modalities.get("video").open(content)
            for frame in video.frames([video.duration_s * share for share in (0.1, 0.5, 0.9)]):
                assert frame.mode == "RGB"

    read()


@pytest.mark.parametrize("format", sorted(_SHAPES))
def test_damaged_points(format: str, tmp_path: Path) -> None:
    """What is read is whole: as many points and triangles as were announced, all finite, every corner a point."""

    @fuzzed(2)
    @given(content=damaged_bytes(_SHAPES[format]))
    def read(content: bytes) -> None:
        with held(tmp_path):
            handle = modalities.get("points").open(content)
            cloud = handle.read()
            assert len(cloud.points) == handle.num_points and np.isfinite(cloud.points).all()
            assert cloud.faces is None or (cloud.faces.min() >= 0 and cloud.faces.max() < len(cloud.points))
            assert (cloud.faces is None) == (handle.num_faces == 0)

    read()


def test_damaged_trees_of_gltf(tmp_path: Path) -> None:
    @fuzzed(8)
    @given(tree=damaged_tree(pictured()))
    def read(tree: object) -> None:
        with held(tmp_path):
            assert np.isfinite(
                modalities.get("points").open(as_json(tree).encode(errors="replace")).read().points
            ).all()

    read()


@fuzzed(1)
@given(value=st.sampled_from(ODD) | st.binary(max_size=20))
def test_things_that_are_no_pictures(value: object) -> None:
    for modality in ("image", "video", "points"):
        with held(Path("/etc/passwd")):
            modalities.get(modality).open(value).read()
