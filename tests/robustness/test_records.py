"""Damaged records are samples, or are left out in words; they never end a run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from PIL import Image

from modalink.errors import ModalinkError
from modalink.kinds import parse
from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama
from tests.robustness.fuzzing import fuzzed
from tests.robustness.mutations import as_json, damaged_bytes, damaged_tree
from tests.robustness.watch import held

_BLOCKS = [{"type": "image", "path": "a.png"}, {"type": "text", "text": "What is it?"}]
_ANSWER = {"role": "assistant", "content": "A red cube."}
_RECORDS: dict[str, tuple[str, Any]] = {
    "messages": ("messages", {"id": "a", "messages": [{"role": "user", "content": _BLOCKS}, _ANSWER]}),
    "columns": ("messages", {"messages": [{"role": "user", "content": "<image>What is it?"}, _ANSWER], "images": ["a.png"]}),
    "plain": ("messages", {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}, _ANSWER]}),
    "llava": ("llava_json", {"id": "a", "image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cube."}]}),
    "obelics": ("interleaved", {"texts": ["A cube.", None, "Red."], "images": [None, "a.png", None]}),
    "mmc4": ("interleaved", {"text_list": ["A cube.", "Red."], "image_info": [{"image_name": "a.png", "matched_text_index": 1}]}),
    "document": ("interleaved", {"content": _BLOCKS}),
    "text": ("text", {"text": "A red cube stands there."}),
}  # fmt: skip


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> System:
    folder = tmp_path_factory.mktemp("parts")
    encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}
    inputs = {"image": {"encoder": encoder, "projector": {"kind": "linear"}}}
    llm = {"checkpoint": str(tiny_llama(folder / "llm"))}
    return compose(SystemSpec.model_validate({"inputs": inputs, "llm": llm, "prompt": {"template": "vicuna-v1.1"}}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    Image.new("RGB", (32, 32), "red").save(folder / "a.png")
    return folder


def _conversations(source: str, path: Path) -> Iterator[Any]:
    """What a source makes of the file; each bad record raises only when its turn comes."""
    opened = parse("modalink.data.sources", {"source": source, "path": str(path)}, key="source").open()
    for index in range(len(opened)):
        try:
            yield opened[index]
        except ModalinkError as error:
            str(error).encode()


@pytest.mark.parametrize("format", sorted(_RECORDS))
def test_damaged_records(format: str, folder: Path, system: System) -> None:
    source, record = _RECORDS[format]
    file = folder / "records.jsonl"
    good = json.dumps(record).encode()
    file.write_bytes(good + b"\n")
    (sound,) = _conversations(source, file)
    system.processor.prepare(sound).loaded()

    @fuzzed(1)
    @given(content=damaged_tree(record).map(lambda tree: as_json(tree).encode()) | damaged_bytes(good))
    def read(content: bytes) -> None:
        file.write_bytes(good + b"\n" + content + b"\n" + good + b"\n")
        with held(folder, Path("/etc/passwd"), Path("/dev/zero")):  # media may lie anywhere
            prepared = 0
            for conversation in _conversations(source, file):
                try:
                    system.processor.prepare(conversation).loaded()
                    prepared += 1
                except ModalinkError as error:
                    str(error).encode()
            assert prepared >= 2, "a bad record took good ones along"

    read()
