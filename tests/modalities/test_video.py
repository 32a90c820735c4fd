"""Reading videos: frames are found by their times, little more than them is decoded, bad media say what is wrong."""

import base64
import struct
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from films import film, numbered
from PIL import Image

from modalink.errors import MediumError
from modalink.modalities import _stored_video, _video_handle, audio, video
from modalink.testing import check_modality


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def plain(place) -> Path:
    """Two seconds, without loss."""
    return film(place / "plain.mkv", numbered(20))


def values(handle, times_s) -> list[int]:
    """The grey of the frames at some times, which is their number."""
    return [int(np.asarray(frame)[0, 0, 0]) for frame in handle.frames([*map(float, times_s)])]


def refused(source, times_s=None, **limits) -> MediumError:
    with pytest.raises(MediumError) as caught:
        handle = video.open_video(source, **limits)
        list(handle.frames([*map(float, times_s or [handle.duration_s * share for share in (0.1, 0.5, 0.9)])]))
    return caught.value


# What is read


def test_the_modality_keeps_the_promises_of_all():
    check_modality(video.RECORD)


def test_every_kind_of_source_gives_the_same_frames(plain):
    data = plain.read_bytes()
    url = "data:video/x-matroska;base64," + base64.b64encode(data).decode()
    for source in (plain, str(plain), data, bytearray(data), url):
        handle = video.open_video(source)
        assert (handle.size, handle.extent) == ((32, 24), "2.0 s of 32 x 24 px")
        assert values(handle, [0, 0.1, 0.99, 1.95, 2.0]) == [0, 1, 9, 19, 19]


def test_frames_are_found_by_their_times_not_by_their_numbers(place):
    """A phone's frames come as they can: the one at a time is the last that began before."""
    uneven = film(place / "uneven.mkv", numbered(5), times_s=[0, 0.04, 0.5, 0.51, 3.0])
    handle = video.open_video(uneven)
    assert values(handle, [0, 0.03, 0.04, 0.3, 0.505, 0.6, 2.9, 3.0]) == [0, 0, 1, 1, 2, 3, 3, 4]
    assert [round(time, 3) for time, _ in handle.all_frames()] == [0, 0.04, 0.5, 0.51, 3.0]


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("a.mp4", "libx264", "yuv420p"), ("a.mov", "mjpeg", "yuvj420p"), ("a.avi", "mpeg4", "yuv420p"), ("a.ts", "libx264", "yuv420p"),
     ("a.webm", "libvpx-vp9", "yuv420p"), ("a.mpg", "mpeg2video", "yuv420p"), ("b.mp4", "libx264", "yuv444p10le"), ("a.flv", "flv", "yuv420p")],
)  # fmt: skip
def test_containers_and_codecs(place, name, codec, pixels):
    frames = [np.full((32, 48, 3), 12 * number, np.uint8) for number in range(20)]
    rate = {"fps": 25, "tick": Fraction(1, 25)}
    handle = video.open_video(film(place / name, frames, codec=codec, pixels=pixels, **rate))
    for number, found in enumerate(values(handle, [n * handle.duration_s / 20 + 0.001 for n in range(20)])):
        assert abs(found - 12 * number) <= 14


def test_an_animated_gif_is_a_video(place):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    path = place / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 300, 100], loop=0)
    found = list(video.open_video(path).frames([0.0, 0.2, 0.45]))
    assert [frame.getpixel((3, 3)) for frame in found] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


_UPRIGHT = {
    (1, 0, 0, 1): lambda a: a, (0, 1, -1, 0): lambda a: np.rot90(a, -1), (-1, 0, 0, -1): lambda a: np.rot90(a, 2),
    (0, -1, 1, 0): lambda a: np.rot90(a), (-1, 0, 0, 1): lambda a: a[:, ::-1], (1, 0, 0, -1): lambda a: a[::-1],
    (0, 1, 1, 0): lambda a: a.transpose(1, 0, 2), (0, -1, -1, 0): lambda a: np.rot90(a, 2).transpose(1, 0, 2),
}  # fmt: skip


