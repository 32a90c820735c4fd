import errno
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer import BadParameter

from modalink.cli import main
from modalink.cli.main import COMMANDS, explain
from modalink.errors import DataError, RecipeError, UnknownNameError


def test_help_lists_every_command_in_a_line(modalink):
    result = modalink("--help")
    assert result.exit_code == 0
    for name, text in COMMANDS.items():
        assert f"  {name:9} {text}" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(modalink, name):
    result = modalink(name, "--help")
    assert result.exit_code == 0
    if deeper := {"zoo": "build", "data": "preview", "index": "search"}.get(name):
        result = modalink(name, deeper, "--help")
    assert f"  modalink {name}" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["train"], "Missing argument"),
        (["train", "demo"], "Missing option '--run' / '--run-dir'."),
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
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a"),
         "modalink: /a: Permission denied; this user may not do that there", 1),
        (FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), "a"),
         "modalink: a: File exists; a file is where a folder is needed: move it away, or name another", 1),
        (IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), "a"),
         "modalink: a: Is a directory; a folder is where a file is needed: move it away, or name another", 1),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
         "modalink: the output: No space left on device; make room and start again", 1),
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


@pytest.mark.parametrize(
    ("name", "rest"),
    [("chat", ""), ("doctor", ""), *((n, "; the same command resumes") for n in ("train", "evaluate"))],
)
def test_ctrl_c_ends_with_130_and_says_how_it_is_resumed(modalink, monkeypatch, name, rest):
    _failing(monkeypatch, KeyboardInterrupt())
    result = modalink(name)
    assert (result.exit_code, result.stderr) == (130, f"\nmodalink: stopped{rest}\n")


