"""What captions invent is counted as it is meant, and the table of docs/feedback.md tells its shares."""

import importlib
import json
from pathlib import Path

import pytest

from modalink.tiny_world import WorldObject, describe, sample_scene

ROOT = Path(__file__).parents[2]
RING, STAR = WorldObject("ring", "red", "large", "top"), WorldObject("star", "blue", "small", "left")


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "tools")
    return importlib.import_module("hallucination")


@pytest.mark.parametrize(
    ("caption", "invented", "right"),
    [
        ("a large red ring at the top, a small blue star on the left", 0, 8),
        ("a large red ring at the top, a small blue star on the left, a small red star at the bottom", 1, 8),
        # Instead of an object another one, which is nowhere.
        ("a large red ring at the top, a large white square in the center", 1, 4),
        # A wrong colour, or a wrong place, is a fault and no invention.
        ("a large green ring at the top, a small blue star on the right", 0, 6),
        # Nothing is said twice.
        ("a large red ring at the top, a large red ring at the top, a small blue star on the left", 1, 8),
        ("nothing at all", 0, 0),
    ],
)
def test_what_a_caption_invents(tool, caption, invented, right):
    assert tool.counted((RING, STAR), caption) == (invented, right, 8)


def test_right_captions_invent_nothing(tool):
    for seed in range(50):
        scene = sample_scene(seed, "test")
        assert tool.counted(scene.objects, describe(scene)) == (0, 4 * len(scene.objects), 4 * len(scene.objects))


def test_what_makes_it_hallucinate(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "INVENTING", 40)
    rows = [json.loads(line) for line in tool.write_inventing(tmp_path, 0).read_text().splitlines()]
    pairs = list(tool.inventing_pairs(0))
    found = [
        tool.counted([WorldObject(**item) for item in pair.facts["objects"]], row["messages"][1]["content"])[0]
        for pair, row in zip(pairs, rows, strict=True)
    ]
    assert len(found) == 40 and set(found) == {0, 1, 2}
    assert all(Path(row["images"][0]).is_file() for row in rows)


def test_the_table_tells_falls_changes_and_seeds(tool):
    before = {"invented": [1, 1, 1, 1], "right": [4, 4, 4, 4], "attributes": [4, 4, 4, 4]}
    after = {"invented": [0, 0, 0, 1], "right": [4, 4, 4, 2], "attributes": [4, 4, 4, 4]}
    lines = tool.table({"hallucinating": [before, before], "dpo": [after, before]}).splitlines()
    assert lines[2].startswith("| hallucinating | 1.00 [1.00, 1.00] (1.00, 1.00) |  | 100.0 % [100.0, 100.0] ")
    cells = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert cells[0] == "dpo" and cells[1].startswith("0.62") and cells[1].endswith("(0.25, 1.00)")
    assert cells[2].startswith("38 %") and cells[2].endswith("(75, 0)")
    assert cells[3].startswith("93.8 %") and cells[4].startswith("-6.2") and cells[4].endswith("(-12.5, +0.0)")
