"""Judged replies about the pictures of the tiny run, and a stage that learns from them."""

import json
from pathlib import Path

import pytest

from tests.support.tiny_run import COLOURS, MakeStage


@pytest.fixture(scope="session")
def judged(data: dict[str, str]) -> dict[str, str]:
    """Files of judged replies: `pairs` of a right and a wrong one, and `marked` ones, each good or bad."""
    folder = Path(data["ask"]).parent
    pairs, marked = [], []
    for number, colour in enumerate(COLOURS):
        wrong = COLOURS[number - 1]
        asked = [
            {"type": "image", "path": f"{number}.png"},
            {"type": "text", "text": "What is it?" + " Look." * number},
        ]
        prompt = [{"role": "user", "content": asked}]
        record = {"id": f"pair-{number}", "prompt": prompt}
        pairs.append(record | {"chosen": f"a {colour} cube", "rejected": f"a {wrong} cube and a ball" + "!" * number})
        marked.append(record | {"completion": f"a {colour if number % 2 else wrong} cube", "label": bool(number % 2)})
    for name, records in (("pairs", pairs), ("marked", marked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return {name: str(folder / f"{name}.jsonl") for name in ("pairs", "marked")}


@pytest.fixture(scope="session")
def prefer(judged: dict[str, str]) -> MakeStage:
    """A stage that learns from pairs; keywords change it."""
    return lambda **changes: {
        "name": "prefer",
        "kind": "preference",
        "train": {group: {"lr": 1e-2} for group in ("inputs.image.projector", "llm.lora")},
        "objectives": [{"kind": "dpo"}],
        "data": [{"source": "preferences", "path": judged["pairs"]}],
        "batch": 2,
        "steps": 6,
        "checkpoint_every": 2,
        "precision": "float32",
        **changes,
    }
