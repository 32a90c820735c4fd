"""`modalink chat`: a conversation, line by line."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from modalink.cli import chat as room
from modalink.cli.main import app
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PromptError
from modalink.inference import Answer, Begun, Made, Making, Session, Stream
from modalink.roles import Conditions

NOTHING = Conditions({"tokens": torch.zeros(1, 1, 1)})


class FakeSession(Session):
    """Answers with the number of turns and media that it was given; stands in for a loaded run."""

    def __init__(self):
        self.system = SimpleNamespace(spec=SimpleNamespace(inputs=("image",), outputs=("image", "audio")))

    def stream(self, conversation, *, watch, **options):
        return FakeStream(conversation, watch)


class FakeStream(Stream):
    def __init__(self, conversation, watch):
        self.watch = watch
        words = conversation.turns[-1].text
        media = len(list(conversation.media()))
        self.words, self.said = words, [f"{len(conversation.turns)} turns, ", f"{media} media"]
        made = (Medium("image", Image.new("RGB", (4, 4), "red")),) if words == "Draw it." else ()
        turns = (*conversation.turns, Turn("assistant", (Text("".join(self.said)), *made)))
        self._answer = Answer(
            "".join(self.said),
            [("image", m.source) for m in made],
            Conversation(turns),
            made=tuple(Made("image", m.source, 1, NOTHING, 0, {}) for m in made),
            notes=("image 2: stopped",) * len(made),
        )

    def pieces(self):
        yield self.said[0]
        if self.words == "Draw it.":
            yield Begun("image", 1)
        if self.words == "stop":
            raise KeyboardInterrupt
        if self.words == "fail":
            raise PromptError("cannot be asked")
        yield self.said[1]
        if self.words == "Draw it.":
            self.watch.on_step(Making("image", 1, 0, 2))


@pytest.fixture
def talk(monkeypatch, tmp_path):
    """Type lines into the command; its result."""
    monkeypatch.setattr(room, "load", lambda run, **settings: FakeSession())
    Image.new("RGB", (4, 4)).save(tmp_path / "a b.png")
    monkeypatch.chdir(tmp_path)

    def type_in(*lines, options=()):
        return CliRunner().invoke(app, ["chat", "runs/demo", *options], input="".join(f"{line}\n" for line in lines))

    return type_in


def said(result):
    """What was printed after the opening line, without the prompts."""
    return [line for line in result.stdout.replace("> ", "").splitlines()[1:] if line]


def test_a_conversation_is_remembered_until_it_is_reset(talk):
    result = talk("Hi", "And?", "", "/reset", "Hi", "/quit", "never")
    assert said(result) == ["1 turns, 0 media", "3 turns, 0 media", "1 turns, 0 media"]
    assert result.exit_code == 0 and result.stderr == ""


def test_media_go_with_the_next_line_and_stay_in_the_conversation(talk):
    result = talk("/image a b.png", "/image 'a b.png'", "What?", "And?", "/image a b.png", "/reset", "Hi")
    goes = "(a b.png goes with your next line)"
    assert said(result) == [goes, goes, "1 turns, 2 media", "3 turns, 2 media", goes, "1 turns, 0 media"]
    assert said(talk("What?", options=("--image", "a b.png")))[-1] == "1 turns, 1 media"


def test_media_that_are_made_are_written_and_named(talk, tmp_path):
    result = talk("Draw it.", "And?", options=("--out", "drawn"))
    assert result.exit_code == 0, result.stderr
    assert said(result) == [
        "1 turns,  [image 1] 0 media",
        "(image 1: drawn/answer-1-image.png)",
        "3 turns, 1 media",
    ]
    assert result.stderr == "note: image 2: stopped\n"
    assert Image.open(tmp_path / "drawn" / "answer-1-image.png").getpixel((0, 0)) == (255, 0, 0)


def test_a_failed_or_stopped_answer_leaves_the_conversation_as_it_was(talk):
    result = talk("Hi", "fail", "/image missing.png", "stop", "And?")
    assert said(result) == ["1 turns, 0 media", "3 turns, ", "3 turns, ", "(stopped)", "3 turns, 0 media"]
    assert result.stderr.splitlines()[0] == "modalink: cannot be asked"
    assert "missing.png" in result.stderr.splitlines()[1]
    assert result.exit_code == 0


def test_a_conversation_is_kept_and_resumed(talk):
    assert said(talk("/save kept"))[-1] == "(nothing was said yet)"
    result = talk("/image a b.png", "Draw it.", "/save kept")
    assert said(result)[-1] == "(kept in kept)", result.stderr
    assert said(talk("And?", options=("--resume", "kept"))) == ["3 turns, 2 media"]
    result = talk("Hi", options=("--resume", "none"))
    assert result.exit_code == 1 and "none/conversation.json: there is no such file" in result.stderr


def test_the_end_of_the_input_and_ctrl_c_end_it(talk, monkeypatch):
    assert talk("Hi").exit_code == 0

    def interrupt(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    result = talk()
    assert result.exit_code == 0 and result.stderr == ""


def test_unknown_commands_are_answered_with_the_known_ones(talk):
    opening, *rest = talk("/imgae a.png", "/quit").stdout.splitlines()
    assert opening == room.HELP.format(shows="/image PATH shows one image, ")
    assert rest[0] == f"> {opening}"
