import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from transformers import BeitModel, Dinov2Model, ViTModel

from modalink.encoders import _towers
from modalink.encoders.vision import VisionConfig
from modalink.errors import MissingExtraError, PartError
from modalink.kinds import parse
from modalink.testing import check_encoder
from modalink.testing.checkpoints import (
    tiny_clip_vision,
    tiny_eva_g,
    tiny_llama,
    tiny_siglip_vision,
    tiny_timm,
    tiny_vision,
)

NFNET: dict[str, Any] = {
    "depths": (1, 1, 1, 1),
    "channels": (32, 32, 64, 64),
    "num_features": 24,
    "group_size": 8,
    "stem_chs": 16,
}
EVA: dict[str, Any] = {"img_size": 28, "depth": 3, "embed_dim": 32, "num_heads": 2}


def tower(kind: str, folder: Path) -> Path:
    match kind:
        case "clip":
            return tiny_clip_vision(folder)
        case "siglip":
            return tiny_siglip_vision(folder)
        case "eva-g":
            return tiny_eva_g(folder)
        case "vit":
            return tiny_vision(folder, ViTModel)
        case "dinov2":
            return tiny_vision(folder, Dinov2Model)
        case "beit":
            return tiny_vision(folder, BeitModel)
        case "timm-eva":
            return tiny_timm(folder, "eva02_tiny_patch14_224", **EVA)
    return tiny_timm(folder, "nfnet_l0", **NFNET)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("clip", {}),
        ("siglip", {"layer": -1}),
        ("eva-g", {"layer": "output", "keep_cls": True}),
        ("dinov2", {"image_size": 48}),
        ("timm-eva", {"keep_cls": True}),
        ("clip", {"layer": (-2, -1)}),
        ("nfnet", {"layer": "output", "image_size": 64}),
    ],
)
def test_it_keeps_the_promises_of_its_role(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    check_encoder(VisionConfig(checkpoint=str(tower(kind, tmp_path)), **settings))


@pytest.mark.parametrize("kind", ["clip", "siglip", "eva-g", "vit", "dinov2", "beit"])
def test_features_are_the_hidden_states_of_transformers(tmp_path: Path, kind: str) -> None:
    """Measured difference 0.0, at every layer, with and without the class token."""
    config = VisionConfig(checkpoint=str(tower(kind, tmp_path)))
    images = torch.randn(2, 3, 32, 32)
    encoder = config.build()
    reference = type(encoder.tower).from_pretrained(tmp_path)
    with torch.no_grad():
        expected = reference(images, output_hidden_states=True)
        first = 0 if kind == "siglip" else 1
        for layer, state in enumerate(expected.hidden_states):
            assert torch.equal(config.replace(layer=layer).build().encode(images), state[:, first:])
        assert torch.equal(encoder.encode(images), expected.hidden_states[-2][:, first:])
        assert torch.equal(config.replace(layer="output").build().encode(images), expected.last_hidden_state[:, first:])
        if first:
            assert torch.equal(config.replace(keep_cls=True).build().encode(images), expected.hidden_states[-2])


def test_timm_layers_are_counted_as_those_of_transformers(tmp_path: Path) -> None:
    config = VisionConfig(checkpoint=str(tower("timm-eva", tmp_path)), keep_cls=True)
    encoder = config.build()
    images = torch.randn(2, 3, 28, 28)
    states: list[torch.Tensor] = []
    for block in encoder.tower.timm_model.blocks:
        block.register_forward_hook(lambda _, __, output: states.append(output))
    with torch.no_grad():
        features = encoder.encode(images)
        assert torch.equal(features, states[-2])
        assert torch.equal(config.replace(layer=1).build().encode(images), states[0])
        last = encoder.tower.timm_model.forward_features(images)
        assert torch.equal(config.replace(layer="output").build().encode(images), last)


@pytest.mark.parametrize("kind", ["clip", "timm-eva"])
def test_several_layers_stand_side_by_side(tmp_path: Path, kind: str) -> None:
    """In the order in which they are named, and one of them twice if wanted."""
    config = VisionConfig(checkpoint=str(tower(kind, tmp_path)), layer=(3, -2, 1, 3), keep_cls=True)
    encoder = config.build()
    images = torch.randn(2, *encoder.unit_shape)
    with torch.no_grad():
        alone = [config.replace(layer=layer).build().encode(images) for layer in (3, 2, 1, 3)]
        assert torch.equal(encoder.encode(images), torch.cat(alone, dim=-1))
    assert encoder.dim == 4 * alone[0].shape[-1]
    assert not any(name in encoder.unread for name, _ in encoder.tower.named_parameters() if "layers.2" in name)


def test_a_feature_map_is_read_row_by_row(tmp_path: Path) -> None:
    encoder = VisionConfig(checkpoint=str(tower("nfnet", tmp_path)), layer="output", image_size=96).build()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        features, last = encoder.encode(images), encoder.tower(images).last_hidden_state
    assert (encoder.grid, encoder.tokens_per_block, encoder.dim) == ((3, 3), 9, 24)
    assert torch.equal(features[:, 5], last[:, :, 1, 2])


@pytest.mark.parametrize("kind", ["clip", "siglip", "eva-g", "vit", "dinov2"])
def test_positions_are_interpolated_to_another_side_only(tmp_path: Path, kind: str) -> None:
    config = VisionConfig(checkpoint=str(tower(kind, tmp_path)), layer="output")
    native, larger = config.build(), config.replace(image_size=48).build()
    options = {} if kind == "dinov2" else {"interpolate_pos_encoding": True}
    with torch.no_grad():
        same = config.replace(image_size=32).build()
        images = torch.randn(2, 3, 32, 32)
        assert torch.equal(same.encode(images), native.encode(images))
        images = torch.randn(2, 3, 48, 48)
        expected = larger.tower(images, **options).last_hidden_state
        assert torch.equal(larger.encode(images), expected[:, expected.shape[1] - 36 :])
    assert (native.tokens_per_block, native.grid) == (16, (4, 4))
    assert (larger.tokens_per_block, larger.grid) == (36, (6, 6))


def test_timm_positions_are_interpolated_too(tmp_path: Path) -> None:
    config = VisionConfig(checkpoint=str(tower("timm-eva", tmp_path)))
    images = torch.randn(1, 3, 28, 28)
    with torch.no_grad():
        assert torch.equal(config.replace(image_size=28).build().encode(images), config.build().encode(images))
    assert config.replace(image_size=56).build().grid == (4, 4)


@pytest.mark.parametrize(
    "architecture", ["eva02_tiny_patch14_224", "eva_giant_patch14_clip_224", "vit_gigantic_patch14_clip_224"]
)
def test_timm_positions_are_those_of_a_tower_that_timm_builds_at_that_side(tmp_path: Path, architecture: str) -> None:
    """Which timm resamples when it loads weights; measured difference 0.0."""
    place = tiny_timm(tmp_path, architecture, **EVA)
    encoder = VisionConfig(checkpoint=str(place), image_size=56, layer="output").build()
    tower = encoder.tower.timm_model
    larger = timm.create_model(architecture, num_classes=0, **(EVA | {"img_size": 56})).eval()
    larger.load_state_dict(sys.modules[type(tower).__module__].checkpoint_filter_fn(tower.state_dict(), larger))
    images = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        expected = larger.forward_features(images)[:, larger.num_prefix_tokens :]
        assert torch.equal(encoder.encode(images), expected)


@pytest.mark.parametrize("kind", ["clip", "siglip", "eva-g"])
def test_towers_of_224_px_read_448_px_as_transformers_interpolates(tmp_path: Path, kind: str) -> None:
    """Qwen-VL (arXiv 2308.12966) and MiniGPT-v2 (2310.09478); measured difference 0.0."""
    make = {"clip": tiny_clip_vision, "siglip": tiny_siglip_vision, "eva-g": tiny_eva_g}[kind]
    place = make(tmp_path, image_size=224, patch_size=14)
    encoder = VisionConfig(checkpoint=str(place), image_size=448, layer="output").build()
    images, reference = torch.randn(1, 3, 448, 448), type(encoder.tower).from_pretrained(place)
    with torch.no_grad():
        expected = reference(images, interpolate_pos_encoding=True).last_hidden_state
        assert torch.equal(encoder.encode(images), expected[:, expected.shape[1] - 1024 :])


def test_it_is_found_by_its_name() -> None:
    config = parse("modalink.encoders", {"kind": "vision", "checkpoint": "zoo:vision", "layer": -1})
    assert config == VisionConfig(checkpoint="zoo:vision", layer=-1)


def test_without_timm_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tower("nfnet", tmp_path)
    monkeypatch.setattr(_towers, "is_timm_available", lambda: False)
    monkeypatch.setitem(sys.modules, "timm", None)
    for reference in (str(folder), "timm/nfnet_l0"):
        with pytest.raises(MissingExtraError, match=r"pip install 'modalink\[timm\]'"):
            VisionConfig(checkpoint=reference, layer="output").build()


def test_a_tower_is_found_in_a_whole_models_checkpoint(tmp_path: Path) -> None:
    """Their folders have no image processor: the family's serves."""
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision |= {"image_size": 32, "patch_size": 8}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    text |= {"vocab_size": 50}
    models = {
        "clip": transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision)),
        "blip2": transformers.Blip2ForConditionalGeneration(
            transformers.Blip2Config(
                vision_config=vision,
                qformer_config={**text, "encoder_hidden_size": 32},
                text_config={**text, "model_type": "opt", "ffn_dim": 64, "word_embed_proj_dim": 32},
            )
        ),
        "llava": transformers.LlavaForConditionalGeneration(
            transformers.LlavaConfig(
                vision_config={**vision, "model_type": "clip_vision_model"},
                text_config={**text, "model_type": "llama"},
            )
        ),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        whole = model.model.vision_tower if name == "llava" else model.vision_model
        found = VisionConfig(checkpoint=str(tmp_path / name), layer="output").build()
        tensors = found.tower.state_dict()
        expected = {key: value for key, value in whole.state_dict().items() if "position_ids" not in key}
        assert tensors.keys() == expected.keys(), name
        assert all(torch.equal(tensors[key], expected[key]) for key in expected), name


