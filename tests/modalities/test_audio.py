"""Reading sounds: every source, format and number of channels become the same mono samples; bad media say what is wrong."""

import base64
import io
import pickle
import struct
from itertools import pairwise

import av
import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from modalink.errors import MediumError
from modalink.modalities import _sound_files, _tracks, audio
from modalink.testing import check_modality

RATE = 16_000
WAVE = np.random.default_rng(0).uniform(-0.5, 0.5, 4001).astype(np.float32)


def plain(values=WAVE, rate=RATE, format="WAV", subtype=None, endian=None) -> bytes:
    """A file as libsndfile writes it."""
    buffer = io.BytesIO()
    soundfile.write(buffer, values, rate, format=format, subtype=subtype, endian=endian)
    return buffer.getvalue()


def contained(format, codec, seconds=1.0, rate=44_100, layout="stereo", video=None, sound=True, **options) -> bytes:
    """A container with a tone of 440 Hz, a picture, or both."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format, options=options) as container:
        if video:
            pictures = container.add_stream(video, rate=10)
            pictures.width = pictures.height = 32
            pictures.pix_fmt = "yuv420p"
        if sound:
            track = container.add_stream(codec, rate=rate, layout=layout)
        if video:
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            packets = [*pictures.encode(frame), *pictures.encode(None)]
            container.mux(packets)
        if sound:
            tone = tone_of(seconds, rate)
            frame = av.AudioFrame.from_ndarray(np.stack([tone] * len(av.AudioLayout(layout).channels)), "fltp", layout)
            frame.sample_rate, frame.pts = rate, 0
            convert = av.AudioResampler(track.codec_context.format, layout, rate)
            for part in (*convert.resample(frame), *convert.resample(None)):
                container.mux(track.encode(part))
            container.mux(track.encode(None))
    return buffer.getvalue()


def tone_of(seconds, rate):
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


CONTAINERS = {
    "m4a": ("mp4", "aac"),
    "mp4": ("mp4", "aac", 1.0, 44_100, "stereo", "mpeg4"),
    "webm": ("webm", "libopus", 1.0, 48_000, "mono", "libvpx"),
    "aac": ("adts", "aac"),
    "mp3": ("mp3", "libmp3lame"),
    "ts": ("mpegts", "aac", 1.0, 44_100, "stereo", "mpeg2video"),
    "avi": ("avi", "libmp3lame", 1.0, 44_100, "stereo", "mpeg4"),
    "mka": ("matroska", "aac"),
}


def refused(source, **options) -> MediumError:
    with pytest.raises(MediumError) as caught:
        audio.read(source, **options)
    return caught.value


# What is read


def test_it_keeps_the_promises_of_all():
    check_modality(audio.RECORD)


def test_every_kind_of_source_gives_the_same_samples(tmp_path):
    data = plain(subtype="FLOAT")
    path = tmp_path / "a b.wav"
    path.write_bytes(data)
    url = "data:audio/wav;base64," + base64.b64encode(data).decode()
    given = (audio.Sound(WAVE, RATE), {"array": WAVE.astype(np.float64), "sampling_rate": RATE, "path": None})
    for source in (path, str(path), data, bytearray(data), memoryview(data), url, *given):
        handle = audio.open_audio(source)
        assert (handle.rate_hz, handle.channels, handle.frames) == (RATE, 1, 4001)
        assert handle.extent == "0.25 s"
        np.testing.assert_array_equal(handle.read().values, WAVE)
    assert len({audio.open_audio(source).digest for source in given}) == 1
    assert audio.open_audio(audio.Sound(WAVE, 8000)).digest != audio.open_audio(given[0]).digest


@pytest.mark.parametrize(
    ("format", "subtype", "within"),
    [
        ("WAV", "PCM_U8", 0.01), ("WAV", "PCM_16", 1e-4), ("WAV", "PCM_24", 1e-6), ("WAV", "PCM_32", 1e-7), ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0), ("WAV", "ULAW", 0.03), ("WAVEX", "PCM_16", 1e-4), ("RF64", "PCM_16", 1e-4), ("W64", "PCM_16", 1e-4),
        ("AIFF", "PCM_16", 1e-4), ("AU", "PCM_16", 1e-4), ("FLAC", "PCM_16", 1e-4), ("OGG", "VORBIS", 0.8), ("OGG", "OPUS", 0.8), ("MP3", None, 0.8),
    ],
)  # fmt: skip
def test_plain_files(format, subtype, within):
    read = audio.read(plain(format=format, subtype=subtype))
    assert (read.rate_hz, read.values.dtype, read.values.shape) == (RATE, np.float32, (4001,))
    assert np.abs(read.values - WAVE).max() <= within


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name):
    """The tone is there at its own time, whatever frames its codec works in."""
    settings = CONTAINERS[name]
    data = contained(*settings)
    handle = audio.open_audio(data)
    rate = settings[3] if len(settings) > 3 else 44_100
    assert handle.rate_hz == rate
    assert handle.duration_s == pytest.approx(1.0, abs=0.1)
    values = handle.read().values
    assert len(values) == handle.frames
    late = 2 * rate // 5
    spectrum = np.abs(np.fft.rfft(values[late : late + rate // 2]))
    assert spectrum.argmax() == 220
    assert np.sqrt(np.mean(values[late : late + rate // 2] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_a_sound_in_a_file_of_another_suffix_is_read(tmp_path):
    (tmp_path / "a.mp3").write_bytes(plain())
    (tmp_path / "b.wav").write_bytes(contained("mp3", "libmp3lame"))
    assert audio.read(tmp_path / "a.mp3").rate_hz == RATE
    assert audio.read(tmp_path / "b.wav").rate_hz == 44_100


def test_whole_numbers_are_scaled():
    for dtype in (np.int16, np.int32):
        deep = np.array([0, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
        np.testing.assert_allclose(audio.read(audio.Sound(deep, RATE)).values, [0, 1, -1], atol=1e-4)


@pytest.mark.parametrize("channels", [2, 6, 8])
def test_channels_are_averaged(channels):
    values = np.random.default_rng(channels).uniform(-0.5, 0.5, (3000, channels)).astype(np.float32)
    handle = audio.open_audio(plain(values, subtype="FLOAT"))
    assert handle.channels == channels
    np.testing.assert_allclose(handle.read().values, values.mean(1), atol=1e-7)


@pytest.mark.parametrize("own", [8000, 16_000, 22_050, 44_100, 48_000, 11_025])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_resampling_is_scipys_and_a_part_is_that_of_the_whole(own, rate):
    handle = audio.open_audio(audio.Sound(WAVE, own))
    whole = handle.samples(rate)
    expected = resample_poly(WAVE, rate, own)
    assert len(whole) == handle.length(rate) == len(expected)
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    for start, stop in ((0, 1), (0, 700), (123, 1400), (len(whole) - 50, len(whole) + 99)):
        np.testing.assert_array_equal(handle.samples(rate, start, stop - start), whole[start:stop])


@pytest.mark.parametrize("name", ["flac", "ogg", "m4a", "mp3", "webm"])
def test_parts_of_compressed_sounds_are_those_of_the_whole(name):
    data = plain(tone_of(1, RATE), format=name) if name in ("flac", "ogg") else contained(*CONTAINERS[name])
    handle = audio.open_audio(data)
    whole = handle.samples(22_050)
    for start, stop in pairwise((0, 5000, 5001, 20_000, len(whole))):
        np.testing.assert_array_equal(handle.samples(22_050, start, stop - start), whole[start:stop])


def test_what_is_written_is_read_back(tmp_path):
    for name in ("a.wav", "a.flac"):
        audio.write(audio.Sound(WAVE, 22_050), tmp_path / name)
        back = audio.read(tmp_path / name)
        assert back.rate_hz == 22_050
        np.testing.assert_allclose(back.values, WAVE, atol=0 if name == "a.wav" else 1e-6)
    for name, says in (("a.mp3", r"found the suffix '\.mp3', needed one of \.wav"), ("no/a.wav", "cannot be written")):
        with pytest.raises(MediumError, match=says):
            audio.write(audio.Sound(WAVE, RATE), tmp_path / name)


def test_handles_travel_between_processes(tmp_path):
    (tmp_path / "a.wav").write_bytes(plain(subtype="FLOAT"))
    for source in (tmp_path / "a.wav", audio.Sound(WAVE, RATE)):
        handle = pickle.loads(pickle.dumps(audio.open_audio(source)))
        np.testing.assert_array_equal(handle.read().values, WAVE)


# What is known before it is decoded, and how little is


@pytest.mark.parametrize(
    "data", [plain(), plain(format="FLAC"), plain(format="OGG"), contained("mp4", "aac"), contained("adts", "aac")]
)
def test_nothing_is_decoded_until_it_is_asked(data, monkeypatch):
    for room in (_sound_files, _tracks):
        monkeypatch.setattr(room, "blocks", lambda *args: pytest.fail("decoded"))
    assert audio.open_audio(data).length(RATE) > 0


def ten_hours(path):
    """A WAV of ten hours, which takes no place on the disk."""
    size = 36_000 * 8000
    head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", size)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return path


def test_ten_hours_are_refused_or_read_in_part(tmp_path, monkeypatch):
    path = ten_hours(tmp_path / "a.wav")
    error = refused(path)
    assert (error.reason, "lasts 36,000.0 s, at most 3,600 s are read; cut it" in str(error)) == ("too_long", True)
    handle = audio.open_audio(path, max_seconds=1e9)
    assert handle.frames > audio.MAX_SAMPLES
    with pytest.raises(MediumError, match="too many to be decoded together"):
        handle.read()
    decoded = []
    mono = audio._waves.mono
    monkeypatch.setattr(audio._waves, "mono", lambda block, label: decoded.append(len(block)) or mono(block, label))
    assert len(handle.samples(RATE, 30_000 * RATE, RATE)) == RATE
    assert sum(decoded) < 8200


def test_a_long_container_is_not_looked_through_to_its_end(monkeypatch):
    data = contained("adts", "aac", 30.0, 8000, "mono")
    seen = []
    packed = _tracks._packed_s
    monkeypatch.setattr(_tracks, "_packed_s", lambda *args: seen.append(packed(*args)) or seen[-1])
    assert refused(data, max_seconds=2.0).reason == "too_long"
    assert 2.0 < seen[0] < 2.5


# What is refused


def test_files_without_sound(tmp_path):
    (tmp_path / "text.wav").write_text("this is no sound, whatever its name says" * 9)
    (tmp_path / "none.wav").touch()
    assert refused(tmp_path / "text.wav").reason == "not_an_audio"
    assert refused(tmp_path / "none.wav").reason == "empty"
    assert refused(tmp_path).reason == "not_a_file"
    assert refused(tmp_path / "gone.wav").reason == "missing"
    silent = refused(contained("mp4", "aac", video="mpeg4", sound=False))
    assert (silent.reason, "holds no audio, found video" in str(silent)) == ("no_audio", True)
    assert refused(plain(WAVE[:0])).reason == "empty"
    assert refused(plain(WAVE[:0], format="FLAC")).reason in ("empty", "not_an_audio", "damaged")


def with_samples(*values):
    wave = WAVE.astype(np.float64)
    wave[2000 : 2000 + len(values)] = values
    return wave


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (plain(with_samples(np.nan), subtype="FLOAT"), "not_finite"),
        (plain(with_samples(np.inf), subtype="FLOAT"), "not_finite"),
        (plain(with_samples(-np.inf), subtype="DOUBLE"), "not_finite"),
        (plain(with_samples(1e39), subtype="DOUBLE"), "not_finite"),
        (plain(np.stack([with_samples(np.inf), with_samples(-np.inf)], 1), subtype="FLOAT"), "not_finite"),
        (plain(WAVE * 32768, subtype="FLOAT"), "out_of_range"),
        (audio.Sound(with_samples(np.nan), RATE), "not_finite"),
        (audio.Sound(with_samples(1e300), RATE), "not_finite"),
        (plain(rate=3), "bad_rate"),
        (audio.Sound(WAVE, 3), "bad_rate"),
        (audio.Sound(WAVE, 10**9), "bad_rate"),
        (audio.Sound(WAVE, -16_000), "bad_rate"),
        (audio.Sound(WAVE[:0], RATE), "empty"),
        ({"array": WAVE[None], "sampling_rate": RATE}, "not_an_audio"),
        (audio.Sound(WAVE.astype(np.int64), RATE), "not_an_audio"),
        (audio.Sound(np.array(["a"]), RATE), "not_an_audio"),
        ({"array": WAVE, "sampling_rate": "fast"}, "bad_rate"),
        ({"array": WAVE, "sampling_rate": float("nan")}, "bad_rate"),
        ({"array": [[1], [2, 3]], "sampling_rate": RATE}, "not_an_audio"),
        ({"array": WAVE}, "unsupported"),
        (WAVE, "unsupported"),
        (7, "unsupported"),
        (None, "unsupported"),
        (b"", "empty"),
        ("https://example.com/a.wav", "remote"),
        ("data:audio/wav;base64,@@@@", "bad_data_url"),
        (b"RIFF\x00\x00\x00\x00WAVE", "damaged"),
        (b"\x1aE\xdf\xa3" + b"\xff" * 99, "damaged"),
        (b"OggS" + b"\x00" * 99, "truncated"),
    ],
)
def test_bad_sources(source, reason):
    error = refused(source)
    assert error.reason == reason
    assert len(str(error)) < 600


def test_large_values_that_are_sound_are_read():
    """Floats may go beyond full scale for a moment, as they do before a recording is mastered."""
    assert audio.read(plain(with_samples(3.0, -2.0), subtype="FLOAT")).values.max() == 3.0


@pytest.mark.parametrize("content", [
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {secret}\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
])  # fmt: skip
def test_a_playlist_opens_no_other_file(content, tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(plain())
    for name in ("a.m3u8", "a.wav"):
        (tmp_path / name).write_text(content.format(secret=secret))
        assert refused(tmp_path / name).reason == "not_an_audio"


@pytest.mark.parametrize(
    "format",
    ["WAV", "RF64", "W64", "AIFF", "AU", "FLAC", "OGG", "OPUS", "m4a", "mp4", "webm", "aac", "mp3", "avi", "mka"],
)
def test_truncated_at_every_length(format):
    """No cut loses sound unsaid; a cut may only take what holds none, or less than a frame of MP3."""
    if format in CONTAINERS:
        data = contained(*CONTAINERS[format])
    elif format == "OPUS":
        data = plain(tone_of(1, RATE), format="OGG", subtype="OPUS")
    else:
        data = plain(tone_of(1, RATE), format=format)
    whole = audio.read(data).values
    for length in range(1, len(data), max(1, len(data) // 12)):
        try:
            read = audio.read(data[:length]).values
        except MediumError as error:
            assert error.reason in {"truncated", "damaged", "not_an_audio", "empty", "no_audio"}
        else:
            lost = 44_100 // 10 if format == "mp3" else 0
            assert len(whole) - lost <= len(read) <= len(whole)
            same = len(read) - lost
            np.testing.assert_array_equal(read[:same], whole[:same])


def test_what_was_written_to_a_pipe_is_not_taken_for_truncated():
    data = bytearray(plain())
    for place in (4, data.index(b"data") + 4):
        data[place : place + 4] = b"\xff" * 4
    np.testing.assert_allclose(audio.read(bytes(data)).values, WAVE, atol=1e-4)
    live = contained("webm", "libopus", 1.0, 48_000, "mono", live="1")
    assert audio.open_audio(live).duration_s == pytest.approx(1.0, abs=0.05)


def test_random_damage_never_escapes_as_another_error():
    rng = np.random.default_rng(1)
    allowed = {
        "truncated",
        "damaged",
        "not_an_audio",
        "no_audio",
        "empty",
        "bad_rate",
        "too_long",
        "not_finite",
        "out_of_range",
    }
    sound = {f: plain(format=f) for f in ("WAV", "FLAC", "OGG", "AIFF", "AU")}
    for data in (*sound.values(), *(contained(*CONTAINERS[name]) for name in ("m4a", "webm", "mp3", "aac", "avi"))):
        content = np.frombuffer(data, np.uint8)
        for _ in range(6):
            broken = content.copy()
            places = rng.integers(0, rng.choice([64, len(content)]), 8)
            broken[places] = rng.integers(0, 256, 8)
            try:
                assert audio.read(broken.tobytes()).values.ndim == 1
            except MediumError as error:
                assert error.reason in allowed, error


def test_a_file_that_changes_after_it_was_opened_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(plain())
    handle = audio.open_audio(path, "sample 3")
    path.write_bytes(plain(WAVE[:99]))
    with pytest.raises(MediumError, match=r"sample 3 .*a\.wav.*was changed since it was opened"):
        handle.samples(8000)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_channels_are_read_as_their_mean_and_written_as_they_are(tmp_path, suffix):
    both = np.stack([WAVE, -0.5 * WAVE[::-1]], axis=1).astype(np.float32)
    sound = audio.Sound(both, RATE)
    opened = audio.open_audio(sound)
    assert (opened.channels, opened.frames) == (2, len(WAVE))
    assert np.array_equal(opened.read().values, both.mean(axis=1))
    assert opened.digest != audio.open_audio(audio.Sound(both.ravel(), RATE)).digest
    audio.write(sound, tmp_path / f"both.{suffix}")
    stored, rate = soundfile.read(tmp_path / f"both.{suffix}", dtype="float32")
    assert rate == RATE and np.abs(stored - both).max() <= (0 if suffix == "wav" else 2**-23)
    audio.write(audio.Sound(WAVE.astype(np.float32), RATE), tmp_path / f"one.{suffix}")
    assert soundfile.info(tmp_path / f"one.{suffix}").channels == 1
