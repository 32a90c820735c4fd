"""What tests of stages that draw share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def good(data: dict[str, str]) -> str:
    """The questions whose pictures are there: where one is not, two processes read other samples than one."""
    lines = Path(data["ask"]).read_text().splitlines(keepends=True)
    file = Path(data["ask"]).with_name("good.jsonl")
    file.write_text("".join(line for line in lines if "absent" not in line))
    return str(file)


@pytest.fixture(scope="session")
def rollout(good: str) -> Callable[..., dict[str, Any]]:
    """A stage that draws; keywords change it."""
    return lambda **changes: {
        "name": "draw",
        "kind": "online",
        "train": {"inputs.image.projector": {"lr": 3e-3}, "llm.lora": {"lr": 3e-3}},
        "objectives": [{"kind": "policy"}],
        "rewards": [{"kind": "function", "function": "tests.training.stages.test_online:early"}],
        "data": [{"source": "messages", "path": good}],
        "batch": 4,
        "replies": 4,
        "beside": 8,
        "max_new_tokens": 4,
        "steps": 4,
        "schedule": "constant",
        "checkpoint_every": 2,
        "precision": "float32",
        **changes,
    }
