"""Every test runs on the CPU, without a network, and from known random states."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from modalink.model import System
from tests.support.little_recipes import system_of, vision

THREADS = torch.get_num_threads()
pytest_plugins = [
    "tests.support.plug_in",
    "tests.support.plugged_modality",
    "tests.support.tiny_run",
    "tests.support.chat_server",
    "tests.support.preferred",
    "tests.support.made_media",
]
Write = Callable[[str, Any], Path]


@pytest.fixture(autouse=True)
def _known_random_state() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _known_threads() -> Iterator[None]:
    """No test leaves its number of threads to the next: the last bits of a step hang on it."""
    yield
    torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the user's settings, or what another test has computed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def make_reader() -> Callable[..., System]:
    """Composes a system of tiny random parts in a folder: image in, text out, all of it nonsense."""

    def make(folder: Path, projector: str = "mlp") -> System:
        return system_of(folder, {"image": {"encoder": vision(folder), "projector": {"kind": projector}}})

    return make


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
