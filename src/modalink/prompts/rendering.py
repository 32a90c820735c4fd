"""Renders an LLM's chat template, a program of somebody else's, so that it can do no harm.

Jinja's sandbox keeps it from files and from the interpreter, but not from taking all time and memory, be it only for
particular words. So a template that does not ship with the package is rendered in a process of its own, whose time and
memory are bounded.
"""

import atexit
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from modalink import zoo
from modalink.errors import PromptError
from modalink.prompts import _rendering

SECONDS = 1
"""Computing time of a task, in whole seconds that have begun; an ordinary one needs some milliseconds."""
BYTES = 2**28
"""Memory of a task, beyond what Python and its libraries hold."""
CHARACTERS = 2**20
"""The longest prompt that a short conversation may become."""
CHARACTERS_A_SECOND = 2**18
"""A long task has a second more for so many characters of it."""
BYTES_A_CHARACTER = 64
"""The memory that each of its characters adds."""
COPIES = 16
"""How often a template may say what it is given."""

# One process answers all threads; and transformers keeps the spans of a rendering inside the compiled template.
_one_at_a_time = threading.Lock()


class Rendering(NamedTuple):
    """One conversation to render."""

    messages: Sequence[dict[str, Any]]
    reply: bool
    """Whether the start of the assistant's turn follows."""
    marks: bool
    """Whether the spans between the template's generation marks are wanted."""


def rendered(source: str, special_tokens: dict[str, str], renderings: Sequence[Rendering]) -> list[dict[str, Any]]:
    """What a chat template makes of conversations.

    Args:
        source: The template.
        special_tokens: The tokenizer's special tokens by name, as the template sees them.
        renderings: The conversations.

    Returns:
        For each its `text` and marked `spans`, or what the template `says` instead.

    Raises:
        PromptError: It was stopped, since it takes too much time or memory; the message says why.
    """
    task: dict[str, Any] = {"source": source, "special_tokens": special_tokens, "renderings": renderings}
    with _one_at_a_time:
        found = _rendering.answers(task) if _ships(source) else _asked(task)
    if isinstance(found, str):
        raise PromptError(f"the LLM's chat template {found}; choose a template of modalink.prompts")
    return found


@lru_cache(maxsize=16)
def _ships(source: str) -> bool:
    return _hash(source.encode("utf-8", "replace")) in _shipped()


@cache
def _shipped() -> frozenset[str]:
    """Hashes of the templates that ship with the package."""
    return frozenset(_hash(file.read_bytes()) for file in zoo.PARTS.rglob("chat_template.jinja"))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _asked(task: dict[str, Any]) -> Any:
    """The answers of the process, or why it was stopped."""
    length = sum(len(message["content"]) for rendering in task["renderings"] for message in rendering.messages)
    seconds = SECONDS + length // CHARACTERS_A_SECOND
    bounds = {
        "seconds": seconds,
        "bytes": BYTES + BYTES_A_CHARACTER * length,
        "characters": CHARACTERS + COPIES * length,
    }
    line = json.dumps(task | bounds).encode() + b"\n"
    answer = _exchanged(line) or _exchanged(line)  # somebody may have ended the process since
    found = json.loads(answer) if answer else "ends the process that renders it"
    return f"did not end in {seconds} s of computing" if found == _rendering.OUT_OF_TIME else found


def _exchanged(line: bytes) -> bytes:
    """The process's answer to a task; empty where it has ended."""
    try:
        process = _process()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(line)
        process.stdin.flush()
        answer = process.stdout.readline()
    except BrokenPipeError:
        answer = b""
    except OSError as error:
        raise PromptError(f"the LLM's chat template needs a process of its own, which cannot start: {error}") from error
    except BaseException:  # Ctrl-C: its answer must not be taken for that of the next task
        _end()
        raise
    if not answer:
        _end()
    return answer


@cache
def _process() -> subprocess.Popen[bytes]:
    """The process that renders templates; it ends with this one."""
    program = [sys.executable, "-P", str(Path(_rendering.__file__))]
    # In a session of its own: Ctrl-C is for this process, which may still have much to render.
    return subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )


os.register_at_fork(after_in_child=_process.cache_clear)  # the answers are the parent's; a fork starts its own


@atexit.register
def _end() -> None:
    """End the process; the next task gets a new one."""
    if _process.cache_info().currsize:
        process = _process()
        _process.cache_clear()
        process.communicate()
