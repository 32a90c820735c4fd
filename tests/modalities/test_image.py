"""Reading images: every source and every mode become the same RGB picture, and bad media say what is wrong."""

import base64
import hashlib
import os
import pickle
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFile

from modalink.errors import MediumError
from modalink.modalities import image

RED_GREEN = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 9, 9], [99, 99, 99], [200, 10, 30]]], np.uint8)


def encoded(picture: Image.Image, format: str, **options) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def refused(source, **options) -> MediumError:
    with pytest.raises(MediumError) as caught:
        image.read(source, **options)
    return caught.value


# What is read


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    data = encoded(Image.fromarray(RED_GREEN), "PNG")
    path = tmp_path / "a b.png"
    path.write_bytes(data)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    for source in (path, str(path), data, bytearray(data), memoryview(data), url, RED_GREEN, Image.open(path)):
        read = image.read(source)
        assert read.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(read), RED_GREEN)


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


# What is refused


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


def test_a_huge_file_is_refused_unopened(tmp_path):
    path = tmp_path / "sparse.png"
    with open(path, "wb") as file:
        file.truncate(image.MAX_BYTES + 1)
    assert refused(path).reason == "too_large"


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


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "text.jpg").write_text("this is no picture, whatever its name says")
    (tmp_path / "none.jpg").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert refused(tmp_path / "text.jpg").reason == "not_an_image"
    assert refused(tmp_path / "none.jpg").reason == "empty"
    assert refused(tmp_path / "pipe.jpg").reason == "not_a_file"
    assert refused("/dev/zero").reason == "not_a_file"
    assert refused(tmp_path).reason == "not_a_file"
    missing = refused(tmp_path / "gone.jpg")
    assert missing.reason == "missing"
    assert str(missing) == f"{tmp_path / 'gone.jpg'}: no such file; check the path and the folder it is relative to"


def test_postscript_never_reaches_ghostscript():
    assert refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n").reason == "not_an_image"


@pytest.mark.parametrize(
    "url", ["http://example.com/a.jpg", "https://example.com/a.jpg", "HTTPS://x/a", "s3://b/a.jpg"]
)
def test_addresses_are_refused_with_a_word_on_downloading(url):
    error = refused(url)
    assert error.reason == "remote"
    assert "download it first" in str(error)


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


def test_errors_bear_the_name_that_was_given(tmp_path):
    error = refused(tmp_path / "a.png", name="sample 3, image 1")
    assert str(error).startswith(f"sample 3, image 1 ({tmp_path / 'a.png'}): ")
    assert error.name == f"sample 3, image 1 ({tmp_path / 'a.png'})"


# What is known before it is decoded


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


def test_what_cannot_be_decoded_opens_and_is_refused_when_it_is_read(tmp_path):
    data = encoded(Image.fromarray(skimage.data.astronaut()), "JPEG")
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    handle = image.open_image(tmp_path / "half.jpg")
    assert handle.size == (512, 512)
    with pytest.raises(MediumError, match=r"half\.jpg: is truncated"):
        handle.read()


def test_the_digest_is_that_of_the_content(tmp_path):
    picture = Image.fromarray(RED_GREEN)
    data = encoded(picture, "PNG")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(data)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    stored = {image.open_image(source).digest for source in (tmp_path / "a.png", tmp_path / "b.png", data, url)}
    assert stored == {hashlib.sha256(data).hexdigest()}
    given = {image.open_image(source).digest for source in (RED_GREEN, picture, picture.convert("RGBA"))}
    assert len(given) == 1
    others = (RED_GREEN[:, ::-1], RED_GREEN.reshape(1, 6, 3), RED_GREEN.reshape(3, 2, 3))
    assert len(given | {image.open_image(np.ascontiguousarray(source)).digest for source in others}) == 4


def test_a_file_that_changes_after_it_was_opened_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("RGB", (8, 8)), "PNG"))
    handle = image.open_image(path, "sample 3")
    path.write_bytes(encoded(Image.new("RGB", (9, 9)), "PNG"))
    for ask in (handle.read, lambda: handle.digest):
        with pytest.raises(MediumError, match=r"sample 3 .*a\.png.*was changed since it was opened") as caught:
            ask()
        assert caught.value.reason == "changed"


def test_handles_travel_between_processes(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(RED_GREEN), "PNG"))
    for source in (tmp_path / "a.png", RED_GREEN):
        handle = pickle.loads(pickle.dumps(image.open_image(source)))
        np.testing.assert_array_equal(np.asarray(handle.read()), RED_GREEN)
