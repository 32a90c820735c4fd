"""What probes find out about the classes of other libraries, remembered, so that it is found out once a machine.

A probe runs a class at tiny size with random weights and says whether it does what modalink relies on. Its verdict
holds for as long as the class, its configuration, the libraries and the probe's own code stay the same.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from modalink import files, json_files
from modalink.settings import user_folder

_LARGEST = 2**20
"""Bytes of a verdict's file beyond which it is none."""
_known: dict[str, "Verdict"] = {}


@dataclass(frozen=True)
class Verdict:
    """What a probe found.

    Args:
        verdict: In a word: `right`, `refused`, or what the kind of probe says else.
        reason: Why, in a sentence for people; empty where nothing need be said.
        facts: What else was found, as JSON data.
    """

    verdict: str
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def remembered(
    subject: Mapping[str, Any], probe: Callable[[], Verdict], *, libraries: Sequence[str], code: Sequence[str]
) -> Verdict:
    """The verdict on a subject: from this process, from the user's cache folder, or from the probe.

    Args:
        subject: What is probed, as JSON data: the name of the class, its configuration, what is asked of it.
        probe: Finds the verdict.
        libraries: Packages whose versions decide it, for example `transformers`.
        code: Modules whose source decides it, for example the probe's own.
    """
    said = {"subject": subject, "libraries": {name: _version(name) for name in libraries}, "code": [*map(_code, code)]}
    key = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
    place = user_folder("XDG_CACHE_HOME", ".cache") / "probes" / f"{key}.json"
    if key not in _known:
        found = _read(place)
        if found is None:
            found = probe()
            # Where nothing can be written, the next process asks again.
            with suppress(OSError), files.replacing(place, shared=True) as beside:
                beside.write_text(json.dumps(asdict(found)), encoding="utf-8")
        _known[key] = found
    return _known[key]


def _read(place: Path) -> Verdict | None:
    """A verdict's file; None where there is none that can be read."""
    try:
        if place.stat().st_size > _LARGEST:
            return None
        found: Verdict = json_files.read(place, ValueError, Verdict)
    except (OSError, ValueError):
        return None
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _code(module: str) -> str | None:
    """The hash of a module's source; None for one without a file."""
    source = getattr(importlib.import_module(module), "__file__", None)
    return files.known_sha256(Path(source)) if source else None
