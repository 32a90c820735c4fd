from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modalink.conversation import Conversation
from modalink.data_quality.check import CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample
from modalink.kinds import parse


@pytest.fixture
def look() -> Callable[..., tuple[list[tuple[int, str]], list[Fault], dict[str, Any]]]:
    """Lets a check look at conversations: numbers of samples with reasons, the faults, and the facts."""

    def looked(
        kind: str,
        found: Sequence[Any],
        context: Context | None = None,
        records: Sequence[dict[str, Any]] = (),
        **settings: Any,
    ) -> tuple[list[tuple[int, str]], list[Fault], dict[str, Any]]:
        config = parse(CheckConfig.room, {"kind": kind, **settings})
        assert isinstance(config, CheckConfig)
        check = config.begin(context or Context())
        faults = []
        for number, one in enumerate(found):
            conversation = Conversation.from_messages(one, f"s{number}") if isinstance(one, list) else one
            faults += check.look(Sample(number, conversation, records[number] if records else {}))
        faults += check.finish()
        return [(fault.number, fault.reason) for fault in faults], faults, check.facts()

    return looked


@pytest.fixture
def talk() -> Callable[..., list[dict[str, Any]]]:
    """Messages of a question, with media before it, and its answer."""

    def messages(question: str, answer: str, *images: Any) -> list[dict[str, Any]]:
        media = [{"type": "image", "image": image} for image in images]
        return [
            {"role": "user", "content": [*media, {"type": "text", "text": question}]},
            {"role": "assistant", "content": answer},
        ]

    return messages


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    """A smooth picture of its own for each number."""

    def made(number: int, size: tuple[int, int] = (90, 70)) -> Image.Image:
        blocks = np.random.default_rng(number).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        return Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)

    return made
