"""`modalink ask`: what it prints and writes."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from modalink.cli.main import app
from modalink.conversation import Conversation, Medium, Text, Turn
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


def test_media_are_written_beside_and_named(ask, run, artist, tmp_path):
    result = ask(run, "Draw it.", "--out", tmp_path / "out", "--guidance", 2, "--steps", 3, "--seed", 0)
    files = [tmp_path / "out" / f"answer-{i}.png" for i in (1, 2)]
    assert result.stdout == f"Here:\nimage: {files[0]}\nimage: {files[1]}\n"
    assert "note:" not in result.stderr
    assert [Image.open(file).getpixel((0, 0)) for file in files] == [(255, 0, 0), (0, 0, 255)]
    assert (artist["question"], artist["guidance"], artist["steps"]) == ("Draw it.", 2, 3)
    found = json.loads(ask(run, "Draw it.", "--out", tmp_path / "out", "--json", "--seed", 7).stdout)
    made = [{"modality": "image", "path": str(tmp_path / "out" / f"answer-{i}.png")} for i in (3, 4)]
    assert found == {"text": "Here:", "complete": False, "media": made}


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


@pytest.mark.parametrize("command", ["ask", "chat", "evaluate", "zoo build"])
def test_a_file_in_the_place_of_a_folder_is_told_before_any_work(tmp_path, command):
    (tmp_path / "notes.txt").touch()
    result = CliRunner().invoke(app, [*command.split(), "nowhere", "--out", str(tmp_path / "notes.txt")])
    assert (result.exit_code, "notes.txt' is a file" in result.stderr) == (2, True), result.stderr
