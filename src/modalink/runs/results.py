"""What evaluations of a run came to: `evaluation/BENCHMARK.json` in its folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modalink import files

FOLDER = "evaluation"


def write_results(run: Path, benchmark: str, results: Mapping[str, Any]) -> Path:
    """Put the results of a benchmark into a run, in place of older ones.

    Returns:
        The file.
    """
    path = run / FOLDER / f"{benchmark}.json"
    path.parent.mkdir(exist_ok=True)
    files.write_json(path, results)
    return path


def read_results(run: Path) -> dict[str, dict[str, Any]]:
    """Benchmark -> its results, of all that a run was evaluated on."""
    paths = sorted((run / FOLDER).glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
