"""LoRA that was trained elsewhere: folders of peft, and files of systems that hold it."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from modalink.errors import PartError
from modalink.model import compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama

TARGETS = ("q_proj", "o_proj")


@pytest.fixture
def adapted(tmp_path):
    """An LLM with adapters of peft that do something, and the folders of both."""
    base = AutoModelForCausalLM.from_pretrained(tiny_llama(tmp_path / "llm"))
    model = get_peft_model(base, LoraConfig(r=2, lora_alpha=6, target_modules=[*TARGETS])).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    model.save_pretrained(tmp_path / "adapter")
    return model, tmp_path


def spec_of(folder, checkpoint, **lora):
    tiny_clip_vision(folder / "vision")
    settings = {"rank": 2, "alpha": 6, "targets": TARGETS, "checkpoint": str(checkpoint)} | lora
    encoder = {"kind": "vision", "checkpoint": str(folder / "vision")}
    return SystemSpec.model_validate(
        {
            "inputs": {"image": {"encoder": encoder, "projector": {"kind": "linear"}}},
            "llm": {"checkpoint": str(folder / "llm"), "lora": settings},
            "prompt": {"template": "vicuna-v1.1"},
        }
    )


def llm(folder, checkpoint, **lora):
    return spec_of(folder, checkpoint, **lora).llm.build()


@torch.no_grad()
def logits(model):
    return model(input_ids=torch.arange(9)[None], use_cache=False).logits


def test_a_folder_of_peft_gives_the_same_llm(adapted):
    model, folder = adapted
    assert torch.allclose(logits(llm(folder, folder / "adapter")), logits(model), atol=1e-5)


@pytest.mark.parametrize("default", [".default", ""], ids=["today's peft", "peft of 2023"])
def test_adapters_within_a_systems_file(adapted, default):
    """As PandaGPT's and MiniGPT-v2's, beside their map to the LLM."""
    model, folder = adapted
    state = {f"llama_model.{name}": tensor for name, tensor in model.state_dict().items() if ".lora_" in name}
    assert "llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight" in state
    held = {name.replace(".default", default): t for name, t in state.items()} | {"llama_proj.weight": torch.ones(3, 2)}
    (folder / "pandagpt").mkdir()
    torch.save(held, folder / "pandagpt/pytorch_model.pt")
    assert torch.allclose(logits(llm(folder, folder / "pandagpt")), logits(model), atol=1e-5)


def test_a_saved_system_has_them_as_its_own(adapted):
    model, folder = adapted
    system = compose(spec_of(folder, folder / "adapter"))
    system.save(folder / "saved")
    settings = json.loads((folder / "saved/config.json").read_text())["spec"]["llm"]["lora"]
    assert settings["checkpoint"] is None and settings["targets"] == [*TARGETS]
    for file in (folder / "adapter").iterdir():
        file.unlink()
    again = type(system).load(folder / "saved")
    assert torch.allclose(logits(again.model.language_model)[..., :300], logits(model)[..., :300], atol=1e-5)


def change(folder, **settings):
    path = folder / "adapter/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize(
    ("settings", "lora", "says"),
    [
        ({}, {"rank": 4}, "was trained with rank 2, found 4; set rank"),
        ({}, {"alpha": 4}, "was trained with alpha 6, found 4; set alpha"),
        ({}, {"targets": ("q_proj",)}, "holds adapters of layers that have none: model.layers.0.self_attn.o_proj"),
        ({}, {"targets": (*TARGETS, "up_proj")}, "lacks adapters of layers that have some: model.layers.0.mlp.up_proj"),
        ({"use_rslora": True}, {}, "found use_rslora True in adapter_config.json, needed plain LoRA"),
        ({"peft_type": "IA3"}, {}, "found adapters of type IA3, needed LORA"),
    ],
)
def test_what_does_not_fit_is_refused(adapted, settings, lora, says):
    _, folder = adapted
    change(folder, **settings)
    with pytest.raises(PartError, match=says):
        llm(folder, folder / "adapter", **lora)


def test_a_file_without_settings_tells_its_rank_by_shape(adapted):
    _, folder = adapted
    (folder / "adapter/adapter_config.json").unlink()
    with pytest.raises(PartError, match="its adapters have rank 2, found 3; set rank: 2"):
        llm(folder, folder / "adapter", rank=3)
    with pytest.raises(PartError, match=r"vision: found no LoRA, needed tensors as base_model.model"):
        llm(folder, folder / "vision")
