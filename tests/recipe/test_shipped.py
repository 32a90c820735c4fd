"""Every recipe that ships is what it says: the published sizes, and a system that trains."""

import json

import pytest

from modalink.model import skeleton
from modalink.recipe import load, recipe_names, shipped
from modalink.training.train import train

LLAMA_7B = 6_738_415_616
MLP_7B = 1024 * 4096 + 4096 + 4096 * 4096 + 4096
LLAMA_13B = 13_015_864_320
MLP_13B = 1024 * 5120 + 5120 + 5120 * 5120 + 5120
LINEAR_7B = 1024 * 4096 + 4096
CLIP_L = 303_179_776
"""Without the norm behind the last layer, which nobody reads."""

EVA_G = 985_952_256
Q_FORMER = 105_162_240
"""BLIP-2's without words and without its map to the LLM."""
EXPERT = 4 * 4096 * 4096 + 3 * 4096 * 11008
NEXT_GPT = {
    "llm": LLAMA_7B,
    "inputs.image.projector": LINEAR_7B,
    "llm.lora": 32 * 32 * 4 * (4096 + 4096),  # the paper: 33M
    "outputs.image.projector": 31_958_784,  # the paper: 31M
}
QWEN_VL = {"inputs.image.encoder": 1_842_777_344, "inputs.image.projector": 91_791_360, "llm": 7_721_324_544}
MINIGPT_5 = {
    "llm.new_tokens": 2 * 8 * 4096,
    "llm.lora": 32 * 2 * 8 * (4096 + 4096),
    "outputs.image.projector": 4096 * 1024 + 1024 + 1024 * 1024 + 1024 + 77 * 1024 + 117_575_680,
}
MINIGPT_V2 = {
    "inputs.image.encoder": EVA_G,
    "inputs.image.projector": 4 * 1408 * 4096 + 4096,  # 23.1M
    "llm.lora": 32 * 2 * 64 * (4096 + 4096),  # 33.6M
}
COGVLM = {"inputs.image.encoder": 4_348_720_896, "llm": LLAMA_7B, "llm.join": 2 * 4096 + 32 * EXPERT}

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
    "next-gpt-7b": NEXT_GPT,
    "next-gpt-7b-grouping": NEXT_GPT | {"inputs.image.projector": 27_978_504},  # the paper: 28M
    "next-gpt-image": NEXT_GPT | {"inputs.image.encoder": CLIP_L},
    # As BLIP-2, the paper: 188M with words and heads.
    "dlp-opt-2.7b": {"inputs.image.projector": 188_671_294, "llm": 2_651_596_800, "inputs.image.encoder": EVA_G},
    "dlp-opt-6.7b": {"inputs.image.projector": 189_852_478, "llm": 6_658_473_984, "inputs.image.encoder": EVA_G},
    # Stage two trains two linear maps of 768 to the LLM's width: 6.3M and 7.9M.
    "bubogpt-7b": {"inputs.image.projector": Q_FORMER + 768 * 4096 + 4096, "inputs.audio.encoder": 86_235_648},
    "bubogpt-13b": {"inputs.image.projector": Q_FORMER + 768 * 5120 + 5120, "llm": LLAMA_13B},
    "chatspot-7b": {"llm": LLAMA_7B, "inputs.image.projector": LINEAR_7B, "inputs.image.encoder": CLIP_L},
    # Qwen-VL's card: 1.9B, 0.08B, 7.7B and 9.6B in all; they count the map behind the attention with the encoder.
    "qwen-vl-7b": QWEN_VL,
    "qwen-vl-7b-lora": QWEN_VL,
    # The code's: 5.2M, a Transformer of 118M, 77 queries; new rows of input and output; adapters of 4.2M.
    "minigpt-5-7b": MINIGPT_5,
    "minigpt-5-7b-mmdialog": MINIGPT_5,
    "minigpt-v2-7b": MINIGPT_V2,
    "minigpt-v2-7b-finetune": MINIGPT_V2,
    # The paper: 17B in all, 6.5B learn (6.6B in its ablation), 1.7B with an expert in every fourth layer.
    "cogvlm-17b": COGVLM,
    "cogvlm-17b-224": COGVLM,
    "cogvlm-every-4": COGVLM | {"llm.join": 4096 * 2 + 32 // 4 * EXPERT},
    "dress-13b": {"llm": LLAMA_13B, "inputs.image.encoder": EVA_G, "inputs.image.projector": 1408 * 5120 + 5120},
    "x-instructblip-7b": {"inputs.image.projector": 188_834_560, "inputs.points.encoder": 21_858_816},
    "x-instructblip-13b": {"inputs.image.projector": 189_622_272, "llm": LLAMA_13B},
    # The code's MLP in: 21.0M. What goes out differs, since the generator does.
    "codi-2-7b": {"inputs.image.projector": MLP_7B + 2 * 4096, "llm": LLAMA_7B},
    "vila-7b": {"llm": LLAMA_7B, "inputs.image.projector": LINEAR_7B},
    "vila-13b": {"llm": LLAMA_13B, "inputs.image.projector": 1024 * 5120 + 5120},
    "vila-7b-mlp": {"llm": LLAMA_7B, "inputs.image.projector": MLP_7B},
    "vila-7b-144": {"llm": LLAMA_7B, "inputs.image.projector": 4 * 1024 * 4096 + 4096},
    "llava-onevision-7b": {"llm": 7_615_616_512, "inputs.image.projector": 16_988_160},
    "llava-onevision-500m": {"llm": 494_032_768},
    # The card: 0.9B, which counts the tied table of words (136M) twice.
    "internvl-2.5-1b": {"inputs.image.encoder": 304_012_288, "llm": 494_032_768},
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


@pytest.mark.parametrize("name", [*shipped(), "llava-1.5-7b-lora", "next-gpt-image", "vila-7b-144"])
def test_it_trains_at_tiny_size(name, tmp_path):
    count = len(load(name).stages)
    short = [f"stages.{i}.{setting}" for i in range(count) for setting in ("steps=2", "batch=24")]
    recipe = load(name, short, tiny=True)
    train(recipe, tmp_path / "run")
    for stage in recipe.stages:
        lines = (tmp_path / "run" / stage.name / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert load(tmp_path / "run") == recipe
