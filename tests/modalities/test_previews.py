"""What pages show of media: in forms that play by themselves, small, and honest about what was left out."""

import wave
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageSequence

from modalink import modalities
from modalink.errors import MediumError
from modalink.modalities import _previews
from modalink.modalities.audio import Sound
from modalink.modalities.points import Cloud
from modalink.modalities.sentence import Sentence
from modalink.modalities.video import Clip
from modalink.roles import Preview


def content(preview):
    head, _, code = preview.url.partition(";base64,")
    return head.removeprefix("data:"), b64decode(code, validate=True)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def frames(preview):
    """The pictures of a moving one, and how long each is shown, in ms."""
    kind, data = content(preview)
    assert kind == "image/webp"
    with Image.open(BytesIO(data)) as image:
        shown = [(np.asarray(one.convert("RGB")), one.info["duration"]) for one in ImageSequence.Iterator(image)]
    return [pixels for pixels, _ in shown], [ms for _, ms in shown]


def samples(preview):
    kind, data = content(preview)
    assert kind == "audio/wav"
    with wave.open(BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767, file.getframerate()


def test_every_modality_has_a_form():
    for record in modalities.records():
        if record.name != "webpage":
            preview = modalities.preview(record.name, record.example(0))
            assert (preview.url.startswith("data:") or preview.words) and len(preview.url) < 1.4 * _previews.MAX_BYTES


def test_a_small_picture_is_shown_as_it_is():
    picture = noise(24, 40, 3)
    preview = modalities.preview("image", Image.fromarray(picture))
    kind, data = content(preview)
    assert kind == "image/png" and preview.note == ""
    assert np.array_equal(np.asarray(Image.open(BytesIO(data))), picture)


def test_a_large_picture_is_scaled_down_and_says_so():
    preview = modalities.preview("image", noise(1200, 2400, 3))
    data = content(preview)[1]
    assert Image.open(BytesIO(data)).size == (512, 256) and len(data) <= _previews.MAX_BYTES
    assert preview.note == "scaled down from 2400 x 1200 px"
    square = modalities.preview("image", noise(512, 512, 3))
    assert content(square)[0] == "image/webp" and len(content(square)[1]) <= _previews.MAX_BYTES and not square.note


def test_a_clip_moves_with_its_own_times():
    pictures = [np.full((16, 24, 3), value, np.uint8) for value in (0, 90, 250)]
    preview = modalities.preview("video", Clip(np.stack(pictures), [0.0, 0.5, 0.6], 1.0))
    shown, spans_ms = frames(preview)
    assert spans_ms == [500, 100, 400] and preview.note == ""
    assert np.abs(np.stack(shown).astype(int) - np.stack(pictures)).max() <= 4


def test_of_a_long_film_the_beginning_is_shown_and_of_many_frames_some():
    count = 600
    flicker = np.random.default_rng(2).permutation(np.arange(count) % 256).astype(np.uint8)
    film = Clip.of(np.broadcast_to(flicker[:, None, None, None], (count, 8, 8, 3)), fps=30.0)
    preview = modalities.preview("video", film)
    shown, spans_ms = frames(preview)
    assert 30 <= len(shown) <= _previews.FRAMES + 1 and sum(spans_ms) == pytest.approx(12_000, abs=60)
    assert preview.note == "the first 12 of 20.0 s"


def test_a_film_is_scaled_until_it_is_small_enough():
    preview = modalities.preview("video", Clip.of(noise(48, 512, 512, 3), fps=24.0))
    shown, _ = frames(preview)
    assert shown[0].shape[0] < 256 and len(content(preview)[1]) <= _previews.MAX_BYTES
    assert preview.note == "scaled down from 512 x 512 px"


def test_a_sound_is_heard_at_its_own_pitch_and_its_length_is_bounded():
    for rate_hz, seconds, note in ((16_000, 1.0, ""), (48_000, 14.0, "the first 10 of 14.0 s")):
        times = np.arange(round(seconds * rate_hz)) / rate_hz
        preview = modalities.preview("audio", Sound((0.5 * np.sin(880 * np.pi * times)).astype(np.float32), rate_hz))
        values, shown_hz = samples(preview)
        assert preview.note == note and shown_hz == min(rate_hz, 24_000)
        assert len(values) == min(seconds, 10) * shown_hz and len(content(preview)[1]) <= _previews.MAX_BYTES
        loudest = np.abs(np.fft.rfft(values)).argmax() / (len(values) / shown_hz)
        assert loudest == pytest.approx(440, abs=1) and np.abs(values).max() == pytest.approx(0.5, abs=0.01)


def test_points_turn_and_keep_their_colours():
    rng = np.random.default_rng(1)
    cloud = Cloud(1000 + 3 * rng.uniform(-1, 1, (9000, 3)), np.tile([[1.0, 0, 0]], (9000, 1)))
    preview = modalities.preview("points", cloud)
    views, spans_ms = frames(preview)
    assert (len(views), set(spans_ms)) == (12, {160}) and preview.note == "4,096 of 9,000 points"
    assert all(view[..., 0].max() > 150 and view[..., 2].max() < 110 for view in views)
    assert np.abs(views[0].astype(int) - views[3]).max() > 20
    flat = Cloud(np.eye(3), None, np.array([[0, 1, 2]]))
    assert modalities.preview("points", flat).note == "4,096 points of its surface"


def test_what_holds_no_numbers_is_refused():
    with pytest.raises(MediumError, match="NaN"):
        modalities.preview("audio", Sound(np.full(99, np.nan, np.float32), 8000))
    with pytest.raises(MediumError, match="NaN"):
        modalities.preview("points", Cloud(np.full((9, 3), np.nan)))


def test_words_are_shown_as_words():
    assert modalities.preview("sentence", Sentence("a < b")) == Preview(words="a < b")
    assert modalities.preview("sentence", Sentence("a" * 700)).note == "the first 600 of 700 characters"


@pytest.mark.parametrize(
    ("preview", "html"),
    [
        (Preview("data:image/png;base64,AA"), '<img src="data:image/png;base64,AA" alt="&lt;b&gt;">'),
        (Preview("data:audio/wav;base64,AA"), '<audio controls src="data:audio/wav;base64,AA" title="&lt;b&gt;"></audio>'),
        (Preview(words="<i>"), "<q>&lt;i&gt;</q>"),
        (Preview("https://a.b/c.png", note="x & y"), "<small>x &amp; y</small>"),
        (Preview('data:image/png,"><script>'), '<img src="data:image/png,&quot;&gt;&lt;script&gt;" alt="&lt;b&gt;">'),
    ],
)  # fmt: skip
def test_an_element_of_a_page_loads_nothing_and_runs_nothing(preview, html):
    assert preview.html("<b>") == f'<span class="medium">{html}</span>'
