"""Joins at full size, on the meta device, beside the sizes that were published (docs/joins.md has the table)."""

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from modalink.kinds import parse
from modalink.roles import JoinConfig

PAGE = Path(__file__).parents[3] / "docs" / "joins.md"
VICUNA = {"hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 11008, "num_attention_heads": 32}
FLAMINGO = {"kind": "gated_cross_attention", "media_width": 1536}
EXPERT = {"kind": "visual_expert", "begin": True, "end": True}


def chinchilla(layers, width):
    """An LLM of the depth and width of a Chinchilla; what is inside of its layers does not count here."""
    return {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": width, "num_attention_heads": 16}


@pytest.mark.parametrize(
    ("system", "llm", "join", "published"),
    [
        ("Flamingo-3B", chinchilla(24, 2048), {**FLAMINGO, "every": 1}, (1.15e9, 1.25e9)),
        ("Flamingo-9B", chinchilla(40, 4096), {**FLAMINGO, "every": 4}, (1.55e9, 1.65e9)),
        ("Flamingo-80B", chinchilla(80, 8192), {**FLAMINGO, "every": 7, "heads": 64}, None),
        ("CogVLM-17B", VICUNA, EXPERT, (6.45e9, 6.55e9)),
        ("CogVLM, ablation", VICUNA, {**EXPERT, "every": 4}, (1.7e9 - 0.14e9 - 0.05e9, 1.7e9 - 0.14e9 + 0.1e9)),
    ],
)
def test_counts(system, llm, join, published):
    with torch.device("meta"):
        built = parse(JoinConfig.room, join).build(AutoModelForCausalLM.from_config(LlamaConfig(**llm)), ["image"])
    count = sum(parameter.numel() for parameter in built.parameters())
    (row,) = re.findall(rf"^\| {re.escape(system)} \|.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert f"| {count:,} |" in row
    if published is not None:
        low, high = published
        assert low <= count <= high
