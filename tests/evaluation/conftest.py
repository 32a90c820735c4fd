"""Small prediction and annotation files, written on the spot, and a small system that answers."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama

Write = Callable[[str, Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write data under a name, in the format that the suffix tells."""

    def to(name: str, data: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, str):
            path.write_text(data, encoding="utf-8")
        elif path.suffix == ".jsonl":
            path.write_text("".join(f"{json.dumps(row)}\n" for row in data), encoding="utf-8")
        elif path.suffix in (".csv", ".tsv"):
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows(data)
        else:
            path.write_text(json.dumps(data), encoding="utf-8")
        return path

    return to


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a system of tiny random parts: image in, text out."""
    folder = tmp_path_factory.mktemp("parts")
    encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}
    data = {
        "inputs": {"image": {"encoder": encoder, "projector": {"kind": "mlp"}}},
        "llm": {"checkpoint": str(tiny_llama(folder / "llm"))},
        "prompt": {"template": "vicuna-v1.1"},
    }
    compose(SystemSpec.model_validate(data)).save(folder / "run" / "model")
    return folder / "run"


@pytest.fixture(scope="session")
def reader(saved: Path) -> System:
    """The system of that run; no test changes it."""
    return System.load(saved / "model")