@pytest.mark.parametrize("directions", _UPRIGHT)
def test_a_phone_held_in_any_way_films_upright(directions):
    """The track's header says how the rows lie, and the pixels are stored as the sensor has them."""
    stored = np.random.default_rng(0).integers(0, 255, (16, 32, 3)).astype(np.uint8)
    file = BytesIO()
    film(file, [stored] * 3, codec="libx264rgb", pixels="rgb24", codec_options={"qp": "0"}, format="mp4")
    straight, turned = (struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30) for a, b, c, d in (
        (2**16, 0, 0, 2**16), [n * 2**16 for n in directions]))  # fmt: skip
    data = file.getvalue()
    track = data.index(b"tkhd")
    data = data[:track] + data[track:].replace(straight, turned, 1)
    handle = video.open_video(data)
    upright = _UPRIGHT[directions](stored)
    assert handle.size == (upright.shape[1], upright.shape[0])
    np.testing.assert_array_equal(np.asarray(next(handle.frames([0.1]))), upright)


def test_transparent_parts_lie_on_white(place):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4, 3] = 255
    path = film(place / "clear.mkv", [pixels] * 2, pixels="bgra", given="rgba")
    assert np.asarray(next(video.open_video(path).frames([0.0])))[0, :, 0].tolist() == [0] * 4 + [255] * 4


def test_a_header_without_a_duration_is_made_up_for(place):
    """As browsers record."""
    file = BytesIO()
    film(file, numbered(20), format="matroska", container_options={"live": "1"})
    handle = video.open_video(file.getvalue())
    assert handle.duration_s == pytest.approx(2.0, abs=0.11)
    assert values(handle, [0, 1.0]) == [0, 10]


def test_key_frames_are_found_without_decoding(place):
    path = film(place / "keys.mp4", numbered(30), codec="libx264", pixels="yuv420p", key_every=10, codec_options={"sc_threshold": "0"})  # fmt: skip
    assert video.open_video(path).key_times_s() == pytest.approx([0, 1, 2])


# How much is decoded


@pytest.mark.parametrize(("name", "codec"), [("far.mp4", "libx264"), ("far.mkv", "libx264"), ("far.ts", "libx264")])
def test_only_what_leads_to_the_wanted_frames_is_decoded(place, name, codec):
    frames = [np.full((16, 16, 3), number % 250, np.uint8) for number in range(600)]
    settings = {"codec": codec, "pixels": "yuv420p", "codec_options": {"sc_threshold": "0"}}
    keyed = film(place / name, frames, key_every=10, **settings)
    few = {"max_work": 150 * 2**17}  # the smallest pictures count as so much
    for number, found in zip((200, 400, 590), values(video.open_video(keyed, **few), [20, 40, 59]), strict=True):
        assert abs(found - number % 250) <= 8
    if name == "far.mp4":
        endless = film(place / "keyless.mp4", frames, key_every=600, **settings)
        error = refused(endless, [59], **few)
        assert error.reason == "too_large" and "needs more than" in str(error)


def test_frames_are_decoded_as_they_are_taken(plain, monkeypatch):
    decoded = []
    monkeypatch.setattr(
        _stored_video, "picture", lambda frame, label: decoded.append(frame) or Image.new("RGB", (1, 1))
    )
    frames = video.open_video(plain).frames([0.0, 1.0, 2.0])
    assert decoded == []
    next(frames)
    assert len(decoded) == 1


def test_all_at_once_only_where_they_are_few(plain, monkeypatch):
    assert np.asarray(video.open_video(plain)).shape == (20, 24, 32, 3)
    monkeypatch.setattr(_video_handle, "MAX_WHOLE", 24 * 32 * 19)
    with pytest.raises(MediumError, match="ask for some of them by their times"):
        np.asarray(video.open_video(plain))


# What is refused


