"""What a source's files are, and what has changed of them."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from modalink.data import fingerprint as module
from modalink.data.fingerprint import FileState, changes, fingerprint
from modalink.data.source import SourceConfig
from modalink.data.sources.llava_json import LlavaJsonConfig
from modalink.data.sources.messages import MessagesConfig
from modalink.data.sources.pairs import PairsConfig
from modalink.data.sources.tiny_world import TinyWorldConfig


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three captioned pictures, and records about them in two formats."""
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(colour)
    names = [f"{number}.png" for number in range(3)]
    turns = [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "a wall"}]
    (tmp_path / "llava.json").write_text(json.dumps([{"image": name, "conversations": turns} for name in names]))
    blocks = [[{"type": "image", "path": name}, {"type": "text", "text": "what?"}] for name in names]
    answer = {"role": "assistant", "content": "a wall"}
    rows = [json.dumps({"messages": [{"role": "user", "content": content}, answer]}) + "\n" for content in blocks]
    (tmp_path / "messages.jsonl").write_text("".join(rows))
    return tmp_path


def _config(kind: str, photos: Path) -> SourceConfig:
    return {
        "llava_json": LlavaJsonConfig(path=str(photos / "llava.json")),
        "messages": MessagesConfig(path=str(photos / "messages.jsonl")),
        "pairs": PairsConfig(path=str(photos)),
    }[kind]


@pytest.mark.parametrize("kind", ["llava_json", "messages", "pairs"])
def test_a_change_of_any_file_is_found(kind: str, photos: Path) -> None:
    config = _config(kind, photos)

    def look() -> dict[str, FileState]:
        return fingerprint(config, config.open())

    before = look()
    assert {f"{photos}/{n}.png" for n in range(3)} < before.keys()
    assert all(state.sha256 for state in before.values())
    assert changes(before, look()) == []
    os.utime(photos / "0.png", ns=(1, 1))
    assert changes(before, look()) == []  # the same content, only copied anew
    Image.new("RGB", (8, 8), "black").save(photos / "1.png")
    assert changes(before, look()) == [f"1 of {len(before)} files changed: {photos}/1.png"]
    (photos / "2.png").rename(photos / "3.png")
    found = changes(before, look())
    assert f"1 of {len(before)} files gone: {photos}/2.png" in found
    assert (f"1 of {len(before)} files new: {photos}/3.png" in found) == (kind == "pairs")


@pytest.mark.parametrize(
    ("kind", "file"), [("llava_json", "llava.json"), ("messages", "messages.jsonl"), ("pairs", "1.txt")]
)
def test_a_change_of_words_is_found(kind: str, file: str, photos: Path) -> None:
    config = _config(kind, photos)
    before = fingerprint(config, config.open())
    (photos / file).write_text((photos / file).read_text().replace("a wall", "a ball").replace("green", "grown"))
    assert changes(before, fingerprint(config, config.open())) == [f"1 of {len(before)} files changed: {photos / file}"]


def test_without_a_hash_size_and_time_must_do(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HASHED_BYTES", 0)
    config = _config("pairs", photos)
    before = fingerprint(config, config.open())
    assert {state.sha256 for state in before.values()} == {None}
    os.utime(photos / "0.png", ns=(1, 1))
    (photos / "1.txt").write_text("greener")
    found = changes(before, fingerprint(config, config.open()))
    assert sorted(line.partition(" files ")[2] for line in found) == [
        f"changed: {photos}/1.txt",
        f"written anew: {photos}/0.png",
    ]


def test_of_many_files_some_are_looked_at_and_all_names(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RECORDS", 3)
    config = _config("pairs", photos)
    before = fingerprint(config, config.open())
    assert len(before) < len(config.files())
    (photos / "2.txt").rename(photos / "3.txt")
    assert "1 of 7 files changed: the list of all names" in [
        line.replace(f"1 of {len(before)}", "1 of 7") for line in changes(before, fingerprint(config, config.open()))
    ]


def test_data_that_are_made_have_no_files() -> None:
    config = TinyWorldConfig(count=3)
    assert fingerprint(config, config.open()) == {}
