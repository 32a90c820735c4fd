"""The process that `trial.py` starts: it runs chat templates, each in a fork of its own with bounded time and memory.

It is no module of the package but a program, and imports nothing of it: each line of its input is a task in JSON, each
line of its output what came of it.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

STATM = Path("/proc/self/statm")
TURNS = [
    {"role": "user" if i % 2 == 0 else "assistant", "content": f"turn {i}: " + "some words. " * (1 + i % 5)}
    for i in range(24)
]
SYSTEM = {"role": "system", "content": "Answer in one word."}
CONVERSATIONS = [*(TURNS[:n] for n in (1, 2, 3, 4, 24)), *([SYSTEM, *TURNS[:n]] for n in (1, 2, 24))]


def tried(task: dict[str, Any]) -> str:
    """What became of a template: an empty text, or why it is refused."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        bound(task)
        os.write(writing, rendered(task).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return said if status == 0 else f"did not end in {task['seconds']} s of computing, or broke its interpreter"


def bound(task: dict[str, Any]) -> None:
    """Give this process so much time, and so much memory beyond what it holds."""
    if STATM.exists():  # macOS keeps no such limit; time is bounded all the same
        held = int(STATM.read_text().split()[0]) * resource.getpagesize() + task["bytes"]
        resource.setrlimit(resource.RLIMIT_AS, (held, held))
    resource.setrlimit(resource.RLIMIT_CPU, (task["seconds"], task["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def rendered(task: dict[str, Any]) -> str:
    """Render all conversations."""
    for messages in CONVERSATIONS:
        for reply in (False, True):
            try:
                options = {"add_generation_prompt": reply, **task["special_tokens"]}
                (text,), _ = render_jinja_template([messages], chat_template=task["source"], **options)
            except MemoryError:
                return f"takes more than {task['bytes'] // 2**20} MiB of memory"
            except Exception:  # of this conversation: another may fit, and whoever renders it hears of it
                continue
            if len(text) > task["characters"]:
                return f"makes {len(text):,} characters of a short conversation"
    return ""


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(tried(json.loads(line))), flush=True)
