"""Files of runs in tests: the recipe that a process of its own is given, and the records that must be equal."""

import json
from pathlib import Path
from typing import Any

from modalink.recipe import Recipe

TIMES = ("seconds", "data_seconds", "tokens_per_s")
"""What differs from run to run."""


def recipe_file(recipe: Recipe, run: Path) -> str:
    """The recipe as a file beside the run's folder."""
    file = run.with_name(f"{run.name}.yaml")
    file.write_text(recipe.to_yaml())
    return str(file)


def records_of(run: Path, stage: str) -> list[dict[str, Any]]:
    """What a stage wrote of its steps, without times."""
    lines = (run / stage / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]
