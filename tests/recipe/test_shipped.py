"""Every recipe that ships is what it says: the published sizes, and a system that trains."""

import json

import pytest

from modalink.model import skeleton
from modalink.recipe import load, recipe_names
from modalink.training.train import train

LLAMA_7B = 6_738_415_616
MLP_7B = 1024 * 4096 + 4096 + 4096 * 4096 + 4096
LLAMA_13B = 13_015_864_320
MLP_13B = 1024 * 5120 + 5120 + 5120 * 5120 + 5120
LINEAR_7B = 1024 * 4096 + 4096
CLIP_L = 303_179_776
"""Without the norm behind the last layer, which nobody reads."""

PUBLISHED = {
    "llava-1.5-7b": {"llm": LLAMA_7B, "inputs.image.projector": MLP_7B, "inputs.image.encoder": CLIP_L + 1024 * 320},
    "llava-1.5-7b-lora": {
        "llm": LLAMA_7B,
        "inputs.image.projector": MLP_7B,
        "llm.lora": 32 * 128 * (4 * (4096 + 4096) + 3 * (4096 + 11008)),
    },
    "llava-1.5-13b": {"llm": LLAMA_13B, "inputs.image.projector": MLP_13B},
    "llava-7b": {"llm": LLAMA_7B, "inputs.image.projector": LINEAR_7B, "inputs.image.encoder": CLIP_L},
    "llava-13b": {"llm": LLAMA_13B, "inputs.image.projector": 1024 * 5120 + 5120},
    "next-gpt-image": {
        "llm": LLAMA_7B,
        "inputs.image.projector": LINEAR_7B,
        "llm.lora": 32 * 32 * 4 * (4096 + 4096),  # the paper: 33M
        "outputs.image.projector": 31_958_784,  # the paper: 31M
    },
}
"""Recipe -> parameter group -> its size."""


def test_all_but_the_demo_have_published_sizes():
    assert set(recipe_names()) == {*PUBLISHED, "demo", "demo-all"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name):
    groups = skeleton(load(name)).trainable_groups()
    counts = {group: sum(p.numel() for _, p in members) for group, members in groups.items()}
    assert counts | PUBLISHED[name] == counts
    assert all(p.is_meta for members in groups.values() for _, p in members)


@pytest.mark.parametrize("name", PUBLISHED)
def test_where_each_number_of_a_stage_comes_from_is_told(name):
    provenance = load(name).provenance
    for i in range(len(load(name).stages)):
        assert f"stages.{i}" in provenance


@pytest.mark.parametrize("name", recipe_names())
def test_it_trains_at_tiny_size(name, tmp_path):
    count = len(load(name).stages)
    short = [f"stages.{i}.{setting}" for i in range(count) for setting in ("steps=2", "batch=24")]
    recipe = load(name, short, tiny=True)
    train(recipe, tmp_path / "run")
    for stage in recipe.stages:
        lines = (tmp_path / "run" / stage.name / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert load(tmp_path / "run") == recipe
