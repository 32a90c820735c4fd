"""`modalink chat`: a conversation, line by line."""

import re
import signal
from functools import partial
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

STOPPED = "(stopped; the conversation stands as before this line)"
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
        if self.words == "nobody reads":
            raise BrokenPipeError
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
        typed = "".join(f"{line}\n" for line in (*lines, "/quit"))
        return CliRunner().invoke(app, ["chat", "runs/demo", *options], input=typed)

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
    assert said(result) == ["1 turns, 0 media", "3 turns, ", "3 turns, ", STOPPED, "3 turns, 0 media"]
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


@pytest.fixture
def keys(talk, monkeypatch):
    """Let the command's terminal give lines, or do what befalls one that waits for a line; its result."""
    # A shell lets what it starts in the background ignore Ctrl-C, and what that starts does, too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press(*given):
        befalls = iter(given)

        def wait(prompt):
            what = next(befalls)
            return what if isinstance(what, str) else what()

        with monkeypatch.context() as patch:
            patch.setattr("builtins.input", wait)
            result = talk()
        assert [*befalls] == [], "it ended before"
        return result

    yield press
    signal.signal(signal.SIGINT, before)


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def ctrl_d():
    raise EOFError


ENDS = {
    "ctrl-c twice": ([ctrl_c, ctrl_c], 0),
    "ctrl-d, or the pipe of the lines closed": ([ctrl_d], 0),
    "terminal closed": ([partial(signal.raise_signal, signal.SIGHUP)], 128 + signal.SIGHUP),
    "told to end": ([partial(signal.raise_signal, signal.SIGTERM)], 128 + signal.SIGTERM),
    "output closed": (["nobody reads"], 1),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_was_said_is_kept_whatever_ends_it_and_the_command_resumes_it(end, keys, talk, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state of mine"))
    lines, code = ENDS[end]
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)]
    result = keys("/image a b.png", "Draw it.", *lines)
    assert result.exit_code == code
    (told,) = re.findall(r"\(what was said is kept; to go on: modalink chat runs/demo --resume '(.*)'\)", result.stderr)
    assert said(talk("And?", options=("--resume", told)))[0] == "3 turns, 2 media"
    assert len(list((tmp_path / "state of mine" / "modalink" / "chats").iterdir())) == 1
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)]


def test_two_conversations_of_one_second_are_kept_beside_each_other(keys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for _ in range(3):
        assert keys("Hi", ctrl_d).stderr.startswith("(what was said is kept")
    assert len(list((tmp_path / "modalink" / "chats").iterdir())) == 3


def test_nothing_is_kept_of_what_was_saved_or_ended_by_quit_or_never_said(keys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for lines in ([ctrl_d], ["Hi", "/quit"], ["Hi", "/save kept", ctrl_d], ["Hi", "/reset", ctrl_c, ctrl_c]):
        result = keys(*lines)
        assert (result.exit_code, result.stderr) == (0, "")
    assert not (tmp_path / "state").exists()


def test_one_ctrl_c_where_a_line_is_typed_says_how_to_end_and_goes_on(keys):
    result = keys(ctrl_c, "Hi", ctrl_c, "And?", ctrl_c, "/quit")
    assert [line for line in said(result) if line != room._LEAVING] == ["1 turns, 0 media", "3 turns, 0 media"]
    assert result.stdout.count(room._LEAVING) == 3 and result.stderr == ""


def test_a_conversation_that_cannot_be_kept_is_told(keys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a b.png"))
    result = keys("Hi", ctrl_d)
    assert result.stderr.startswith("modalink: what was said is not kept: ") and "a b.png" in result.stderr


def test_unknown_commands_are_answered_with_the_known_ones(talk):
    opening, *rest = talk("/imgae a.png", "/quit").stdout.splitlines()
    assert opening == room.HELP.format(shows="/image PATH shows one image, ")
    assert rest[0] == f"> {opening}"
