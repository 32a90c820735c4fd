"""A path, bytes or data URL becomes bytes, the same ones at each look, and never from a network."""

import base64
import hashlib
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from modalink.errors import MediumError
from modalink.modalities import image
from tests.support.pictures import RED_GREEN, encoded, refused


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    data = encoded(Image.fromarray(RED_GREEN), "PNG")
    path = tmp_path / "a b.png"
    path.write_bytes(data)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    for source in (path, str(path), data, bytearray(data), memoryview(data), url, RED_GREEN, Image.open(path)):
        read = image.read(source)
        assert read.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(read), RED_GREEN)


def test_a_huge_file_is_refused_unopened(tmp_path):
    path = tmp_path / "sparse.png"
    with open(path, "wb") as file:
        file.truncate(image.MAX_BYTES + 1)
    assert refused(path).reason == "too_large"


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


@pytest.mark.parametrize(
    "url", ["http://example.com/a.jpg", "https://example.com/a.jpg", "HTTPS://x/a", "s3://b/a.jpg"]
)
def test_addresses_are_refused_with_a_word_on_downloading(url):
    error = refused(url)
    assert error.reason == "remote"
    assert "download it first" in str(error)


def test_errors_bear_the_name_that_was_given(tmp_path):
    error = refused(tmp_path / "a.png", name="sample 3, image 1")
    assert str(error).startswith(f"sample 3, image 1 ({tmp_path / 'a.png'}): ")
    assert error.name == f"sample 3, image 1 ({tmp_path / 'a.png'})"


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
