"""Every recipe that ships is what it says: sizes, sources of its values, and a system that trains in each stage."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from modalink import modalities
from modalink.errors import RecipeError
from modalink.inference import Session
from modalink.model import System, skeleton
from modalink.model.groups import inner_name
from modalink.planning.sizes import sizes
from modalink.recipe import Recipe, as_data, load, recipe_names
from modalink.recipe.tiny import tiny_form
from modalink.training.train import train

LLAMA_7B = 6_738_415_616
MLP_7B = 1024 * 4096 + 4096 + 4096 * 4096 + 4096
LLAMA_13B = 13_015_864_320
VICUNA_V0_7B, VICUNA_V0_13B = LLAMA_7B + 2 * 4096, LLAMA_13B + 2 * 5120  # a token for padding
MLP_13B = 1024 * 5120 + 5120 + 5120 * 5120 + 5120
LINEAR_7B = 1024 * 4096 + 4096
CLIP_L = 303_179_776
"""Without the norm behind the last layer, which nobody reads."""

EVA_G = 985_952_256
Q_FORMER = 105_162_240
"""BLIP-2's without words and without its map to the LLM."""
P_FORMER = {"inputs.sentence.encoder": 108_891_648, "inputs.sentence.projector": 21_655_041}
EXPERT = 4 * 4096 * 4096 + 3 * 4096 * 11008
NEXT_GPT = {
    "llm": VICUNA_V0_7B,
    "inputs.image.projector": LINEAR_7B,
    "llm.lora": 32 * 32 * 4 * (4096 + 4096),  # the paper: 33M
    "outputs.image.projector": 31_958_784,  # the paper: 31M
}
ANY_TO_ANY = {"outputs.video.projector": 32_090_112, "outputs.audio.projector": 31_788_544}  # the paper: 32M and 31M
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
    "next-gpt-7b": NEXT_GPT | ANY_TO_ANY,
    "next-gpt-7b-grouping": NEXT_GPT | ANY_TO_ANY | {"inputs.image.projector": 27_978_504},  # the paper: 28M
    "next-gpt-image": NEXT_GPT | {"inputs.image.encoder": CLIP_L},
    # As BLIP-2, the paper: 188M with words and heads; the P-Former 130M, of which BERT has 110M with its pooler.
    "dlp-opt-2.7b": {
        "inputs.image.projector": 188_671_294,
        **P_FORMER,
        "llm": 2_651_596_800,
        "inputs.image.encoder": EVA_G,
    },
    "dlp-opt-6.7b": {"inputs.image.projector": 189_852_478, "llm": 6_658_473_984, "inputs.image.encoder": EVA_G},
    "dlp-flan-t5-xl": {"inputs.image.projector": 188_277_566},
    # Stage two trains two linear maps of 768 to the LLM's width: 6.3M and 7.9M.
    "bubogpt-7b": {"inputs.image.projector": Q_FORMER + 768 * 4096 + 4096, "inputs.audio.encoder": 86_235_648},
    "bubogpt-13b": {"inputs.image.projector": Q_FORMER + 768 * 5120 + 5120, "llm": VICUNA_V0_13B},
    "chatspot-7b": {"llm": LLAMA_7B, "inputs.image.projector": LINEAR_7B, "inputs.image.encoder": CLIP_L},
    # Qwen-VL's card: 1.9B, 0.08B, 7.7B and 9.6B in all; they count the map behind the attention with the encoder.
    "qwen-vl-7b": QWEN_VL,
    "qwen-vl-7b-lora": QWEN_VL,
    # The paper: 0.117B for the adapters, which go around whole feed-forward networks there, and 9.8B in all.
    "monkey-7b": QWEN_VL | {"inputs.image.encoder.lora": 162_004_992},
    "monkey-7b-1344": QWEN_VL | {"inputs.image.encoder.lora": 162_004_992 * 6 // 4},
    "monkey-7b-lora": QWEN_VL | {"llm.lora": 32 * 16 * (4 * (4096 + 4096) + 2 * (4096 + 11008))},
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
    "x-instructblip-13b": {"inputs.image.projector": 189_622_016, "llm": LLAMA_13B},
    # The code's MLP in: 21.0M. What goes out differs, since the generator does.
    "codi-2-7b": {"inputs.image.projector": MLP_7B + 2 * 4096, "llm": LLAMA_7B},
    "vila-7b": {"llm": LLAMA_7B, "inputs.image.projector": LINEAR_7B},
    "vila-13b": {"llm": LLAMA_13B, "inputs.image.projector": 1024 * 5120 + 5120},
    "vila-7b-mlp": {"llm": LLAMA_7B, "inputs.image.projector": MLP_7B},
    "vila-7b-144": {"llm": LLAMA_7B, "inputs.image.projector": 4 * 1024 * 4096 + 4096},
    "llava-onevision-7b": {"llm": 7_615_616_512, "inputs.image.projector": 16_984_576},
    "llava-onevision-500m": {"llm": 494_032_768},
    # The paper's ablation with Sana: a connector of 316M; this one ends in narrower maps.
    "metaquery-sd15-500m": {"outputs.image.projector": 309_712_128, "llm": 494_032_768},
    "metaquery-sd15-7b": {"outputs.image.projector": 4_936_448_256, "llm.new_tokens": 2 * 77 * 3584},
    # One connector draws and films; each has 77 rows of its own.
    "metaquery-films-500m": {"outputs.image.projector": 309_712_128, "llm.new_tokens": 2 * 2 * 77 * 896},
    "metaquery-films-7b": {"outputs.image.projector": 4_936_448_256, "llm.new_tokens": 2 * 2 * 77 * 3584},
    "uniworld-mlp": {"outputs.image.projector": 3584 * 3072 + 3072 + 3072 * 1024 + 1024, "llm.new_tokens": 2 * 3584},
    # The card: 0.9B, which counts the tied table of words (136M) twice.
    "internvl-2.5-1b": {"inputs.image.encoder": 304_012_288, "llm": 494_032_768},
    "internvl-mpo-1b": {"inputs.image.encoder": 304_012_288, "llm": 494_032_768},
    "llava-rlhf-13b": {"llm": LLAMA_13B, "llm.lora": 40 * 64 * (4 * (5120 + 5120) + 3 * (5120 + 13_824))},
    "rlhf-v-13b": {"llm": LLAMA_13B, "inputs.image.projector": MLP_13B},
    "rlaif-v-7b": {"llm": LLAMA_7B, "inputs.image.projector": MLP_7B},
    # Phi-2's card: 2.7B. Adapters on all linear layers of each of its 32 blocks.
    "mdpo-3b": {"llm": 2_779_683_840, "llm.lora": 32 * 64 * (4 * (2560 + 2560) + 2 * (2560 + 10240))},
}
"""Recipe -> sizes of some of its groups."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name):
    groups = skeleton(load(name)).trainable_groups()
    counts = {group: sum(p.numel() for _, p in members) for group, members in groups.items()}
    assert counts | PUBLISHED[name] == counts
    assert all(p.is_meta for members in groups.values() for _, p in members)


LEARNING = {
    "llava-1.5-7b-lora": {"pretrain": MLP_7B},
    # Section 4.1 of the paper: 188 and 107 million.
    "blip-2-opt-2.7b": {"represent": 186_702_654, "generate": 107_130_880},
    "minigpt-4-13b": {"pretrain": 768 * 5120 + 5120, "instruct": 768 * 5120 + 5120},
    "pandagpt-7b": {"instruct": 37_752_832},
    # What learns from pairs is all but the eyes, or adapters alone.
    "rlaif-v-7b": {"prefer": LLAMA_7B + MLP_7B},
    "mdpo-3b": {"prefer": 94_371_840},
    "flamingo-open-9b": {"pretrain": 63_019_008 + 1_115_824_144},
}
"""Recipe -> of what learns in each of some stages."""


@pytest.mark.parametrize("name", LEARNING)
def test_what_learns_in_a_stage_is_counted_without_weights(name):
    found = sizes(load(name))
    assert found.trainable | LEARNING[name] == found.trainable
    assert found.total == sum(found.parts.values())


def test_a_published_size_of_a_stage_that_is_not_there_is_refused():
    with pytest.raises(RecipeError, match=r"published.trainable.pretrian: unknown stage 'pretrian'; did you mean 'pre"):
        load("llava", ["published.trainable={pretrian: 1}"])


@pytest.mark.parametrize("name", recipe_names())
def test_where_each_value_comes_from_is_told(name):
    data = as_data(name)
    if "paper" not in data:
        return  # a demonstration: its values are its own
    told = [tuple(path.split(".")) for path in data["provenance"]]
    untold = {leaf for part in ("inputs", "llm", "outputs", "stages") for leaf in _leaves(data.get(part, {}), part)}
    assert [leaf for leaf in sorted(untold) if not any(tuple(leaf.split("."))[: len(p)] == p for p in told)] == []


def _leaves(value: object, path: str) -> list[str]:
    """Paths of single values; the names of stages are no settings."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for key, child in inner for leaf in _leaves(child, f"{path}.{key}")]
    settled = isinstance(value, dict | list) or value is None or path.endswith(".name")
    return found or ([] if settled else [path])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("name", recipe_names())