def test_a_cut_file_is_read_up_to_where_it_ends(place):
    frames = [np.random.default_rng(n).integers(0, 255, (32, 48, 3)).astype(np.uint8) for n in range(40)]
    coded = {"codec": "libx264", "pixels": "yuv420p", "key_every": 5}
    for name, options in (("cut.mp4", {"container_options": {"movflags": "faststart"}}), ("cut.mkv", {})):
        whole = film(place / name, frames, **coded, **options).read_bytes()
        half = whole[: len(whole) // 2]
        assert len(list(video.open_video(half).frames([0.0, 0.5, 1.0]))) == 3
        assert refused(half, [0, 3.9]).reason == "truncated"
        # Half a second is missing: less than by which pictures may end before their sound, where a file is whole.
        most = film(place / f"short-{name}", frames[:15], **coded, **options).read_bytes()
        assert refused(most[: len(most) * 2 // 3], [0, 1.4]).reason == "truncated"
        with pytest.raises(MediumError) as caught:
            list(video.open_video(half).all_frames())
        assert caught.value.reason == "truncated"
    whole = film(place / "late.mp4", frames, **coded).read_bytes()
    assert refused(whole[: len(whole) // 2]).reason == "damaged"  # what tells the frames stands at the end


def test_damaged_pictures_are_none(place):
    frames = [np.random.default_rng(n).integers(0, 255, (32, 48, 3)).astype(np.uint8) for n in range(20)]
    data = bytearray(film(place / "d.mp4", frames, codec="libx264", pixels="yuv420p").read_bytes())
    start = data.index(b"mdat") + 1000
    data[start : start + 40] = bytes(40)
    assert refused(bytes(data)).reason == "damaged"


def test_its_sound_is_a_medium_of_its_own(place, plain):
    path = film(place / "heard.mp4", numbered(12), codec="libx264", pixels="yuv420p", sound_s=1.2)
    tone = np.sin(np.arange(19_200) * 0.2)
    for source in (path, path.read_bytes()):
        sound = video.open_video(source).sound()
        samples = sound.samples(16_000)
        assert (sound.rate_hz, len(samples)) == (16_000, 19_200)
        assert np.corrcoef(samples[2000:-2000], tone[2000:-2000])[0, 1] > 0.99
        assert np.array_equal(samples, audio.open_audio(source).samples(16_000))
    for silent in (video.open_video(plain), video.Clip.of(np.zeros((2, 8, 8, 3), np.uint8), fps=1.0)):
        with pytest.raises(MediumError) as caught:
            silent.sound()
        assert caught.value.reason == "no_audio"
    with pytest.raises(MediumError, match=r"lasts 1\.2 s, at most 1 s are read"):
        video.open_video(path).sound(max_seconds=1.0)
    handle = video.open_video(path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(MediumError, match="was changed since it was opened"):
        handle.sound()


def test_what_is_no_video(place, plain):
    picture = BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    moving = BytesIO()
    Image.new("RGB", (8, 8)).save(moving, "WEBP", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])
    listed = f"ffconcat version 1.0\nfile '{plain}'\n".encode()
    playlist = f"#EXTM3U\n#EXTINF:2,\nfile://{plain}\n".encode()
    for data in (picture.getvalue(), moving.getvalue(), bytes(5000), listed, playlist, b"no medium at all" * 200):
        assert refused(data).reason == "not_a_video"
    (place / "wrong.mp4").write_bytes(picture.getvalue())
    assert refused(place / "wrong.mp4").reason == "not_a_video"


def test_the_content_decides_and_not_the_suffix(place, plain):
    renamed = place / "really.mp4"
    renamed.write_bytes(plain.read_bytes())
    assert values(video.open_video(renamed), [1]) == [10]


def test_a_sound_is_no_video(place):
    path = place / "sound.m4a"
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    error = refused(path)
    assert (error.reason, "holds no video, found audio" in str(error)) == ("no_video", True)


def test_a_container_without_frames(place):
    with av.open(str(place / "none.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "bgr0"
        container.start_encoding()
    assert refused(place / "none.mkv").reason in ("no_frames", "no_video", "damaged")


def test_limits(place, plain):
    long = film(place / "long.mkv", numbered(2), times_s=[0, 36_000])
    error = refused(long)
    assert (error.reason, "lasts 10:00:00, at most 4:00:00 are read" in str(error)) == ("too_long", True)
    assert refused(plain, max_seconds=1.0).reason == "too_long"
    error = refused(plain, max_pixels=32 * 24 - 1)
    assert error.reason in ("too_large", "damaged")
    assert refused(plain, max_bytes=plain.stat().st_size - 1).reason == "too_large"


def test_what_cannot_be_opened(place):
    (place / "empty.mp4").touch()
    assert refused(place / "empty.mp4").reason == "empty"
    assert refused(place / "absent.mp4").reason == "missing"
    assert refused(place).reason == "not_a_file"
    assert refused("https://example.com/a.mp4").reason == "remote"
    error = refused(np.zeros((2, 8, 8, 3), np.uint8))
    assert error.reason == "unsupported" and "Clip.of(frames, fps=...)" in str(error)


def test_a_file_that_is_changed_between_two_looks(place):
    path = film(place / "changing.mkv", numbered(3))
    handle = video.open_video(path)
    film(path, numbered(9))
    with pytest.raises(MediumError, match="was changed since it was opened"):
        next(handle.frames([0.0]))


# Frames in memory


def test_frames_in_memory_are_found_by_their_times_too():
    clip = video.Clip(np.stack(numbered(3)), [0.0, 0.5, 2.0], 3.0)
    assert values(clip, [0, 0.4, 0.5, 1.9, 2, 9]) == [0, 0, 1, 1, 2, 2]
    assert (clip.num_frames, clip.extent, clip.key_times_s()) == (3, "3.0 s of 32 x 24 px", [0, 0.5, 2])
    images = [Image.new("L", (4, 2), number) for number in range(4)]
    assert values(video.Clip.of(images, fps=2.0), [0, 0.5, 1.4, 1.5]) == [0, 1, 2, 3]
    assert video.open_video(clip) is clip


# A part of a video


@pytest.mark.parametrize("stored", [True, False])
def test_a_part_is_a_video_of_its_own(plain, stored):
    whole = video.open_video(plain if stored else video.Clip.of(np.stack(numbered(20)), fps=10.0))
    part = whole.part(0.55, 0.95)
    assert (part.size, part.extent, part.num_frames) == ((32, 24), "0.4 s of 32 x 24 px", None)
    assert values(part, [0, 0.05, 0.2, 0.39, 9]) == [5, 6, 7, 9, 9]
    assert [round(time, 2) for time, _ in part.all_frames()] == [0.0, 0.05, 0.15, 0.25, 0.35]
    assert np.asarray(part)[:, 0, 0, 0].tolist() == [5, 6, 7, 8, 9]
    assert [round(time + 0.55, 2) for time in part.key_times_s()] == [
        time for time in whole.key_times_s() if 0.55 <= time < 0.95
    ]
    assert video.open_video(part).read() is part
    assert part.digest == whole.part(0.55, 0.95).digest != whole.part(0.55, 0.9).digest != whole.digest
    assert values(part.part(0.1, 0.2), [0, 0.1]) == [6, 7]


def test_a_part_ends_with_the_whole_and_holds_something(plain):
    whole = video.open_video(plain)
    assert whole.part(1.5, 99.0).duration_s == 0.5
    for start_s, end_s in ((2.0, 3.0), (1.0, 1.0), (1.0, 0.5), (-0.1, 1.0), (float("nan"), 1.0)):
        with pytest.raises(MediumError, match=r"plain.mkv: lasts 2.00 s, and shows nothing from") as caught:
            whole.part(start_s, end_s)
        assert caught.value.reason == "empty"
    with pytest.raises(MediumError, match="is shown in part, without its sound"):
        whole.part(0.0, 1.0).sound()


@pytest.mark.parametrize(
    "times_s", [[0.0, 1.0], [0.0, 2.0, 1.0], [1.0, 2.0, 3.0], [0.0, 1.0, 4.0], [0.0, float("nan"), 1.0]]
)
def test_times_that_do_not_fit(times_s):
    with pytest.raises(MediumError, match="needed"):
        video.Clip(np.stack(numbered(3)), times_s, 3.0)


def test_what_is_written_is_read_back(tmp_path):
    clip = video.Clip(np.stack(numbered(3)), [0.0, 0.04, 1.5], 1.75)
    video.write(clip, tmp_path / "a.mkv")
    back = video.open_video(tmp_path / "a.mkv")
    np.testing.assert_array_equal(np.asarray(back), np.asarray(clip))
    assert (back.duration_s, [time for time, _ in back.all_frames()]) == (1.75, [0, 0.04, 1.5])
    with pytest.raises(MediumError, match=r"found the suffix '\.docx', needed one of \.mkv"):
        video.write(clip, tmp_path / "a.docx")
    with pytest.raises(MediumError, match="cannot be written"):
        video.write(clip, tmp_path / "no folder" / "a.mkv")


def test_a_moving_webp_has_every_frame_with_its_time(tmp_path):
    colours = ((255, 0, 0), (0, 128, 0), (0, 0, 255))
    frames = np.stack([np.full((20, 32, 3), colour, np.uint8) for colour in colours])
    video.write(video.Clip(frames, [0.0, 0.25, 0.3], 1.3), tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as moving:
        assert (moving.n_frames, moving.size, moving.info["loop"]) == (3, (32, 20), 0)
        times = []
        for number, colour in enumerate(colours):
            moving.seek(number)
            moving.load()  # tells its duration
            times.append(moving.info["duration"])
            assert np.abs(np.asarray(moving.convert("RGB")).astype(int) - colour).max() < 12
    assert times == [250, 50, 1000]
    with pytest.raises(MediumError, match=r"found pictures of 16384 x 2 px, a WebP holds sides of 16,383 at most"):
        video.write(video.Clip.of(np.zeros((1, 2, 16384, 3), np.uint8), 4.0), tmp_path / "b.webp")
    assert not (tmp_path / "b.webp").exists()
