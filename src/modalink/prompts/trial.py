"""Whether an LLM's chat template ends: it is a program of somebody else's, and is first run where it can do no harm.

Jinja's sandbox keeps it from files and from the interpreter, but not from taking all time and memory. So a template
that is met for the first time renders some conversations in a process of its own, whose time and memory are bounded.
"""

import atexit
import hashlib
import json
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

from modalink import verdicts, zoo
from modalink.errors import PromptError
from modalink.verdicts import Verdict

SECONDS = 1
"""Computing time of all conversations together; a template needs some milliseconds."""
BYTES = 2**28
"""Memory, beyond what Python and its libraries hold."""
CHARACTERS = 2**20
"""The longest prompt that a short conversation may become."""
LONGEST = 2**20
"""Characters of a template; the longest of released LLMs have some 20,000."""

_one_at_a_time = threading.Lock()


def refuse_endless(source: str, special_tokens: dict[str, str]) -> None:
    """Refuse a chat template that does not end, or that takes all memory.

    Args:
        source: The template.
        special_tokens: The tokenizer's special tokens by name.

    Raises:
        PromptError: It was stopped; the message says why.
    """
    if _hash(source.encode("utf-8", "replace")) in _shipped():
        return
    if len(source) > LONGEST:
        raise PromptError(f"the LLM's chat template has {len(source):,} characters, needed {LONGEST:,} at most")
    task = {
        "source": source,
        "special_tokens": special_tokens,
        "seconds": SECONDS,
        "bytes": BYTES,
        "characters": CHARACTERS,
    }
    found = verdicts.remembered(
        task, lambda: _try(task), libraries=("transformers", "jinja2"), code=("modalink.prompts._trials",)
    )
    if found.reason:
        raise PromptError(f"the LLM's chat template {found.reason}; choose a template of modalink.prompts")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@cache
def _shipped() -> frozenset[str]:
    """Hashes of the templates that ship with the package."""
    return frozenset(_hash(file.read_bytes()) for file in zoo.PARTS.rglob("chat_template.jinja"))


def _try(task: dict[str, Any]) -> Verdict:
    with _one_at_a_time:
        process = _process()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(task).encode() + b"\n")
            process.stdin.flush()
            reason = str(json.loads(process.stdout.readline()))
        except (OSError, ValueError) as error:
            _process.cache_clear()
            raise PromptError(f"the LLM's chat template cannot be tried in a process of its own: {error}") from error
    return Verdict("refused" if reason else "right", reason)


@cache
def _process() -> subprocess.Popen[bytes]:
    """The process that tries templates; it ends with this one."""
    program = [sys.executable, "-P", str(Path(__file__).with_name("_trials.py"))]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    atexit.register(process.communicate)
    return process
