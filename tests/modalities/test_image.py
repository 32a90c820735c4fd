"""Opening, reading and writing images: every format, within limits, and bad ones say what is wrong."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from modalink.errors import MediumError
from modalink.modalities import image
from tests.support.pictures import RED_GREEN, encoded, refused


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_real_photos_are_read_as_they_are():
    folder = Path(skimage.data.__file__).parent
    for name, shape in {"astronaut.png": (512, 512), "coffee.png": (400, 600), "rocket.jpg": (427, 640)}.items():
        read = image.read(folder / name)
        assert (read.height, read.width) == shape
        np.testing.assert_array_equal(np.asarray(read), np.asarray(Image.open(folder / name).convert("RGB")))


@pytest.mark.parametrize("format", ["BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", "AVIF"])
def test_formats(format):
    picture = Image.new("RGB", (16, 8), (200, 30, 60))
    read = image.read(encoded(picture, format))
    assert read.size == (16, 8)
    assert np.abs(np.asarray(read).astype(int) - (200, 30, 60)).max() < 12


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF", "MPO"])
def test_the_first_of_several_frames(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert np.abs(np.asarray(image.read(data)).astype(int)[0, 0] - (255, 0, 0)).max() < 3


def test_the_source_is_left_as_it_was():
    given = Image.fromarray(RED_GREEN)
    image.read(given).putpixel((0, 0), (1, 2, 3))
    assert given.getpixel((0, 0)) == (255, 0, 0)


def test_what_is_written_is_read_back(tmp_path):
    image.write(Image.fromarray(RED_GREEN), tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(image.read(tmp_path / "a.png")), RED_GREEN)
    with pytest.raises(MediumError, match=r"found the suffix '\.docx', needed one of \.jpg"):
        image.write(Image.fromarray(RED_GREEN), tmp_path / "a.docx")
    with pytest.raises(MediumError, match="cannot be written"):
        image.write(Image.fromarray(RED_GREEN), tmp_path / "no folder" / "a.png")


def test_a_huge_image_is_refused_by_its_header_without_allocating():
    """In a process with an address space that the decoded image (2.7 GB) would burst."""
    program = (
        "import resource, sys\n"
        "from modalink.errors import MediumError\n"
        "from modalink.modalities import image\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))\n"
        "try:\n"
        "    image.read(sys.stdin.buffer.read())\n"
        "except MediumError as error:\n"
        "    print(error.reason, error)\n"
    )
    data = png_header(30_000, 30_000)
    assert len(data) < 200
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=True)
    assert done.stdout.startswith(b"too_large image given as bytes: ")
    assert b"900000000 pixels" in done.stdout.replace(b",", b"")


@pytest.mark.parametrize("size", [(9_460, 9_460), (12_000, 8_000), (20_000, 20_000), (2**31 - 1, 2)])
def test_sizes_over_the_limit(size):
    assert size[0] * size[1] > image.MAX_PIXELS
    assert refused(png_header(*size)).reason == "too_large"


def test_limits_are_met_exactly():
    picture = encoded(Image.new("RGB", (10, 10)), "PNG")
    assert image.read(picture, max_pixels=100, max_bytes=len(picture)).size == (10, 10)
    error = refused(picture, max_pixels=99)
    assert (error.reason, "10 x 10 = 100 pixels, at most 99" in str(error)) == ("too_large", True)
    assert refused(picture, max_bytes=len(picture) - 1).reason == "too_large"
    assert refused(np.zeros((10, 10), np.uint8), max_pixels=99).reason == "too_large"
    assert refused(Image.new("L", (10, 10)), max_pixels=99).reason == "too_large"


def test_a_sliver_is_refused():
    assert image.read(np.zeros((1, image.MAX_ASPECT, 3), np.uint8)).size == (image.MAX_ASPECT, 1)
    assert refused(np.zeros((1, image.MAX_ASPECT + 1, 3), np.uint8)).reason == "too_narrow"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
def test_truncated_at_every_length(format):
    """No cut gives a picture that is silently half grey; a cut may only take bytes that hold no pixels."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    data = encoded(picture, format)
    whole = np.asarray(image.read(data))
    for length in range(1, len(data) - 1, max(1, len(data) // 60)):
        try:
            read = image.read(data[:length])
        except MediumError as error:
            assert error.reason in {"truncated", "damaged", "not_an_image"}
        else:
            np.testing.assert_array_equal(np.asarray(read), whole)


def test_a_truncated_jpeg_says_so(tmp_path):
    path = tmp_path / "half.jpg"
    data = encoded(Image.fromarray(skimage.data.astronaut()), "JPEG")
    path.write_bytes(data[: len(data) // 2])
    error = refused(path)
    assert error.reason == "truncated"
    assert str(path) in str(error)
    assert "fetch or write it again" in str(error)


def test_random_damage_never_escapes_as_another_error():
    rng = np.random.default_rng(1)
    picture = Image.fromarray(skimage.data.astronaut()[::8, ::8])
    for format in ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "JPEG2000", "BMP", "AVIF"):
        data = np.frombuffer(encoded(picture, format), np.uint8)
        for _ in range(40):
            broken = data.copy()
            broken[rng.integers(0, len(data), 12)] = rng.integers(0, 256, 12)
            try:
                assert image.read(broken.tobytes()).mode == "RGB"
            except MediumError as error:
                assert error.reason in {"truncated", "damaged", "not_an_image", "too_large", "too_narrow", "empty"}


def test_postscript_never_reaches_ghostscript():
    assert refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n").reason == "not_an_image"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("data:image/png;base64,@@@@", "bad_data_url"),
        ("data:image/png,abc", "bad_data_url"),
        ("data:image/png;base64", "bad_data_url"),
        ("data:image/png;base64,", "empty"),
        ("data:text/plain;base64,aGVsbG8gd29ybGQ=", "not_an_image"),
        (b"", "empty"),
        ("nul\0byte.png", "unreadable"),
        ("x" * 5000, "unreadable"),
        (7, "unsupported"),
        (None, "unsupported"),
        (np.zeros((3, 8, 8), np.uint8), "not_an_image"),
        (np.zeros((8,), np.uint8), "not_an_image"),
        (np.zeros((0, 8, 3), np.uint8), "empty"),
        (np.full((8, 8), 2.0), "not_an_image"),
        (np.full((8, 8), np.nan), "not_an_image"),
        (np.zeros((8, 8), np.int64), "not_an_image"),
        (np.full((8, 8), 70_000, np.int32), "not_an_image"),
        (Image.new("RGB", (0, 4)), "empty"),
        (Image.fromarray(np.full((2, 2), 70_000, np.int32)), "not_an_image"),
    ],
)
def test_other_bad_sources(source, reason):
    error = refused(source)
    assert error.reason == reason
    assert len(str(error)) < 600


def test_what_cannot_be_decoded_opens_and_is_refused_when_it_is_read(tmp_path):
    data = encoded(Image.fromarray(skimage.data.astronaut()), "JPEG")
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    handle = image.open_image(tmp_path / "half.jpg")
    assert handle.size == (512, 512)
    with pytest.raises(MediumError, match=r"half\.jpg: is truncated"):
        handle.read()
