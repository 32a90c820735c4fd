from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from torch import nn

from modalink import hub
from modalink.errors import PartError
from modalink.hub.architectures import component
from modalink.testing.checkpoints import tiny_llama, tiny_stable_diffusion


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("reference", "published"),
    [
        ("lmsys/vicuna-7b-v1.5", 6_738_415_616),
        ("meta-llama/Llama-2-13b-chat-hf", 13_015_864_320),
        ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("facebook/opt-2.7b", 2_651_596_800),
        ("facebook/opt-6.7b", 6_658_473_984),
    ],
)
def test_known_language_models_have_their_published_size(reference: str, published: int) -> None:
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(hub.architecture(reference))
    assert parameters(model) == published


def test_flan_t5_has_its_published_size_but_for_the_head() -> None:
    """transformers 5 ties T5's head when it builds one; the released file brings 32128 x 2048 of its own."""
    with torch.device("meta"):
        model = transformers.AutoModelForSeq2SeqLM.from_config(hub.architecture("google/flan-t5-xl"))
    assert parameters(model) == 2_849_757_184 - 32128 * 2048


@pytest.mark.parametrize(
    ("reference", "published"),
    [
        ("openai/clip-vit-large-patch14", 427_616_513),
        ("google/siglip-base-patch16-224", 203_155_970),
        ("facebook/dinov2-giant", 1_136_480_768),
        ("google/vit-base-patch16-224-in21k", 86_389_248),
        ("laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", 2_539_567_105),
        ("google/siglip2-base-patch16-naflex", 375_234_050),
        ("google/siglip2-so400m-patch16-naflex", 1_135_670_962),
        ("Qwen/Qwen2-VL-7B-Instruct", 8_291_375_616),
        ("Qwen/Qwen2.5-VL-3B-Instruct", 3_754_622_976),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656),
        ("Salesforce/blip2-opt-2.7b", 3_744_679_936),
        ("openai/whisper-small", 241_734_912),
        ("openai/whisper-large-v2", 1_543_304_960),
        ("openai/whisper-large-v3", 1_543_490_560),
    ],
)
def test_known_towers_have_their_published_size(reference: str, published: int) -> None:
    with torch.device("meta"):
        config = hub.architecture(reference)
        auto = transformers.AutoModelForImageTextToText if "_vl" in config.model_type else transformers.AutoModel
        model = auto.from_config(config)
        if model.config.model_type == "blip-2":
            model = transformers.Blip2ForConditionalGeneration(model.config)
    assert parameters(model) == published


@pytest.mark.parametrize(
    ("reference", "published"),
    [
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", (859_520_964, 83_653_863, 123_060_480)),
        ("stabilityai/stable-diffusion-2-1-base", (865_910_724, 83_653_863, 340_387_840)),
    ],
)
def test_known_pipelines_have_their_published_sizes(reference: str, published: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel.from_config(component(reference, "unet"))
        vae = diffusers.AutoencoderKL.from_config(component(reference, "vae"))
        text = transformers.AutoModel.from_config(
            transformers.AutoConfig.for_model(**component(reference, "text_encoder"))
        )
    assert (parameters(unet), parameters(vae), parameters(text)) == published


def test_timm_names_need_no_network() -> None:
    config = hub.architecture("timm/nfnet_l0.ra2_in1k")
    assert config.architecture == "nfnet_l0"
    assert config.pretrained_cfg["mean"] == (0.485, 0.456, 0.406)
    with pytest.raises(PartError, match="no model 'nfnet_f66'; near: nfnet_f0"):
        hub.architecture("timm/nfnet_f66")
    with pytest.raises(PartError, match=r"knows no such weights; known: nfnet_l0\.ra2_in1k"):
        hub.architecture("timm/nfnet_l0.other")


def test_a_folder_is_read(tmp_path: Path) -> None:
    assert hub.architecture(str(tiny_llama(tmp_path))).hidden_size == 32


def test_a_pipelines_subfolder_is_read(tmp_path: Path) -> None:
    assert component(str(tiny_stable_diffusion(tmp_path)), "unet")["cross_attention_dim"] == 32
    with pytest.raises(PartError, match=r"vocoder/config\.json: there is no such file"):
        component(str(tmp_path), "vocoder")


def test_a_folder_of_one_model_is_no_pipeline(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"found no model_index\.json in .*, needed a diffusion pipeline"):
        component(str(tiny_llama(tmp_path)), "unet")


def test_unreadable_configurations_say_why(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"found no config\.json"):
        hub.architecture(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(PartError, match="nonsense"):
        hub.architecture(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(PartError, match=r"config\.json: is no JSON: it ends at line 1"):
        hub.architecture(str(tmp_path))
