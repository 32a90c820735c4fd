"""Files are whole or absent, one process writes at a time, and half a line costs nothing but itself."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modalink import files
from modalink.errors import DataError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("shared", [False, True])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "deep" / "a.txt"
    files.write(path, "ä")
    with pytest.raises(KeyboardInterrupt), files.replacing(path, shared=shared) as beside:
        beside.write_text("half")
        assert path.read_bytes() == "ä".encode()
        raise KeyboardInterrupt
    assert path.read_bytes() == "ä".encode()
    assert names(path.parent) == ["a.txt"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with files.replacing(tmp_path / "model") as beside:
            (beside / "inner").mkdir(parents=True)
            (beside / "inner" / name).write_text(name)
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model" / "inner") == ["new"]


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").mkdir()
    (tmp_path / ".a.partial" / "half").write_text("half")
    files.write(tmp_path / "a", b"whole")
    assert names(tmp_path) == ["a"]


def test_several_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "a", shared=True) as one, files.replacing(tmp_path / "a", shared=True) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "a").read_text() == "one"  # the outer context ends last
    assert names(tmp_path) == ["a"]


def test_a_content_is_on_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []
    monkeypatch.setattr(files, "sync", lambda path: synced.append((path.name, (tmp_path / "a").exists())))
    files.write(tmp_path / "a", "x")
    assert synced == [(".a.partial", False), (tmp_path.name, True)]


def test_json_is_for_people(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a", {"name": "ä", "shares": [1, 0.5]})
    assert (tmp_path / "a").read_text() == '{\n  "name": "ä",\n  "shares": [\n    1,\n    0.5\n  ]\n}\n'


def test_one_process_holds_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "a"
    code = (
        "import sys\nfrom modalink import files\nfile = open(sys.argv[1], 'a')\n"
        "files.lock(file, SystemExit('busy'))\nprint('mine')"
    )
    other = [sys.executable, "-c", code, str(path)]
    with path.open("a") as file:
        files.lock(file, ValueError("busy"))
        with path.open() as again, pytest.raises(ValueError, match="busy"):
            files.lock(again, ValueError("busy"))
        assert subprocess.run(other, capture_output=True, text=True).stderr == "busy\n"
    assert subprocess.run(other, capture_output=True, text=True).stdout == "mine\n"


def test_the_hash_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(content)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_known_hash_is_read_again_when_the_file_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    reads: list[bytes] = []

    def content(path: Path) -> str:
        reads.append(path.read_bytes())
        return str(len(reads))

    monkeypatch.setattr(files, "sha256", content)
    path.write_bytes(b"one")
    assert [files.known_sha256(path), files.known_sha256(path)] == ["1", "2"]  # it may change again any moment
    os.utime(path, (1, 1))
    assert [files.known_sha256(path), files.known_sha256(path)] == ["3", "3"]
    path.write_bytes(b"two")
    os.utime(path, (1, 1))
    assert files.known_sha256(path) == "4"
    assert reads[2:] == [b"one", b"two"]


def test_lines_torn_at_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"text": text} for text in ("two\nlines", "ü 猫 🦊", "lone \udc80 surrogate")]
    files.append_json_lines(path, rows[:2])
    kept = path.read_bytes()
    files.append_json_lines(path, rows[2:], durable=True)
    whole = path.read_bytes()
    assert [json.loads(line) for line in files.whole_lines(path)] == rows
    assert [json.loads(line) for line in files.whole_lines(path, len(kept))] == rows[2:]
    for end in range(len(kept), len(whole)):
        path.write_bytes(whole[:end])
        assert [json.loads(line) for line in files.whole_lines(path)] == rows[:2]
        files.cut_torn_line(path)
        assert path.read_bytes() == kept
    path.write_bytes(whole)
    files.cut_torn_line(path)
    assert path.read_bytes() == whole


def test_an_absent_file_has_no_lines(tmp_path: Path) -> None:
    files.cut_torn_line(tmp_path / "a")
    assert list(files.whole_lines(tmp_path / "a")) == []
    assert names(tmp_path) == []


def test_a_full_disk_is_told() -> None:
    with pytest.raises(OSError, match="No space left"):
        files.append_json_lines(Path("/dev/full"), [{"a": 1}])


ODD_NAMES = ["x" * 300, "x" * 5000, "a/" * 3000, "a\0b", "\ud800", "~nobody-of-this-name/x"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_a_text_that_names_no_file_is_told_shortly(name: str) -> None:
    with pytest.raises(DataError, match="no file can be called so: ") as caught:
        files.named(name, DataError)
    assert len(str(caught.value)) < 250


def test_what_is_absent_is_a_path_and_the_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.named("~/a b", DataError) == tmp_path / "a b"
    assert files.named(tmp_path / "file" / "inner", DataError) == tmp_path / "file" / "inner"
