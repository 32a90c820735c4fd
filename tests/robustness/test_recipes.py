"""Damaged recipes are refused in words."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modalink.recipe import load, shipped
from tests.robustness.fuzzing import fuzzed
from tests.robustness.mutations import ODD, damaged_bytes, damaged_tree
from tests.robustness.watch import held

_TEXT = shipped()["demo"].read_bytes()
_PATHS = ("seed", "stages", "stages.0", "stages.0.batch", "stages.3.data.0.tasks", "llm.lora", "inputs.image.encoder", "outputs", "name", "stages.9.x", "..", "a.b.c", "")  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes") / "recipe.yaml"


@fuzzed(3)
@given(content=damaged_bytes(_TEXT))
def test_recipes_with_damaged_bytes(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with held(file.parent):
        load(file)


@fuzzed(3)
@given(tree=damaged_tree(yaml.safe_load(_TEXT)))
def test_recipes_with_odd_values(file: Path, tree: object) -> None:
    file.write_bytes(yaml.safe_dump(tree, allow_unicode=False).encode())
    with held(file.parent):
        load(file)


@fuzzed(1)
@given(
    path=st.sampled_from(_PATHS),
    sign=st.sampled_from(("=", "+=", "", "==")),
    value=st.sampled_from(ODD).map(str) | st.text(max_size=40),
)
def test_overrides(file: Path, path: str, sign: str, value: str) -> None:
    with held(file.parent):
        load("demo", [f"{path}{sign}{value}"])
