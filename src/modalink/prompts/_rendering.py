"""Renders chat templates; as a program, which `rendering.py` starts, with bounded time and memory.

It imports nothing of the package. Each line of the program's input is a task in JSON, each line of its output what came
of it.
"""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

STATM = Path("/proc/self/statm")
LONGEST_ERROR = 1000
"""Characters of a template's own words in an error."""
OUT_OF_TIME = "does not end"
ANSWERED = 3
"""How a process ends that has said why a template is stopped."""


def answers(task: dict[str, Any]) -> list[dict[str, Any]]:
    """What a template makes of each conversation of a task: its `text` and marked `spans`, or what it `says` instead.

    Raises:
        MemoryError: It takes more than there is.
    """
    return [_answer(task["source"], task["special_tokens"], *rendering) for rendering in task["renderings"]]


def _answer(
    source: str, special_tokens: dict[str, str], messages: list[dict[str, str]], reply: bool, marks: bool
) -> dict[str, Any]:
    options: dict[str, Any] = {"add_generation_prompt": reply, "return_assistant_tokens_mask": marks, **special_tokens}
    found: Any
    try:
        found = render_jinja_template([messages], chat_template=source, **options)
    except MemoryError:
        raise
    except jinja2.TemplateError as error:
        return {"says": f"refuses this conversation: {error}"[:LONGEST_ERROR]}
    except Exception as error:  # a template is a program, which may raise whatever a program raises
        return {"says": f"fails on this conversation: {type(error).__name__}: {error}"[:LONGEST_ERROR]}
    (text,), spans = found
    return {"text": text, "spans": spans[0] if marks else []}


def _serve(held: int) -> None:
    """Answer tasks until there are no more, or one went beyond its bounds; too much time ends the process."""
    for line in sys.stdin:
        found = _bounded(json.loads(line), held)
        print(json.dumps(found), flush=True)
        if isinstance(found, str):
            os._exit(ANSWERED)


def _bounded(task: dict[str, Any], held: int) -> Any:
    """The answers to a task, or why its template is stopped."""
    _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + task["seconds"])
    if held:
        _limit(resource.RLIMIT_AS, held + task["bytes"])
    try:
        found = answers(task)
        longest, most = max(len(answer.get("text", "")) for answer in found), task["characters"]
    except MemoryError:
        return f"takes more than {task['bytes'] // 2**20} MiB of memory"
    finally:
        _limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
    return f"makes {longest:,} characters of a conversation that needs {most:,} at most" if longest > most else found


def _limit(kind: int, soft: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY or 0 <= soft < hard else hard, hard))


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # macOS keeps no such limit; time is bounded all the same.
    held = int(STATM.read_text().split()[0]) * resource.getpagesize() if STATM.exists() else 0
    status = ANSWERED
    while status:
        child = os.fork()  # what a template does to its interpreter ends with that
        if child == 0:
            _serve(held)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status not in (0, ANSWERED):
            print(json.dumps(OUT_OF_TIME if status == -signal.SIGXCPU else "breaks its interpreter"), flush=True)


if __name__ == "__main__":
    _main()
