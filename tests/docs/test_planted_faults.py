"""The planted faults are what they are called, and the table tells their shares."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from modalink.data.reading import in_order
from modalink.data.sources.messages import MessagesConfig
from modalink.modalities.image import read

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "tools")
    return importlib.import_module("planted_faults")


def test_faults_are_planted_once_each(tool, tmp_path):
    planted = tool.write(tmp_path, 28, 0)
    assert {kind: len(names) for kind, names in planted.items()} == {
        "good": 20, "wrong caption": 2, "swapped picture": 2, "near-duplicate": 2, "test item": 2,
    }  # fmt: skip
    old = {str(n): row for n, row in enumerate(in_order(tool.captions("train", 28, 0)))}
    new = {row.id: row for row in in_order(MessagesConfig(path=str(tmp_path / "data.jsonl")))}
    assert len(new) == 28 and [*new][-2:] == planted["near-duplicate"]

    def same(one, other):
        pictures = [np.asarray(read(next(row.media())[1].source)) for row in (one, other)]
        equal = pictures[0].shape == pictures[1].shape and bool((pictures[0] == pictures[1]).all())
        return equal, one.turns[1].text == other.turns[1].text

    assert all(same(old[name], new[name]) == (True, True) for name in planted["good"])
    assert all(same(old[name], new[name]) == (True, False) for name in planted["wrong caption"])
    assert all(same(old[name], new[name]) == (False, True) for name in planted["swapped picture"])
    first, second = planted["swapped picture"]
    assert same(old[first], new[second])[0] and same(old[second], new[first])[0]
    good = {old[name].turns[1].text for name in planted["good"]}
    assert all(new[name].turns[1].text in good for name in planted["near-duplicate"])
    assert len([*(tmp_path / "test").iterdir()]) == 4


def test_the_table(tool):
    found = [{"good": 0.01, **dict.fromkeys(tool.KINDS, share)} for share in (0.9, 1.0)]
    lines = tool.table(found, 400).splitlines()
    assert "| all planted | 95.0% | 90.0%, 100.0% |" in lines and "| good, lost | 1.0% | 1.0%, 1.0% |" in lines


def test_the_study_can_be_compared(tool, tmp_path):
    from modalink.comparison import Comparison
    from modalink.recipe import checked
    from modalink.yaml_files import Document

    (tmp_path / "data.jsonl").write_text("x\n" * 9)
    tool.random_part(tmp_path, 4, 0)
    assert len((tmp_path / "random.jsonl").read_text().splitlines()) == 4
    study = checked(Comparison, Document(tool.comparison(tmp_path), {(): "study"}))
    assert [design.name for design in study.designs] == ["filtered", "random", "all"]
