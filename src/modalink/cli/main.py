"""The program `modalink`: finds the command, and turns errors into words and exit codes."""

import errno
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from keyword import iskeyword
from textwrap import wrap
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from modalink.cli.options import debugging
from modalink.cli.paths import refuse_empty
from modalink.errors import ModalinkError

COMMANDS = {
    "demo": "Train, evaluate and report the tiny system.",
    "recipes": "Show what ships, or the JSON schema.",
    "doctor": "Check a recipe before training.",
    "data": "Show, check, filter, make and convert data.",
    "index": "Build what a retriever finds in, or search it.",
    "train": "Train a recipe, or go on with a run.",
    "import": "Make a run of a released checkpoint.",
    "ask": "Ask a trained run one question.",
    "chat": "Talk with a trained run.",
    "evaluate": "Evaluate a trained run.",
    "compare": "Compare designs on the same data and budget.",
    "score": "Score predictions by a benchmark's rules.",
    "export": "Write a trained run as others load it.",
    "zoo": "List or build the tiny parts that ship.",
    "env": "Show versions and the machine, for a bug report.",
}
"""Command -> what it does, in the order of `modalink --help`."""
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room and start again"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "a file is where a folder is needed: move it away, or name another"),
    errno.EISDIR: "a folder is where a file is needed: move it away, or name another",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "this user may not do that there"),
}
"""What to do about errors of the system."""
_RESUMING = ("demo", "train", "evaluate", "compare", "zoo")
"""Commands that resume when they are started again."""
_COMMAND = "modalink.command"
_MOST_ROWS, _WIDTH = 20, 96
_USAGE_ROWS = 4  # which the command line's parser puts before its errors


class _Commands(TyperGroup):
    """Loads a command's file when it is called: `modalink --help` must not wait for torch."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # Both speak to libraries that read their environment when they are imported, which a command's file does.
        debugging.set(ctx.params["debug"])
        if not debugging.get():
            _quieten()
        _spin_briefly()
        _keep_few_kernels()
        name, stub, rest = super().resolve_command(ctx, args)
        ctx.meta[_COMMAND] = name
        if name is None:
            return name, stub, rest
        command = _load(name)
        refuse_empty(command, rest)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            text, code = explain(error)
            if code is None and hasattr(error, "message"):
                error.message = brief(error.message, _MOST_ROWS - _USAGE_ROWS)
            if code is None or ctx.params["debug"]:
                raise
            _say(brief(text), code)
            raise typer.Exit(code) from None
        except KeyboardInterrupt:
            resumes = ctx.meta.get(_COMMAND) in _RESUMING
            _say("\nmodalink: stopped" + ("; the same command resumes" if resumes else ""), 130)
            raise typer.Exit(130) from None


def explain(error: Exception) -> tuple[str, int | None]:
    """An error in words for the terminal, and the exit code; None when the command line's parser shall explain it."""
    if isinstance(error, ModalinkError):
        return f"modalink: {error}", error.exit_code
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again when it ends
        return "modalink: the reader of the output went away", 1
    if isinstance(error, OSError):
        hint = _REMEDIES.get(error.errno or 0, "")
        return f"modalink: {error.filename or 'the output'}: {error.strerror or error}{hint and '; ' + hint}", 1
    if type(error).__name__ == "OutOfMemoryError":
        return "modalink: the device is out of memory; lower stages.N.micro_batch or stages.N.max_tokens", 1
    if hasattr(error, "exit_code"):
        return str(error), None
    name = type(error).__name__
    return f"modalink: {name}: {error}\nThis looks like a defect; `modalink --debug ...` shows where it happened.", 1


def brief(text: str, most: int = _MOST_ROWS) -> str:
    """A text in at most so many lines of a terminal: what is too much is left out of its middle."""
    rows = [row for line in text.splitlines() for row in wrap(line, _WIDTH, drop_whitespace=False) or [""]]
    if len(rows) <= most:
        return text
    head = most // 2
    tail = most - head - 1
    note = f"... ({len(rows) - head - tail} lines are left out here) ..."
    return "\n".join([*rows[:head], note, *rows[-tail:]])


def _say(text: str, code: int) -> None:
    """Say an error where the user sees it once: one of several processes leaves that to the one that started it."""
    from modalink.training.launch import hand_over

    if not hand_over(text, code):
        print(text, file=sys.stderr)


def file_of(name: str) -> str:
    """The file of a command, and the function in it: its name, with `_` behind a word of Python's own."""
    return f"{name}_" if iskeyword(name) else name


def _load(name: str) -> Any:
    named = file_of(name)
    found = getattr(importlib.import_module(f"modalink.cli.{named}"), named)
    return typer.main.get_command(found) if isinstance(found, typer.Typer) else single(name, found)


def single(name: str, function: Callable[..., None]) -> Any:
    """The command that a function is."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(function)
    return typer.main.get_command(alone)


app = typer.Typer(cls=_Commands, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
for _name, _text in COMMANDS.items():
    app.command(_name, help=_text)(lambda: None)


def _version(wanted: bool) -> bool:
    if wanted:
        from modalink.cli.env import as_text, gathered

        print(as_text(gathered()))
        raise typer.Exit
    return wanted


@app.callback()
def modalink(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and all warnings.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show versions and the machine.")
    ] = False,
) -> None:
    """Compose, train, evaluate and ask multimodal large language models."""


def _quieten() -> None:
    """Keep other libraries' notes off the terminal."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _spin_briefly() -> None:
    """Let OpenMP threads that wait for each other soon sleep: beside other jobs they would steal their own cores."""
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _keep_few_kernels() -> None:
    """Let oneDNN keep the kernels of a few steps: few are wanted again, since batches differ in shape, and the many
    that it keeps by itself cut the memory into pieces that every later allocation searches.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


def main() -> None:
    """Run the command line."""
    app(prog_name="modalink")