def test_a_reader_that_goes_away_ends_it_quietly():
    command = [sys.executable, "-c", "from modalink.cli.main import main; main()", "recipes", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == "modalink: the reader of the output went away\n"
        assert process.wait() == 1


@pytest.mark.parametrize("arguments", [["--version"], ["env"]])
def test_versions_and_the_machine_are_told(modalink, arguments):
    lines = modalink(*arguments).output.splitlines()
    assert lines[0] == "modalink 0.1.0"
    told = dict(line.split(" ", 1) for line in lines)
    assert {"python", "platform", "torch", "transformers", "diffusers", "huggingface_hub"} <= told.keys()
    assert told["torch"] == version("torch")
    assert re.fullmatch(r"\S.*, \d+ cores", told["cpu"])
    assert told["accelerator"] == "none" or "GiB" in told["accelerator"]


def test_what_a_script_reads_of_the_environment_is_the_same(modalink):
    facts = json.loads(modalink("env", "--json").output)
    assert facts["packages"]["torch"] == version("torch")
    assert isinstance(facts["accelerators"], list) and facts["settings"] is None


@pytest.mark.parametrize("arguments", [["--help"], ["trian"], ["--show-completion", "bash"]])
def test_what_needs_no_torch_does_not_wait_for_it(arguments):
    code = (
        "import sys\nfrom modalink.cli.main import main\ntry:\n    main()\n"
        "except SystemExit:\n    print(sorted({'torch', 'transformers', 'diffusers'} & sys.modules.keys()))"
    )
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(("typed", "offered"), [("modalink tr", "train"), ("modalink zoo bu", "build")])
def test_the_shell_completes_commands(typed, offered):
    words = {"_MODALINK_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    command = [sys.executable, "-m", "modalink"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | words)
    assert done.stdout.split() == [offered]


def test_one_line_installs_completion(tmp_path):
    environment = os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "modalink", "--install-completion", "bash"]
    assert subprocess.run(command, capture_output=True, env=environment).returncode == 0
    (script,) = re.findall(r"source '(.*)'", (tmp_path / ".bashrc").read_text())
    assert "_MODALINK_COMPLETE=complete_bash" in Path(script).read_text()


ERRORS = [
    DataError("\n".join(f"line {n}" for n in range(500))),
    DataError("x" * 100_000 + "; make it shorter"),
    UnknownNameError("part", "y" * 5_000, [f"part-{n}" for n in range(2_000)]),
    RecipeError("\n" * 300),
    OSError(errno.ENAMETOOLONG, "File name too long", "z" * 9_000),
    KeyError("k" * 50_000),
    BadParameter("\n".join(["no such option"] * 90)),
    BadParameter("v" * 30_000),
]


def _rows(text):
    """How many rows a terminal of 120 columns needs."""
    return sum(max(1, -(-len(line) // 120)) for line in text.splitlines())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_no_error_is_longer_than_20_lines(modalink, monkeypatch, error):
    _failing(monkeypatch, error)
    assert 1 <= _rows(modalink("chat").stderr) <= 20


@pytest.mark.parametrize(
    "arguments",
    [["a" * 40_000], ["doctor", "demo", "b" * 40_000], ["doctor", "c" * 40_000], ["train", "demo", "--run", "d" * 40_000],
     ["recipes", "e\n" * 400], ["score", "f" * 40_000, "--predictions", "x"], ["zoo", "build", "g" * 40_000],
     ["doctor", "demo", *(f"stages.0.wrong{n}=1" for n in range(300))], ["ask", "h" * 40_000, "why?"],
     ["ask", "i", "why?", "--media", "j" * 40_000], ["train", "demo", "--run", "x", "--threads", "9" * 4_000]],
    ids=lambda arguments: " ".join(arguments)[:20],
)  # fmt: skip
def test_nor_is_one_that_wrong_input_makes(modalink, arguments):
    result = modalink(*arguments)
    assert result.exit_code in (1, 2)
    assert 1 <= _rows(result.stderr) <= 20, result.stderr
    assert "Traceback" not in result.stderr and "defect" not in result.stderr


@pytest.mark.parametrize(
    ("name", "own"),
    [("GOMP_SPINCOUNT", "10000"), ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")],
    ids=["threads that wait soon sleep", "few kernels are kept"],
)
@pytest.mark.parametrize("told", [None, "7"])
def test_libraries_are_set_up_unless_told_otherwise(modalink, monkeypatch, name, own, told):
    monkeypatch.setenv(name, told or "")
    if told is None:
        monkeypatch.delenv(name)
    assert modalink("recipes").exit_code == 0
    assert os.environ[name] == (told or own)


def test_what_is_too_long_loses_its_middle():
    lines = main.brief("\n".join(["what was found", *map(str, range(100)), "what to do"])).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (20, "what was found", "what to do")
    assert lines[10] == "... (83 lines are left out here) ..."
    assert main.brief("short\n  text") == "short\n  text"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "demo", "--run", ""],
        ["train", "demo", "--run-dir="],
        ["demo", "--run", ""],
        ["ask", "runs/a", "What?", "--out", ""],
        ["ask", "runs/a", "What?", "--points", ""],
        ["ask", "runs/a", "What?", "--image", "a.png", "--image="],
        ["chat", "runs/a", "--out="],
        ["evaluate", "runs/a", "--benchmark", "pope", "--data", ""],
        ["evaluate", "runs/a", "--benchmark", "pope", "--out", ""],
        ["score", "pope", "--predictions", ""],
        ["score", "pope", "--predictions", "p.json", "--against="],
        ["data", "preview", "a.jsonl", "--html", ""],
        ["data", "cache", "demo", "--ledger="],
        ["zoo", "build", "--work", ""],
        ["train", "demo", "--run", "a", "--cache", ""],
        ["score", "pope", "--predictions", "p.json", "--option", "questions="],
        ["index", "build", "a.jsonl", "--out", ""],
        ["index", "search", ""],
        ["train", "", "--run", "a"],
        ["doctor", ""],
        ["data", "preview", ""],
        ["data", "preview", "", "source=pairs"],
    ],
    ids=" ".join,
)
def test_an_empty_text_is_no_path(modalink, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    result = modalink(*arguments)
    assert result.exit_code in (1, 2) and "empty text" in result.stderr and "current folder is" in result.stderr
    assert [*tmp_path.iterdir()] == [] and "Traceback" not in result.stderr


def test_an_empty_run_is_none(modalink, tmp_path, monkeypatch):
    """Its name may be a hub id, and is no option: the engine that loads it says so."""
    monkeypatch.chdir(tmp_path)
    result = modalink("ask", "", "What?")
    assert result.exit_code == 1 and "found an empty text, needed a path" in result.stderr
