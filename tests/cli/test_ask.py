"""`modalink ask`: what it prints and writes."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from modalink.cli.main import app
from modalink.conversation import Conversation, Medium, Region, Text, Turn
from modalink.errors import GenerationError
from modalink.inference import Answer, Session


@pytest.fixture
def ask():
    """Run the command; its result."""
    return lambda *words: CliRunner().invoke(app, ["ask", *map(str, words)])


@pytest.fixture
def artist(monkeypatch):
    """Let any run answer with a text and two images; what it was asked."""
    heard = {}

    def answer(self, asked, **given):
        heard.update(given, question=asked.turns[-1].text, media=[medium for _, medium in asked.media()])
        images = [Medium("image", Image.new("RGB", (4, 4), colour)) for colour in ("red", "blue")]
        conversation = Conversation((Turn("assistant", (Text("Here:"), *images)),))
        return Answer("Here:", [("image", image.source) for image in images], conversation, given["seed"] == 0)

    monkeypatch.setattr(Session, "chat", answer)
    return heard


def test_the_answer_is_printed(ask, run, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    words = (run, "What is it?", "--image", tmp_path / "a.png", "--max-new-tokens", 8, "--out", tmp_path / "out")
    plain, data = ask(*words), ask(*words, "--json")
    assert (plain.exit_code, data.exit_code) == (0, 0)
    found = json.loads(data.stdout)
    assert found["text"] == plain.stdout.removesuffix("\n") != "" and found["media"] == []
    assert found["complete"] == ("note:" not in plain.stderr)
    assert ask(*words[:-4], "--image", tmp_path / "a.png", "--max-new-tokens", 8).stdout != plain.stdout


def test_an_answer_is_given_again_in_the_light_of_feedback(ask, run, monkeypatch):
    heard = []

    def answer(self, asked, **given):
        heard.append((asked, given["temperature"]))
        text = f"Answer {len(heard)}."
        return Answer(text, [], Conversation((*asked.turns, Turn("assistant", (Text(text),)))), True)

    monkeypatch.setattr(Session, "chat", answer)
    words = (run, "What is it?", "--feedback", "It is not red.", "--feedback", "Be short.", "--temperature", 0.5)
    result = ask(*words)
    assert (result.exit_code, result.stdout) == (0, "Answer 3.\n")
    assert "answer 1, before feedback: Answer 1.\nanswer 2, before feedback: Answer 2.\n" in result.stderr
    last = heard[-1][0].turns
    assert [turn.text for turn in last] == ["What is it?", "Answer 1.", "It is not red.", "Answer 2.", "Be short."]
    assert {temperature for _, temperature in heard} == {0.5}
    assert json.loads(ask(*words, "--json").stdout)["before"] == ["Answer 4.", "Answer 5."]
    empty = ask(run, "What is it?", "--feedback", " ")
    assert empty.exit_code == 2 and "--feedback: found an empty text, needed words" in empty.stderr


def test_media_are_written_beside_and_named(ask, run, artist, tmp_path):
    result = ask(run, "Draw it.", "--out", tmp_path / "out", "--guidance", 2, "--steps", 3, "--seed", 0)
    files = [tmp_path / "out" / f"answer-{i}-image.png" for i in (1, 2)]
    assert result.stdout == f"Here:\nimage: {files[0]}\nimage: {files[1]}\n"
    assert "note:" not in result.stderr
    assert [Image.open(file).getpixel((0, 0)) for file in files] == [(255, 0, 0), (0, 0, 255)]
    assert (artist["question"], artist["guidance"], artist["steps"]) == ("Draw it.", 2, 3)
    found = json.loads(ask(run, "Draw it.", "--out", tmp_path / "out", "--json", "--seed", 7).stdout)
    made = [{"modality": "image", "path": str(tmp_path / "out" / f"answer-{i}-image.png")} for i in (3, 4)]
    content = [{"type": "text", "text": "Here:"}, *({"type": "image", "path": each["path"]} for each in made)]
    assert found == {"text": "Here:", "complete": False, "content": content, "media": made}


def test_what_shall_be_made_is_told(ask, run, artist, tmp_path):
    words = ("--size", "64x32", "--frames", 8, "--seconds", 1.5, "--negative", "blue", "--seed", 0)
    assert ask(run, "Draw it.", "--out", tmp_path, *words).exit_code == 0
    assert {n: artist[n] for n in ("size", "frames", "seconds", "negative")} == {
        "size": "64x32", "frames": 8, "seconds": 1.5, "negative": "blue",
    }  # fmt: skip
    assert "steps" not in artist


def test_a_size_that_is_none_is_refused_in_words(ask, run):
    result = ask(run, "Draw it.", "--size", "64 by 32")
    assert result.exit_code == 2 and "size: found '64 by 32'" in result.stderr and "Traceback" not in result.stderr


def test_media_are_given_by_modality_or_by_its_short_option(ask, run, artist, tmp_path):
    ask(
        run, "What?", "--image", "b.png", "--media", "image=a=1.png", "--image", "c.png", "--seed", 0, "--out", tmp_path
    )
    assert artist["media"] == [Medium("image", Path(name)) for name in ("a=1.png", "b.png", "c.png")]
    for wrong, words in (("a.png", "found 'a.png', needed MODALITY=PATH"), ("imgae=a.png", "did you mean 'image'?")):
        result = ask(run, "What?", "--media", wrong, "--out", tmp_path)
        assert result.exit_code == 2 and words in result.stderr


def test_a_cut_answer_is_told(ask, run, artist, tmp_path):
    result = ask(run, "Draw it.", "--out", tmp_path, "--seed", 7)
    assert result.stderr.splitlines()[-1] == "note: the answer was cut at 256 tokens; see --max-new-tokens"


@pytest.fixture
def pointer(monkeypatch, tmp_path):
    """Let any run answer with a box; the picture, and what it was asked."""
    Image.new("RGB", (40, 20), "white").save(tmp_path / "a.png")
    heard = []

    def answer(self, asked, **given):
        heard.append(asked.turns[-1].content[1:])
        boxes = (Region(((10, 5, 30, 15),), "a cat"), Region(((2, 2),)), Region(((1, 1, 9, 1, 9, 9, 1, 9),)))
        talk = Conversation((*asked.turns, Turn("assistant", (Text("There."),))))
        return Answer("There.", [], talk, regions=boxes, unread=("'[1]': needed four",))

    monkeypatch.setattr(Session, "chat", answer)
    return heard


def test_boxes_of_an_answer_are_drawn_on_the_picture(ask, run, pointer, tmp_path):
    words = (run, "Where?", "--image", tmp_path / "a.png")
    result = ask(*words, "--out", tmp_path / "out")
    drawn = tmp_path / "out" / "annotated-1.png"
    assert result.stdout == f"There.\nregions: {drawn}\n"
    assert "note: not read as a place in the picture: '[1]': needed four" in result.stderr
    picture = Image.open(drawn)
    assert picture.size == (240, 120)  # enlarged six times
    assert picture.getpixel((60, 60)) == (0xE6, 0x19, 0x4B) and picture.getpixel((120, 60)) == (255, 255, 255)
    assert picture.getpixel((12, 12)) == (0x00, 0x82, 0xC8) and picture.getpixel((6, 30)) == (0x3C, 0xB4, 0x4B)
    found = json.loads(ask(*words, "--json", "--out", tmp_path / "out").stdout)
    assert found["regions"][0] == {"areas": [[10, 5, 30, 15]], "phrase": "a cat"}
    assert found["unread"] == ["'[1]': needed four"]
    assert found["annotated"] == str(tmp_path / "out" / "annotated-2.png")


def test_nothing_is_drawn_where_no_folder_is_given(ask, run, pointer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ask(run, "Where?", "--image", "a.png").stdout == "There.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_regions_stand_where_the_question_marks_them(ask, run, pointer, tmp_path):
    words = ("--image", tmp_path / "a.png", "--region", "1,2,3,4", "--region", " 5.5, 6 ")
    ask(run, "Is <bbox> left of <bbox>?", *words)
    assert pointer == [(Text("Is "), Region(((1, 2, 3, 4),)), Text(" left of "), Region(((5.5, 6),)), Text("?"))]
    result = ask(run, "Is <bbox> left?", *words)
    assert result.exit_code == 2 and "found 2 regions and 1 <bbox> in the question" in result.stderr
    for wrong in ("1,2,3", "a,b", "1,-2", "nan,1", ""):
        result = ask(run, "<bbox>?", "--image", tmp_path / "a.png", "--region", wrong)
        assert result.exit_code == 2 and f"--region: found {wrong!r}, needed L,T,R,B" in result.stderr


def test_a_region_needs_a_codec_in_the_recipe(ask, run, tmp_path):
    Image.new("RGB", (40, 20)).save(tmp_path / "a.png")
    result = ask(run, "What is in <bbox>?", "--image", tmp_path / "a.png", "--region", "1,2,3,4")
    assert result.exit_code == 1 and "no coordinate codec" in result.stderr and "Traceback" not in result.stderr


def test_failures_are_words(ask, run, tmp_path, monkeypatch):
    result = ask(run, "What?", "--image", tmp_path / "missing.png")
    assert result.exit_code == 1 and "missing.png" in result.stderr and "Traceback" not in result.stderr
    result = ask(tmp_path / "none", "What?")
    assert result.exit_code == 1 and result.stderr.startswith("modalink: found no run in a folder")
    assert ask(run, "What?", "--temperature", -1).exit_code == 2
    assert ask(run).exit_code == 2

    def fail(self, asked, **given):
        raise GenerationError("too long")

    monkeypatch.setattr(Session, "chat", fail)
    result = ask(run, "What?")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "modalink: too long")


@pytest.mark.parametrize("command", ["ask Why?", "chat", "evaluate", "zoo build"])
def test_a_file_in_the_place_of_a_folder_is_told_before_any_work(tmp_path, command):
    (tmp_path / "notes.txt").touch()
    result = CliRunner().invoke(app, [*command.split(), "nowhere", "--out", str(tmp_path / "notes.txt")])
    assert (result.exit_code, "notes.txt' is a file" in result.stderr) == (2, True), result.stderr