def test_every_stage_teaches_exactly_what_it_names(name, folder):
    recipe, run = _trained(json.dumps(_tiny(name)), folder)
    for stage in recipe.stages:
        lines = (run / stage.name / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2]
        assert _reached(run / stage.name, stage.train) == dict.fromkeys(stage.train, True)
    assert load(run) == recipe


MAKING = [name for name in recipe_names() if load(name).outputs]


@pytest.mark.parametrize("name", MAKING)
def test_every_modality_that_goes_out_is_made_and_written(name, folder):
    recipe, run = _trained(json.dumps(_tiny(name)), folder)
    system = System.load(run / "model")
    head = system.model.get_output_embeddings()
    for modality in recipe.outputs:
        # Two steps do not teach what to say: the first word is put into its mouth.
        spoken = torch.tensor(system.model.config.signals[modality][:1])
        hook = head.register_forward_hook(lambda module, args, logits, said=spoken: logits.index_fill(-1, said, 1e4))
        answer = Session(system).ask(
            "Make something.", max_media=1, max_new_tokens=len(system.model.config.signals[modality])
        )
        hook.remove()
        assert answer.notes == () and [kind for kind, _ in answer.media] == [modality]
        (path,) = answer.save_media(run / "media")
        assert modalities.get(modality).open(path).read() is not None


