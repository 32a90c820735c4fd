"""Every source of numbered samples ends: a loop over one comes to the last and no further."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modalink import kinds
from modalink.conversation import Conversation
from modalink.data.source import Stream

ROOM = "modalink.data.sources"
TALK = [{"role": "user", "content": "what is it?"}, {"role": "assistant", "content": "a cube"}]
RECORDS: dict[str, dict[str, Any]] = {
    "messages": {"messages": TALK},
    "llava_json": {"conversations": [{"from": "human", "value": "what?"}, {"from": "gpt", "value": "a cube"}]},
    "feedback": {"interaction": [{"user": "what?", "model": "a cube", "rating": 4, "critique": "right"}]},
    "interleaved": {"texts": ["a cube", None], "images": [None, "a.png"]},
    "preferences": {"prompt": TALK[:1], "chosen": TALK[1:], "rejected": [TALK[1] | {"content": "a ring"}]},
    "steps": {"prompt": "how many?", "completions": ["one", "so one"], "labels": [True, False]},
    "text": {"text": "a cube"},
    "prompts": {"prompt": "draw a cube"},
}
"""Kind -> a record of a file."""
MADE: dict[str, dict[str, Any]] = {
    "tiny_world": {"count": 3},
    "tiny_world_preferences": {"count": 3},
    "tiny_world_steps": {"count": 3},
    "sentences": {"of": {"source": "tiny_world", "count": 3, "tasks": ["caption"]}},
}
"""Kind -> settings, of data that are made."""


def opened(kind: str, folder: Path) -> Any:
    settings = MADE.get(kind)
    if kind == "pairs":
        for number in range(3):
            Image.new("RGB", (4, 4)).save(folder / f"{number}.png")
            (folder / f"{number}.txt").write_text("a cube")
        settings = {"path": str(folder)}
    if settings is None:
        (folder / "data.jsonl").write_text(f"{json.dumps(RECORDS[kind])}\n" * 3)
        settings = {"path": str(folder / "data.jsonl")}
    return kinds.parse(ROOM, {"source": kind, **settings}, key="source").open()


@pytest.mark.parametrize("kind", sorted(kinds.kinds(ROOM)))
def test_a_loop_over_it_ends(kind: str, tmp_path: Path) -> None:
    source = opened(kind, tmp_path)
    assert not isinstance(source, Stream)
    samples = list(islice(source, 10))
    assert len(samples) == len(source) == 3
    assert all(isinstance(sample, Conversation) for sample in samples)
    for absent in (3, 10**9, -1):
        with pytest.raises(IndexError, match=f"found sample {absent}, needed one of 0 to 2"):
            source[absent]
