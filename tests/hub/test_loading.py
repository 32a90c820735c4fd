from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM, LlamaModel

from modalink import hub
from modalink.errors import PartError
from modalink.testing.checkpoints import tiny_llama, tiny_stable_diffusion


def change(file: Path, drop: str | None = None, add: str | None = None, dtype: torch.dtype = torch.float32) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(file).items() if name != drop}
    if add is not None:
        tensors[add] = torch.zeros(2)
    save_file(tensors, file, metadata={"format": "pt"})


def test_weights_are_those_of_the_file(tmp_path: Path) -> None:
    model = hub.load(AutoModelForCausalLM, str(tiny_llama(tmp_path)))
    saved = load_file(tmp_path / "model.safetensors")
    assert not model.training
    assert saved.keys() == model.state_dict().keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in model.state_dict().items())


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    change(tiny_llama(tmp_path) / "model.safetensors", drop="model.norm.weight")
    with pytest.raises(PartError, match=r"lacks parameters that the model needs: model\.norm\.weight; "):
        hub.load(AutoModelForCausalLM, str(tmp_path))
    hub.load(AutoModelForCausalLM, str(tmp_path), allow_missing=[r"^model\.norm"])


def test_an_unused_tensor_is_named(tmp_path: Path) -> None:
    change(tiny_llama(tmp_path) / "model.safetensors", add="extra")
    with pytest.raises(PartError, match=r"holds tensors that the model has not: extra; "):
        hub.load(AutoModelForCausalLM, str(tmp_path))
    hub.load(AutoModelForCausalLM, str(tmp_path), allow_unexpected=["^extra$"])


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path)
    with pytest.raises(PartError, match=r"lm_head\.weight"):
        hub.load(LlamaModel, str(folder))
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"hidden_size": 32', '"hidden_size": 64'))
    with pytest.raises(PartError, match="cannot be read"):
        hub.load(LlamaForCausalLM, str(folder))


def test_damaged_and_absent_files_are_refused(tmp_path: Path) -> None:
    file = tiny_llama(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(PartError, match="LlamaForCausalLM cannot be read"):
        hub.load(LlamaForCausalLM, str(tmp_path), dtype="float32")
    with pytest.raises(PartError, match="cannot be read"):
        hub.load(LlamaForCausalLM, str(tmp_path))
    file.unlink()
    with pytest.raises(PartError, match=r"model\.safetensors"):
        hub.load(LlamaForCausalLM, str(tmp_path))


@pytest.mark.parametrize("saved", [torch.float32, torch.bfloat16])
def test_auto_precision_is_as_saved(tmp_path: Path, saved: torch.dtype) -> None:
    """Also for diffusers, which by itself reads everything as float32."""
    change(tiny_llama(tmp_path / "llm") / "model.safetensors", dtype=saved)
    weights = tiny_stable_diffusion(tmp_path / "sd") / "unet" / "diffusion_pytorch_model.safetensors"
    change(weights, dtype=saved)
    assert hub.load(LlamaForCausalLM, str(tmp_path / "llm")).dtype == saved
    assert hub.load(UNet2DConditionModel, str(tmp_path / "sd"), subfolder="unet").dtype == saved
    unet = hub.load(UNet2DConditionModel, str(tmp_path / "sd"), subfolder="unet", dtype="float16")
    assert unet.dtype == torch.float16


def test_pipelines_load_strictly_too(tmp_path: Path) -> None:
    weights = tiny_stable_diffusion(tmp_path) / "unet" / "diffusion_pytorch_model.safetensors"
    change(weights, drop="conv_in.bias", add="extra")
    with pytest.raises(PartError, match=r"/unet: the checkpoint lacks .* conv_in\.bias"):
        hub.load(UNet2DConditionModel, str(tmp_path), subfolder="unet")
