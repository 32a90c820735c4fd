"""A run folder is read, or the damaged file of it is named."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from modalink.errors import CheckpointError
from modalink.report import view
from modalink.runs.facts import RunFacts, read_run
from tests.support.trees import places, with_value

RECIPE = {"name": "little", "stages": [{"name": "first", "objectives": [{"kind": "language"}], "train": {"llm": {"lr": 1.0}}, "evaluate": {"keep_best": {"metric": "loss", "mode": "min"}}}]}  # fmt: skip
MANIFEST = {"parts": [{"part": "llm", "id": "zoo:llm", "sha256": "0a"}], "licence": "mit", "stages": {"first": [{"group": "llm", "parameters": 3, "trained": True}]}, "environment": {"threads": 2}, "lineage": [{"from": "x", "sha256": {"a": "b"}}]}  # fmt: skip
RECORD = {"step": 1, "losses": {"language": 0.5}, "lr": {"llm": 1.0}, "evaluation": {"loss": 0.5}, "seconds": 0.5, "samples": 4}  # fmt: skip
LINE = {"step": 0, "sample": "a", "reason": "truncated", "detail": ""}
RESULT = {"accuracy": 1.0}
FILES: dict[str, Any] = {
    "recipe.yaml": RECIPE,
    "manifest.json": MANIFEST,
    "first/metrics.jsonl": RECORD,
    "first/ledger.jsonl": LINE,
    "evaluation/pope.json": RESULT,
}
VALUES = [None, True, 0, -1, 1.5, "", "word", "../..", "\ud800", [], ["word"], [[]], {}, {"a": 1}, {"a": {"b": []}}]
GARBAGE = [b"", bytes(range(256)), b"{", b"[" * 100_000, "{}".encode("utf-16"), b"\x00" * 40]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        write(tmp_path / name, data)
    return tmp_path


def write(path: Path, data: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(data) if path.suffix == ".yaml" else json.dumps(data) + "\n")


def use(facts: RunFacts) -> None:
    """All that a report asks of them."""
    assert facts.name is not None
    for stage in facts.stages:
        view.stage_view(stage)
        assert [stage.seconds, stage.samples, stage.best]
    view.parts(facts)


def test_the_whole_is_read(run: Path) -> None:
    facts = read_run(run)
    use(facts)
    assert facts.stages[0].ledger == {"truncated": 1}
    assert facts.parameters == 3


@pytest.mark.parametrize("name", FILES)
def test_any_value_in_any_place_is_read_or_the_file_is_named(run: Path, name: str) -> None:
    for place in [(), *places(FILES[name])]:
        for value in VALUES:
            write(run / name, with_value(FILES[name], place, value))
            try:
                use(read_run(run))
            except CheckpointError as error:
                assert str(run / name) in str(error), (place, value, error)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
def test_a_file_of_garbage_is_named_with_what_to_do(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content + (b"\n" if name.endswith("l") else b""))
    if content or not name.endswith("jsonl"):
        with pytest.raises(CheckpointError, match=r"restore it|delete") as caught:
            read_run(run)
        assert str(run / name) in str(caught.value)