def test_a_folder_as_timm_publishes_it_loads(tmp_path: Path) -> None:
    """Names without the wrapper's prefix, and a classifier that nothing reads."""
    sizes = {"img_size": 32, "depth": 2, "embed_dim": 32, "num_heads": 2, "patch_size": 8}
    published = timm.create_model("vit_tiny_patch16_224", num_classes=10, **sizes).eval()
    save_file(published.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    facts = {**published.pretrained_cfg, "input_size": [3, 32, 32], "num_classes": 10}
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 10, "model_args": sizes, "pretrained_cfg": facts}
    (tmp_path / "config.json").write_text(json.dumps(config))
    encoder = VisionConfig(checkpoint=str(tmp_path), layer="output").build()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(encoder.encode(images), published.forward_features(images)[:, 1:])


@pytest.mark.parametrize(
    ("settings", "parameters", "tokens", "dim", "grid"),
    [
        ({"checkpoint": "openai/clip-vit-large-patch14-336"}, 303_507_456, 576, 1024, (24, 24)),
        ({"checkpoint": "openai/clip-vit-large-patch14", "image_size": 448}, 303_179_776, 1024, 1024, (32, 32)),
        ({"checkpoint": "google/siglip-so400m-patch14-384"}, 428_225_600, 729, 1152, (27, 27)),
        ({"checkpoint": "facebook/dinov2-large"}, 304_368_640, 256, 1024, (16, 16)),
        (
            {"checkpoint": "Salesforce/blip2-flan-t5-xl", "layer": "output", "keep_cls": True},
            985_952_256,
            257,
            1408,
            None,
        ),
        ({"checkpoint": "timm/nfnet_f6", "layer": "output", "image_size": 320}, 435_286_032, 100, 3072, (10, 10)),
        ({"checkpoint": "timm/eva02_base_patch14_448"}, 86_348_544, 1024, 768, (32, 32)),
        ({"checkpoint": "timm/eva02_large_patch14_clip_336.merged2b"}, 303_645_632, 576, 1024, (24, 24)),
        (
            {"checkpoint": "timm/eva_giant_patch14_clip_224.laion400m", "keep_cls": True},
            1_011_146_112,
            257,
            1408,
            None,
        ),
        (
            {"checkpoint": "timm/eva02_enormous_patch14_clip_224.laion2b_plus", "image_size": 490},
            4_348_720_896,
            1225,
            1792,
            (35, 35),
        ),
        (
            {"checkpoint": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k", "layer": -1, "image_size": 448},
            1_842_777_344,
            1024,
            1664,
            (32, 32),
        ),
        (
            {"checkpoint": "Salesforce/blip2-flan-t5-xl", "layer": -1, "image_size": 448},
            985_952_256,
            1024,
            1408,
            (32, 32),
        ),
        (
            {"checkpoint": "timm/dm_nfnet_f6.dm_in1k", "layer": "output", "image_size": 320},
            435_286_116,
            100,
            3072,
            (10, 10),
        ),
    ],
)
def test_published_towers_build_without_network_or_memory(
    settings: dict[str, Any], parameters: int, tokens: int, dim: int, grid: tuple[int, int] | None
) -> None:
    config = VisionConfig(**settings)
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters
    assert (encoder.tokens_per_block, encoder.dim, encoder.grid) == (tokens, dim, grid)
    assert config.preprocessor().side == encoder.side


def test_precision_is_the_one_asked_for(tmp_path: Path) -> None:
    config = VisionConfig(checkpoint=str(tower("clip", tmp_path)), dtype="bfloat16")
    for encoder in (config.build(), config.build(weights=False)):
        assert encoder.encode(torch.randn(1, 3, 32, 32)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        ("clip", {"layer": 4}, "found layer 4, needed 0 to 3, or -4 to -1 from the end, or output"),
        ("clip", {"layer": -5}, "found layer -5"),
        ("timm-eva", {"layer": 0}, "found layer 0, needed 1 to 3, or -3 to -1"),
        ("nfnet", {}, "only the last feature map can be read; set layer: output"),
        ("clip", {"layer": (-1, 4)}, "found layer 4, needed 0 to 3"),
        ("siglip", {"keep_cls": True}, "has no class token; set keep_cls: false"),
        ("nfnet", {"layer": "output", "keep_cls": True}, "has no class token"),
    ],
)
def test_what_a_tower_cannot_give_is_refused(tmp_path: Path, kind: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(PartError, match=says):
        VisionConfig(checkpoint=str(tower(kind, tmp_path)), **settings).build(weights=False)


def test_a_fixed_side_is_refused_another() -> None:
    with torch.device("meta"), pytest.raises(PartError, match="cannot read images of 320 px: Input height"):
        VisionConfig(checkpoint="timm/beit_base_patch16_224", image_size=320).build(weights=False)


def test_images_of_another_side_are_refused(tmp_path: Path) -> None:
    encoder = VisionConfig(checkpoint=str(tower("clip", tmp_path))).build()
    with pytest.raises(PartError, match=r"found images of \(40, 40\) px, needed \(32, 32\)"):
        encoder.encode(torch.randn(1, 3, 40, 40))


def test_a_checkpoint_without_a_tower_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="found a checkpoint of type 'llama', needed one with a vision tower"):
        VisionConfig(checkpoint=str(tiny_llama(tmp_path))).build()
    with pytest.raises(PartError, match="diffusion pipeline"):
        VisionConfig(checkpoint="stabilityai/stable-diffusion-2-1-base").build()