def _tiny(name: str) -> dict[str, Any]:
    return tiny_form(load(name)) | {"name": "tiny", "published": None}


@cache
def _trained(tiny: str, folder: Path) -> tuple[Recipe, Path]:
    """A run of two steps a stage; sizes of one system most often have the same tiny form, which trains once."""
    data = json.loads(tiny)
    for stage in data["stages"]:
        seen = sum(len(source.get("shows", "")) * len(source.get("tasks", "")) for source in stage["data"])
        stage |= {"steps": 2, "batch": max(4, 3 * seen), "warmup": 0, "precision": "float32"}
    recipe, run = Recipe.model_validate(data), folder / str(len([*folder.iterdir()]))
    train(recipe, run)
    return recipe, run


def _reached(stage: Path, train: dict[str, object]) -> dict[str | None, bool]:
    """Group -> whether a gradient has reached it: its running mean (AdamW) or mean square (Adafactor) is not zero."""
    (checkpoint,) = (stage / "checkpoints").glob("*/optimizer.safetensors")
    found: dict[str | None, bool] = {}
    for name, value in load_file(checkpoint).items():
        parameter, _, kept = name.rpartition("/")
        if kept in ("exp_avg", "row_var", "variance"):
            group = inner_name(parameter).within(train)
            found[group] = found.get(group, False) or bool(torch.any(value))
    return found
