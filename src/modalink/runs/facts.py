"""What a run folder tells: its recipe, parts, metrics, ledgers and evaluations, each optional."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modalink import json_files, yaml_files
from modalink.errors import CheckpointError
from modalink.runs.metrics import Best, best_of, read_records
from modalink.runs.results import read_results
from modalink.runs.shapes import LedgerLine, Manifest, RepliesLine, ReportedRecipe

_RESTORE = "this file of the run is damaged: restore it, or choose another run folder"


@dataclass(frozen=True)
class StageFacts:
    """One stage as it went.

    Args:
        name: Its name.
        recipe: Its settings.
        records: Its lines of metrics, one a step and one an evaluation.
        ledger: Reason -> how many samples were skipped or cut for it.
        replies: Prompts with some of the replies that it has drawn itself, one a line, in the order of its steps.
    """

    name: str
    recipe: Mapping[str, Any]
    records: list[dict[str, Any]]
    ledger: dict[str, int]
    replies: Sequence[Mapping[str, Any]] = ()

    @property
    def seconds(self) -> float:
        """Time of all its steps, waiting for data included."""
        return sum((record.get("seconds", 0.0) for record in self.records), 0.0)

    @property
    def samples(self) -> int:
        """Conversations it learned from, repetitions counted."""
        return sum(record.get("samples", 0) for record in self.records)

    @property
    def losses(self) -> dict[str, list[tuple[float, float]]]:
        """Objective -> (step, loss)."""
        return self._curves("losses")

    @property
    def rates(self) -> dict[str, list[tuple[float, float]]]:
        """Trained group -> (step, learning rate)."""
        return self._curves("lr")

    @property
    def evaluations(self) -> dict[str, list[tuple[float, float]]]:
        """Number of the evaluations inside the stage -> (steps done, value)."""
        return self._curves("evaluation")

    @property
    def rewards(self) -> list[tuple[float, float]]:
        """(step, mean reward) of a stage that draws replies."""
        return [(float(r["step"]), float(r["reward"])) for r in self.records if "reward" in r]

    @property
    def best(self) -> Best | None:
        """The evaluation whose weights it keeps as the best."""
        chosen = (self.recipe.get("evaluate") or {}).get("keep_best")
        return best_of(self.records, chosen["metric"], chosen["mode"]) if chosen else None

    def _curves(self, key: str) -> dict[str, list[tuple[float, float]]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for record in self.records:
            for name, value in record.get(key, {}).items():
                found.setdefault(name, []).append((float(record["step"]), float(value)))
        return found


@dataclass(frozen=True)
class GroupFacts:
    """One group of parameters, and in which stages it learned."""

    name: str
    parameters: int
    stages: tuple[str, ...]


@dataclass(frozen=True)
class RunFacts:
    """A run folder, read."""

    folder: Path
    recipe: Mapping[str, Any]
    manifest: Mapping[str, Any]
    stages: list[StageFacts]
    results: Mapping[str, Mapping[str, Any]]
    """Benchmark -> what the run reached on it."""

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return str(self.recipe["name"])

    @property
    def heldout(self) -> Mapping[str, Any] | None:
        """What the run reached on the tiny world's held-out split, None where nobody asked."""
        return self.results.get("tiny_world")

    @property
    def scores(self) -> dict[str, Mapping[str, Any]]:
        """Benchmark -> its scored answers, of those whose answers have one score."""
        return {name: results for name, results in self.results.items() if "score" in results}

    @property
    def training_seconds(self) -> float:
        """Time of all training steps."""
        return sum((stage.seconds for stage in self.stages), 0.0)

    @property
    def groups(self) -> list[GroupFacts]:
        """All parameters of the system by group."""
        stages: Mapping[str, list[Mapping[str, Any]]] = self.manifest.get("stages", {})
        counts = {row["group"]: row["parameters"] for rows in stages.values() for row in rows}
        return [
            GroupFacts(name, count, tuple(s for s, rows in stages.items() if _trains(rows, name)))
            for name, count in counts.items()
        ]

    @property
    def parameters(self) -> int:
        """All parameters, frozen ones and generators included."""
        return sum(group.parameters for group in self.groups)

    @property
    def trainable_parameters(self) -> int:
        """Parameters that learned in at least one stage."""
        return sum(group.parameters for group in self.groups if group.stages)


def read_run(folder: Path) -> RunFacts:
    """Read a run folder.

    Raises:
        CheckpointError: It holds no run.
    """
    path = folder / "recipe.yaml"
    if not path.is_file():
        raise CheckpointError(
            f"{folder}: found no recipe.yaml, needed a folder that `modalink train` or `modalink demo` made"
        )
    content = yaml_files.read(path, CheckpointError, remedy=_RESTORE).data
    recipe = json_files.shaped(content, lambda detail: _damaged(path, detail), ReportedRecipe)
    stages = [_stage(folder / stage["name"], stage) for stage in recipe.get("stages", [])]
    return RunFacts(folder, recipe, read_manifest(folder / "manifest.json"), stages, read_results(folder))


def _stage(folder: Path, settings: Mapping[str, Any]) -> StageFacts:
    lines = json_files.lines(folder / "ledger.jsonl", CheckpointError, LedgerLine, remedy="delete that line")
    ledger = Counter(line.get("reason", "unknown") for line in lines)
    replies = json_files.lines(folder / "replies.jsonl", CheckpointError, RepliesLine, remedy="delete that line")
    records = read_records(folder / "metrics.jsonl")
    return StageFacts(settings["name"], settings, records, dict(ledger.most_common()), [*replies])


def _trains(rows: Iterable[Mapping[str, Any]], group: str) -> bool:
    return any(row["group"] == group and row["trained"] for row in rows)


def read_manifest(path: Path) -> dict[str, Any]:
    """What a run's manifest says; nothing where there is none.

    Raises:
        CheckpointError: The file is damaged.
    """
    found: dict[str, Any]
    found = json_files.read(path, CheckpointError, Manifest, remedy=_RESTORE) if path.is_file() else {}
    return found


def _damaged(path: Path, detail: str) -> CheckpointError:
    return CheckpointError(f"{path}: {detail}; {_RESTORE}")