def test_an_unreachable_tower_is_one_clear_line() -> None:
    with pytest.raises(PartError) as caught:
        VisionConfig(checkpoint="openai/clip-vit-large-patch14-336").build()
    assert str(caught.value).startswith("openai/clip-vit-large-patch14-336: it is not in the local cache")
    assert "\n" not in str(caught.value)


MONSTROUS = [
    *({"num_hidden_layers": n} for n in (10**7, -3)),
    *({"image_size": n} for n in (10**6, 0, -32, [10**6, 10**6])),
    *({"hidden_size": n} for n in (10**9, 0, -64, 10**5 + 1)),
    *({"patch_size": n} for n in (0, -8, 10**9)),
    {"num_attention_heads": 10**7},
]


@pytest.mark.parametrize("settings", MONSTROUS, ids=str)
def test_monstrous_settings_are_refused_in_words(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = tower("clip", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    for weights in (False, True):
        with pytest.raises(PartError) as caught, torch.device("meta"):
            VisionConfig(checkpoint=str(folder)).build(weights=weights)
        assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("swin", {"depths": [10**6, 2, 2, 2]}),
        ("swinv2", {"depths": [500, 500, 500, 500]}),
        ("convnext", {"depths": [3, 3, 10**5, 3]}),
        ("regnet", {"hidden_sizes": [96, 10**9, 384, 768]}),
        ("resnet", {"depths": [900] * 4}),
        ("poolformer", {"patch_sizes": [0, 3, 3, 3]}),
        ("timm_wrapper", {"architecture": "vit_tiny_patch16_224", "model_args": {"depth": 10**6}}),
        ("timm_wrapper", {"architecture": "convnext_tiny", "model_args": {"depths": [3, 3, 10**6, 3]}}),
        ("timm_wrapper", {"architecture": "resnet18", "model_args": {"layers": [2, 2, 10**5, 2]}}),
    ],
    ids=str,
)
def test_monstrous_pyramids_are_refused_before_they_are_built(
    tmp_path: Path, model_type: str, settings: dict[str, Any]
) -> None:
    size = {"height": 64, "width": 64}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **settings}))
    processor = {"image_processor_type": "ViTImageProcessor", "size": size}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(PartError, match=re.escape(str(tmp_path))), torch.device("meta"):
        VisionConfig(checkpoint=str(tmp_path), layer="output").build(weights=False)
