"""Small prediction and annotation files, written on the spot, and a small system that answers."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modalink.model import System

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
def saved(make_reader: Callable[..., System], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a system of tiny random parts: image in, text out."""
    folder = tmp_path_factory.mktemp("parts")
    make_reader(folder).save(folder / "run" / "model")
    return folder / "run"


@pytest.fixture(scope="session")
def reader(saved: Path) -> System:
    """The system of that run; no test changes it."""
    return System.load(saved / "model")
