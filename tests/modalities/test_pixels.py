"""Every mode, depth and orientation becomes the same upright RGB, whose size is known before it is decoded."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from modalink.modalities import image
from tests.support.pictures import RED_GREEN, encoded, refused


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(orientation):
    upright = Image.fromarray(np.kron(RED_GREEN, np.ones((16, 16, 1), np.uint8)))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = image.read(encoded(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(np.asarray(read), np.asarray(upright))


def test_broken_exif_does_not_lose_a_sound_photo():
    data = encoded(Image.new("RGB", (8, 8), (10, 200, 30)), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12")
    assert image.read(data).size == (8, 8)


def test_transparent_parts_lie_on_white():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = 0, 128, 255
    expected = [[[255, 255, 255], [127, 127, 127], [0, 0, 0]]]
    for source in (rgba, encoded(Image.fromarray(rgba), "PNG"), encoded(Image.fromarray(rgba), "TIFF")):
        np.testing.assert_array_equal(np.asarray(image.read(source)), expected)
    grey = Image.fromarray(rgba).convert("LA")
    np.testing.assert_array_equal(np.asarray(image.read(encoded(grey, "PNG"))), expected)


def test_a_palette_with_a_transparent_colour():
    picture = Image.new("P", (2, 1))
    picture.putpalette([0, 0, 255, 255, 0, 0])
    picture.putpixel((1, 0), 1)
    np.testing.assert_array_equal(np.asarray(image.read(encoded(picture, "PNG"))), [[[0, 0, 255], [255, 0, 0]]])
    clear = encoded(picture, "PNG", transparency=0)
    np.testing.assert_array_equal(np.asarray(image.read(clear)), [[[255, 255, 255], [255, 0, 0]]])
    clear = encoded(picture, "PNG", transparency=b"\x00\xff")
    np.testing.assert_array_equal(np.asarray(image.read(clear)), [[[255, 255, 255], [255, 0, 0]]])


def test_sixteen_bits_are_scaled_not_clipped():
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    expected = np.repeat(np.array([[[0], [1], [128], [255]]]), 3, axis=2)
    for source in (deep, encoded(Image.fromarray(deep), "PNG"), encoded(Image.fromarray(deep), "TIFF")):
        np.testing.assert_array_equal(np.asarray(image.read(source)), expected)
    wide = Image.fromarray(deep.astype(np.int32))
    assert wide.mode == "I"
    np.testing.assert_array_equal(np.asarray(image.read(wide)), expected)


def test_cmyk_black_and_white_and_grey():
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = np.asarray(image.read(encoded(ink, "JPEG", quality=95)))[4, 4].astype(int)
    assert np.abs(red - (255, 0, 0)).max() < 12
    one_bit = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(np.asarray(image.read(encoded(one_bit, "PNG"))), [[[255] * 3, [0] * 3]])
    np.testing.assert_array_equal(np.asarray(image.read(np.array([[7, 8]], np.uint8))), [[[7] * 3, [8] * 3]])
    np.testing.assert_array_equal(np.asarray(image.read(np.array([[[7], [8]]], np.uint8))), [[[7] * 3, [8] * 3]])


def test_arrays_of_floats_and_bools():
    np.testing.assert_array_equal(np.asarray(image.read(np.array([[0.0, 0.5, 1.0]])))[0, :, 0], [0, 128, 255])
    np.testing.assert_array_equal(np.asarray(image.read(np.array([[True, False]])))[0, :, 0], [255, 0])
    floats = encoded(Image.fromarray(np.array([[0.0, 1.0]], np.float32)), "TIFF")
    np.testing.assert_array_equal(np.asarray(image.read(floats))[0, :, 0], [0, 255])


@pytest.mark.parametrize(
    ("mode", "format", "times"),
    [("RGB", "PNG", 1), ("P", "PNG", 1), ("CMYK", "JPEG", 1), ("RGBA", "PNG", 3), ("LA", "PNG", 3), ("I;16", "PNG", 3),
     ("F", "TIFF", 3), ("I", "TIFF", 3), ("RGB", "WEBP", 3), ("RGBA", "AVIF", 3), ("RGB", "JPEG2000", 8), ("RGBA", "JPEG2000", 8)],
)  # fmt: skip
def test_the_limit_is_one_on_work(mode, format, times):
    """Transparency, deep values and slow decoders cost a multiple of a plain pixel, in time and in memory."""
    data = encoded(Image.new(mode, (10, 10)), format)
    assert image.read(data, max_pixels=100 * times).size == (10, 10)
    error = refused(data, max_pixels=100 * times - 1)
    assert error.reason == "too_large"
    assert f"10 x 10 = 100 pixels, at most {(100 * times - 1) // times} are read" in str(error)
    assert times == 1 or f"in {format}, each being the work of {times} plain ones; scale it down" in str(error)


def test_a_transparent_colour_of_a_palette_is_work_too():
    picture = Image.new("P", (10, 10))
    assert refused(encoded(picture, "PNG", transparency=0), max_pixels=299).reason == "too_large"


def test_every_transparency_of_every_value_lies_on_white():
    value, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    picture = Image.fromarray(np.dstack([value, value, value, alpha]))
    expected = Image.alpha_composite(Image.new("RGBA", picture.size, (255,) * 4), picture).convert("RGB")
    np.testing.assert_array_equal(np.asarray(image.read(picture)), np.asarray(expected))


@pytest.mark.parametrize("values", [
    np.array([["a", "b"]]), np.array([[b"a"]]), np.array([[None]]), np.array([[1 + 2j]]),
    np.array([["2020-01-01"]], "datetime64[D]"), np.zeros((2, 2), [("a", "u1")]), np.array([[{}, []]], object),
])  # fmt: skip
def test_arrays_of_what_is_no_number(values):
    error = refused(values)
    assert error.reason == "not_an_image" and "found values of type" in str(error)


@pytest.fixture
def undecoded(monkeypatch):
    """Opens an image while nothing can be decoded."""

    def opened(source):
        with monkeypatch.context() as patch:
            patch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
            return image.open_image(source)

    return opened


@pytest.mark.parametrize("format", ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_size_of_the_upright_image_is_known_from_the_header(format, orientation, undecoded, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.new("RGB", (32, 16)), format, **({} if format == "PPM" else {"exif": exif}))
    (tmp_path / "a").write_bytes(data)
    for handle in (undecoded(data), undecoded(tmp_path / "a")):
        assert handle.size == (handle.width, handle.height) == handle.read().size
        assert handle.extent == f"{handle.width} x {handle.height} px"


@pytest.mark.parametrize("late", [b"eXIf", b"zTXt"])
def test_a_png_may_tell_behind_its_pixels_that_it_lies_on_its_side(late):
    exif = Image.Exif()
    exif[0x0112] = 6
    text = b"Raw profile type exif\0\0" + zlib.compress(
        b"\nexif\n%8d\n" % len(exif.tobytes()) + exif.tobytes().hex().encode()
    )
    content = exif.tobytes()[6:] if late == b"eXIf" else text
    chunk = struct.pack(">I", len(content)) + late + content + struct.pack(">I", zlib.crc32(late + content))
    data = encoded(Image.new("RGB", (32, 16)), "PNG")
    handle = image.open_image(data[:-12] + chunk + data[-12:])
    assert handle.size == handle.read().size == (16, 32)


def test_pictures_and_arrays_have_their_size_too(undecoded):
    assert undecoded(np.zeros((2, 3, 4), np.uint8)).size == undecoded(Image.new("L", (3, 2))).size == (3, 2)
