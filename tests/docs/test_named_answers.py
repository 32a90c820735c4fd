"""Entries that answer are counted by whether they are the right ones, from each nearness on."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "tools")
    return importlib.import_module("named_answers")


class Finds:
    """Finds the entry of each object of the test split at 0.9, and for others the first one at 0.6."""

    def __init__(self, known):
        self.known = known

    def found(self, turn):
        name = turn.text.removeprefix("show me a ").removesuffix(".")
        entry, score = (name, 0.9) if name in self.known else (self.known[0], 0.6)
        return [SimpleNamespace(score=score, text=f"This is a {entry}.")]


def test_right_wrong_and_invented_answers(tool):
    named = tool.names()
    known = [named[thing] for thing in tool.of_split(named, "test")]
    rows = list(tool.rows(Finds(known), named, tool.by_name, (0.5, 0.7, 0.95)))
    shares = [[cell.split(" %")[0] for cell in row.split(" | ")] for row in rows]
    assert shares == [["0.5", "100.0", "0.0", "100.0"], ["0.7", "100.0", "0.0", "0.0"], ["0.95", "0.0", "0.0", "0.0"]]
    (row,) = tool.rows(Finds(["nobody"]), named, tool.by_name, (0.5,))
    assert row.split(" | ")[1].startswith("0.0 %") and row.split(" | ")[2].startswith("100.0 %")


def test_where_nothing_is_found_nothing_answers(tool):
    (row,) = tool.rows(SimpleNamespace(found=lambda turn: []), tool.names(), tool.by_name, (0.0,))
    assert [cell.split(" %")[0] for cell in row.split(" | ")] == ["0", "0.0", "0.0", "0.0"]
