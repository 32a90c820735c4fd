"""A folder is whole as it was written down, or the first flaw is told."""

from pathlib import Path

import pytest

from modalink.runs.seal import flaw, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "weights").write_bytes(b"12345")
    (tmp_path / "deep" / "config").write_text("{}")
    seal(tmp_path)
    return tmp_path


def test_a_folder_that_was_not_touched_is_whole(folder: Path) -> None:
    assert flaw(folder) is None
    (folder / "README").write_text("what somebody put there is no flaw")
    assert flaw(folder) is None


def test_each_flaw_is_told(folder: Path, tmp_path: Path) -> None:
    (folder / "weights").write_bytes(b"1234")
    assert flaw(folder) == "its weights has 4 bytes, needed 5"
    (folder / "weights").write_bytes(b"12346")
    assert flaw(folder) == "its weights has another hash than when it was written"
    (folder / "weights").write_bytes(b"12345")
    (folder / "deep" / "config").unlink()
    assert flaw(folder) == "its deep/config is gone"


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, '{"weights": 3}'])
def test_a_damaged_list_is_a_flaw(folder: Path, content: str) -> None:
    (folder / "files.json").write_text(content)
    assert (flaw(folder) or "").startswith(f"it cannot be read ({folder}/files.json: ")


def test_nothing_outside_is_looked_at(folder: Path) -> None:
    (folder / "files.json").write_text('{"../outside": {"size": 1, "sha256": "a"}}')
    (folder.parent / "outside").write_text("x")
    assert flaw(folder) == "its ../outside is gone"


def test_nothing_is_not_whole(tmp_path: Path) -> None:
    assert flaw(tmp_path) == "it holds no files.json, which training writes last"
    assert flaw(tmp_path / "absent") == "it holds no files.json, which training writes last"
