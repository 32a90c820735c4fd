"""What evaluations of a run came to: `evaluation/BENCHMARK.json` in its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modalink import json_files
from modalink.errors import CheckpointError
from modalink.runs.folder import write_json

FOLDER = "evaluation"


def write_results(run: Path, benchmark: str, results: Mapping[str, Any]) -> Path:
    """Put the results of a benchmark into a run, in place of older ones.

    Returns:
        The file.

    Raises:
        CheckpointError: It cannot be written.
    """
    path = run / FOLDER / f"{benchmark}.json"
    write_json(path, dict(results))
    return path


def read_results(run: Path) -> dict[str, dict[str, Any]]:
    """Benchmark -> its results, of all that a run was evaluated on.

    Raises:
        CheckpointError: A file of results is damaged.
    """
    paths = sorted((run / FOLDER).glob("*.json"))
    remedy = "delete it and evaluate again"
    return {path.stem: json_files.read(path, CheckpointError, dict[str, Any], remedy=remedy) for path in paths}
