"""Where media are written: order and modality in the names, nothing overwritten, other formats in words."""

import numpy as np
import pytest
from PIL import Image

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import OptionError
from modalink.inference import Answer, Destination
from modalink.modalities import get
from modalink.modalities.audio import Sound

PICTURE = Image.new("RGB", (6, 4), "red")
SOUND = Sound(np.sin(np.arange(800) / 9).astype(np.float32), 8000)
MIXED = [("image", PICTURE), ("audio", SOUND), ("image", PICTURE)]


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_names_in_a_folder_tell_order_and_modality_of_all_answers(tmp_path):
    out = Destination.of(tmp_path / "made")
    first = out.write(MIXED)
    assert [path.name for path in first] == ["answer-1-image.png", "answer-2-audio.wav", "answer-3-image.png"]
    assert [path.name for path in out.write(MIXED[1:2])] == ["answer-4-audio.wav"]
    first[0].unlink()
    assert [path.name for path in Destination.of(str(tmp_path / "made")).paths(["image"])] == ["answer-5-image.png"]
    assert get("audio").read(first[1]).values.tobytes() == SOUND.values.tobytes()


def test_a_file_is_called_as_is_said_and_what_follows_gets_numbers(tmp_path):
    out = Destination.of(tmp_path / "new" / "cat.webp")
    assert [path.name for path in out.write(MIXED)] == ["cat.webp", "cat.wav", "cat-2.webp"]
    assert out.notes(MIXED) == ["audio is not written as .webp; it has the suffix .wav"]
    with Image.open(tmp_path / "new" / "cat.webp") as picture:
        assert picture.format == "WEBP"
    assert [path.name for path in out.write(MIXED[:1])] == ["cat-3.webp"], "as a chat goes on"
    with pytest.raises(OptionError, match=r"cat.webp' is a file that is there already; name another, or remove it"):
        Destination.of(tmp_path / "new" / "cat.webp")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{number}", ["1.png", "2.wav", "3.png"]),
        ("{number}/{modality}.jpg", ["1/image.jpg", "2/audio.wav", "3/image.jpg"]),
        ("{modality}", ["audio.wav", "image-2.png", "image.png"]),
        ("a.b-{number}", ["a.b-1.png", "a.b-2.wav", "a.b-3.png"]),
        ("{{x}}{number}.flac", ["{x}1.png", "{x}2.flac", "{x}3.png"]),
    ],
)
def test_a_pattern_has_the_number_and_the_modality(pattern, expected, tmp_path):
    Destination.of(f"{tmp_path}/{pattern}").write(MIXED)
    assert names(tmp_path) == expected


def test_a_folder_whose_name_has_braces_or_a_dot_is_a_folder(tmp_path):
    for name in ("{x}", "run.v2", "films.mp4", "[a]*"):
        (tmp_path / name).mkdir()
        out = Destination.of(tmp_path / name)
        out.write(MIXED[:1])
        assert names(tmp_path / name) == ["answer-1-image.png"] and out.folder == tmp_path / name
        out.write(MIXED[:1])
        assert names(tmp_path / name) == ["answer-1-image.png", "answer-2-image.png"]
    assert Destination.of(tmp_path / "new.v3").paths(["image"]) == [tmp_path / "new.v3" / "answer-1-image.png"]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("{nr}.png", r"found the field 'nr'; those that there are: \{number\}, \{modality\}"),
        ("{number:03}", "found the field 'number'; those"),
        ("{}", "found the field ''"),
        ("{number", "found braces that do not fit"),
        ("film.avi", r"\.avi is read and not written; what is written: audio \(\.wav, \.flac\)"),
        ("", "found an empty text, needed a path"),
        ("a\0b", "no file can be called so"),
        ("notes.txt", "notes.txt' is a file, needed a folder, or the name of a new file"),
        ("notes.txt/x.png", "folder cannot be made|no file can be called so"),
    ],
)
def test_what_cannot_be_a_name_is_refused_before_any_work(out, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OptionError, match=words):
        Destination.of(out).write(MIXED)
    assert names(tmp_path) == ["notes.txt"]


def test_a_suffix_of_none_of_a_systems_media_is_refused_before_they_are_made(tmp_path):
    out = Destination.of(tmp_path / "a.flac")
    out.check(["audio", "image"])
    out.check([])  # a system that makes nothing may still draw regions
    with pytest.raises(
        OptionError, match=r"found the suffix .flac; what this system makes is written as points \(\.glb"
    ):
        out.check(["points"])


def test_an_answer_writes_its_media_so(tmp_path):
    turn = Turn("assistant", (Medium("image", PICTURE), Text("and"), Medium("audio", SOUND)))
    answer = Answer("and", [("image", PICTURE), ("audio", SOUND)], Conversation((turn,)))
    assert answer.content == turn.content
    assert [path.name for path in answer.save_media(tmp_path, "x")] == ["x-1-image.png", "x-2-audio.wav"]
    assert [path.name for path in answer.save_media(tmp_path / "{modality}.flac")] == ["image.png", "audio.flac"]


@pytest.mark.parametrize("name", ["image", "video", "audio", "points"])
def test_every_format_that_a_modality_names_is_written(name, tmp_path):
    record = get(name)
    for suffix in record.writes:
        record.write(record.example(0), tmp_path / f"a{suffix}")
        assert (tmp_path / f"a{suffix}").stat().st_size > 100
