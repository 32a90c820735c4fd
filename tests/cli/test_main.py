import errno
import os
import subprocess
import sys

import pytest

from modalink.cli import main
from modalink.cli.main import COMMANDS, explain
from modalink.errors import DataError, RecipeError


def test_help_lists_every_command_in_a_line(modalink):
    result = modalink("--help")
    assert result.exit_code == 0
    for name, text in COMMANDS.items():
        assert f"  {name:9} {text}" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(modalink, name):
    result = modalink(name, "--help")
    assert result.exit_code == 0
    if name == "zoo":
        result = modalink(name, "build", "--help")
    assert f"  modalink {name}" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["train"], "Missing argument"),
        (["train", "demo"], "Missing option '--run'."),
        (["recipes", "demi"], "modalink: unknown recipe 'demi'; did you mean 'demo'? known: "),
        (["doctor", "demo", "stages.0.bacth=8"], "unknown key 'bacth'; did you mean 'batch'?"),
        (["zoo", "build", "visoin"], "modalink: unknown zoo part 'visoin'; did you mean 'vision'? known: "),
    ],
)
def test_wrong_use_ends_with_2_and_says_how_it_is_right(modalink, arguments, message):
    result = modalink(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (DataError("a.json: bad"), "modalink: a.json: bad", 1),
        (RecipeError("x"), "modalink: x", 2),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/a.png"),
         "modalink: out/a.png: No space left on device; make room and start again", 1),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a"), "modalink: /a: Permission denied", 1),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"),
         "modalink: the device is out of memory; lower stages.N.micro_batch or stages.N.max_tokens", 1),
        (KeyError("a"), "modalink: KeyError: 'a'\n"
         "This looks like a defect; `modalink --debug ...` shows where it happened.", 1),
    ],
)  # fmt: skip
def test_errors_become_words_and_exit_codes(error, text, code):
    assert explain(error) == (text, code)


def _failing(monkeypatch, error):
    def fail() -> None:
        """Fail."""
        raise error

    monkeypatch.setattr(main, "_load", lambda name: main.single(name, fail))


def test_a_defect_shows_its_traceback_only_on_demand(modalink, monkeypatch):
    _failing(monkeypatch, ZeroDivisionError("division"))
    plain, debug = modalink("chat"), modalink("--debug", "chat")
    assert plain.exit_code == debug.exit_code == 1
    assert plain.stderr.startswith("modalink: ZeroDivisionError: division\n") and "Traceback" not in plain.stderr
    assert isinstance(debug.exception, ZeroDivisionError)


def test_ctrl_c_ends_with_130_and_clean_words(modalink, monkeypatch):
    _failing(monkeypatch, KeyboardInterrupt())
    result = modalink("chat")
    assert (result.exit_code, result.stderr) == (130, "\nmodalink: stopped\n")


def test_a_reader_that_goes_away_ends_it_quietly():
    command = [sys.executable, "-c", "from modalink.cli.main import main; main()", "recipes", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == "modalink: the reader of the output went away\n"
        assert process.wait() == 1


def test_the_version_is_told(modalink):
    assert modalink("--version").output == "modalink 0.1.0\n"


@pytest.mark.parametrize(("set_before", "after"), [(None, "10000"), ("7", "7")])
def test_threads_that_wait_soon_sleep_unless_told_otherwise(modalink, monkeypatch, set_before, after):
    monkeypatch.setenv("GOMP_SPINCOUNT", set_before or "")
    if set_before is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    assert modalink("recipes").exit_code == 0
    assert os.environ["GOMP_SPINCOUNT"] == after
