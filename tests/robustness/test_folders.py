"""Damaged model folders and run folders are named, with what is wrong; or they do not matter."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.constants import HF_HOME
from hypothesis import given
from hypothesis import strategies as st

from modalink.inference import load
from modalink.recipe import Recipe
from modalink.settings import RunSettings
from modalink.training.train import train
from tests.robustness.fuzzing import fuzzed
from tests.robustness.mutations import ODD, as_json, damaged_bytes, damaged_tree
from tests.robustness.watch import held

_TREES = (".json", ".jsonl")
_ALONE = RunSettings(cache="off", threads=1)


@pytest.fixture(scope="module")
def run(make_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two stages of two steps."""
    recipe = make_recipe(steps=2, checkpoint_every=1)
    return train(recipe, tmp_path_factory.mktemp("whole") / "run", settings=_ALONE)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _damage(file: Path) -> st.SearchStrategy[bytes]:
    """What may have become of a file: other bytes, or other values where it holds JSON."""
    content = file.read_bytes()
    damaged = damaged_bytes(content)
    if file.suffix == ".json":
        return damaged | damaged_tree(json.loads(content)).map(lambda tree: as_json(tree).encode())
    if file.suffix == ".jsonl":
        rows = [json.loads(line) for line in content.splitlines()]
        lines = damaged_tree(rows).map(lambda rows: rows if isinstance(rows, list) else [rows])
        return damaged | lines.map(lambda rows: "".join(f"{as_json(row)}\n" for row in rows).encode())
    if file.suffix == ".safetensors":
        length = int.from_bytes(content[:8], "little")
        headers = damaged_tree(json.loads(content[8 : 8 + length])).map(lambda tree: as_json(tree).encode())
        return damaged | headers.map(lambda header: len(header).to_bytes(8, "little") + header + content[8 + length :])
    return damaged


def _damaged(folder: Path) -> st.SearchStrategy[tuple[str, bytes | None]]:
    """A file of the folder and what became of it; None where it is missing."""
    each = [st.tuples(st.just(name), st.none() | _damage(folder / name)) for name in _files(folder)]
    return st.one_of(each)


def _spoil(whole: Path, copy: Path, name: str, content: bytes | None) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    (copy / name).unlink() if content is None else (copy / name).write_bytes(content)


def test_model_folders(run: Path, parts: dict[str, Path], tmp_path: Path) -> None:
    whole, copy = run / "model", tmp_path / "model"

    @fuzzed(0.3)
    @given(damaged=_damaged(whole))
    def answer(damaged: tuple[str, bytes | None]) -> None:
        _spoil(whole, copy, *damaged)
        with held(copy, *parts.values()):
            load(copy, threads=1).ask("What is it?", max_new_tokens=2)

    answer()


def test_run_folders(run: Path, parts: dict[str, Path], data: dict[str, str], make_recipe: Any, tmp_path: Path) -> None:
    whole, copy = tmp_path / "whole", tmp_path / "run"
    shutil.copytree(run, whole)
    shutil.rmtree(whole / "model")
    recipe = make_recipe(steps=2, checkpoint_every=1)

    @fuzzed(0.2)
    @given(damaged=_damaged(whole))
    def resume(damaged: tuple[str, bytes | None]) -> None:
        _spoil(whole, copy, *damaged)
        with held(copy, *parts.values(), Path(data["ask"]).parent):
            train(recipe, copy, settings=_ALONE)

    resume()


@fuzzed(1)
@given(reference=st.sampled_from(ODD).map(str) | st.text(max_size=30))
def test_names_of_runs(reference: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with held(tmp_path_factory.getbasetemp(), Path(HF_HOME)):
        load(reference, threads=1)
