"""`modalink env`: the software and the machine, for a bug report."""

import json
import platform
from typing import Annotated, Any

import typer

from modalink import __version__
from modalink.environment import accelerators, cpu, versions
from modalink.settings import user_file


def env(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show the versions of the software, the CPU and the accelerators: put this into a bug report.

    \b
    modalink env
    modalink env --json
    """
    facts = gathered()
    print(json.dumps(facts) if as_json else as_text(facts))


def gathered() -> dict[str, Any]:
    """What a bug report needs, by name."""
    return {
        "modalink": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions(),
        "cpu": cpu(),
        "accelerators": accelerators(),
        "settings": str(user_file()) if user_file().is_file() else None,
    }


def as_text(facts: dict[str, Any]) -> str:
    """The same, a line each."""
    lines = {name: facts[name] for name in ("modalink", "python", "platform")} | facts["packages"]
    lines |= {"cpu": facts["cpu"], "accelerator": "; ".join(facts["accelerators"]) or "none"}
    if facts["settings"]:
        lines["settings"] = facts["settings"]
    return "\n".join(f"{name} {text}" for name, text in lines.items())
