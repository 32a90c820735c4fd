"""ImageBind: one encoder for several modalities, its released names and sizes, and what it reads of media.

That its numbers are the original's is held by `docs/tools/parity/encoders/imagebind.py`.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer

from modalink import hub, modalities
from modalink.encoders._imagebind import Architecture
from modalink.encoders.frames import FramesConfig
from modalink.encoders.imagebind import ImageBindConfig
from modalink.encoders.several import SeveralConfig
from modalink.encoders.tiles import TilesConfig
from modalink.errors import PartError, RecipeError
from modalink.kinds import parse
from modalink.modalities.sentence import Sentence
from modalink.ragged import Layout, Ragged
from modalink.testing import TinyEncoderConfig, check_encoder
from modalink.testing.checkpoints import tiny_imagebind, tiny_llama
from modalink.testing.tokenizers import tiny_clip_tokenizer

HUGE = {
    "vision": 632_829_440, "text": 354_032_640, "audio": 86_235_648, "depth": 21_871_872, "thermal": 86_211_072,
    "imu": 19_600_384,
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_imagebind(tmp_path_factory.mktemp("imagebind"))


def config(checkpoint: Path, *names: str, **settings: Any) -> ImageBindConfig:
    few = {"video_clips": 2, "video_crops": 1} | settings
    return ImageBindConfig(checkpoint=str(checkpoint), **({"modalities": names} if names else {}), **few)


@pytest.mark.parametrize(
    ("modality", "settings"),
    [
        ("image", {}),
        ("image", {"features": "trunk", "keep_cls": False}),
        ("video", {"average": False}),
        ("audio", {}),
        ("audio", {"features": "trunk"}),
        ("audio", {"features": "class"}),
        ("audio", {"features": "class", "average": False}),
        ("sentence", {}),
    ],
)
def test_it_keeps_the_promises_of_its_role(checkpoint: Path, modality: str, settings: dict[str, Any]) -> None:
    check_encoder(config(checkpoint, modality, **settings))


@pytest.mark.parametrize(
    ("modality", "media"),
    [
        ("depth", [np.full((30, 40), 2.0, np.float32), np.ones((60, 50), np.float32)]),
        ("thermal", [modalities.get("image").example(number) for number in range(2)]),
        ("imu", [np.random.default_rng(number).normal(size=(90 + number, 6)) for number in range(2)]),
    ],
)
def test_it_reads_the_sensors_that_a_package_brings(checkpoint: Path, modality: str, media: list[Any]) -> None:
    check_encoder(config(checkpoint, modality), media, from_files=False)


def test_modalities_share_the_towers(checkpoint: Path) -> None:
    encoder = config(checkpoint).build()
    assert list(encoder.towers) == ["vision", "audio"]
    image, video = encoder.for_modality("image"), encoder.for_modality("video")
    assert image.towers["vision"] is video.towers["vision"] is encoder.towers["vision"]
    assert [encoder.for_modality(m).unit_shape for m in ("image", "video", "audio")] == [
        (3, 224, 224), (3, 2, 224, 224), (1, 128, 204)
    ]  # fmt: skip


def test_only_the_towers_that_are_needed_are_held(checkpoint: Path) -> None:
    assert list(config(checkpoint, "audio").build().towers) == ["audio"]
    assert list(config(checkpoint).for_modality("audio").build().towers) == ["audio"]


def test_a_picture_is_a_clip_that_stands_still(checkpoint: Path) -> None:
    encoder = config(checkpoint).build()
    picture = torch.randn(1, 3, 224, 224)
    still = picture[:, :, None].expand(-1, -1, 2, -1, -1)
    with torch.no_grad():
        assert torch.equal(encoder.encode(picture), encoder.for_modality("video").encode(still))


def test_a_sentence_is_one_embedding_from_the_token_that_ends_it(checkpoint: Path) -> None:
    own = config(checkpoint, "sentence")
    encoder, read, tokenizer = own.build(), own.preprocessor(), AutoTokenizer.from_pretrained(checkpoint)
    texts = ["a red cube", "Two blue circles " * 60]
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    ends = ids.attention_mask.sum(1) - 1
    units = torch.cat([read(Sentence(text)) for text in texts])
    assert (units[0, : ends[0] + 1] == ids.input_ids[0, : ends[0] + 1]).all() and not units[0, ends[0] + 1 :].any()
    assert (units[1] == ids.input_ids[1]).all() and units[1, 76] == tokenizer.eos_token_id
    tower = encoder.towers["text"]
    with torch.no_grad():
        found = encoder(Ragged(units, (1, 1), (Layout.of_units(1),) * 2)).values
        torch.testing.assert_close(found, tower.embedded(tower(ids.input_ids), ends))  # whatever follows the end
    assert list(encoder.towers) == ["text"] and found.shape == (2, 16)


def test_what_a_sentence_spells_out_does_not_end_it(checkpoint: Path) -> None:
    units = config(checkpoint, "sentence").preprocessor()(Sentence("a <|endoftext|> b"))
    assert (units == units.max()).sum() == 1


def test_sentences_need_an_embedding_and_the_tokenizer_of_clip(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found features: trunk and sentences, which have an embedding alone"):
        config(checkpoint, "image", "sentence", features="trunk")
    tiny_clip_tokenizer().save_pretrained(tmp_path / "other")
    with pytest.raises(PartError, match="of which number 1 ends a text, needed CLIP's"):
        config(checkpoint, "sentence", tokenizer=str(tmp_path / "other")).preprocessor()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    with pytest.raises(PartError, match="openai/clip-vit-base-patch32"):
        config(tmp_path, "sentence").preprocessor()
    assert config(tmp_path, "sentence", tokenizer=str(checkpoint)).preprocessor().to_dict()["length"] == 77


def test_clips_have_one_embedding_or_one_each(checkpoint: Path) -> None:
    units = torch.randn(5, 1, 128, 204)
    layouts = [Layout.of_units(n, times_s=tuple(map(float, range(n)))) for n in (2, 3)]
    items = Ragged(units, (2, 3), tuple(layouts))
    with torch.no_grad():
        each = config(checkpoint, "audio", average=False).build()(items)
        mean = config(checkpoint, "audio").build()(items)
    assert each.lengths == (2, 3) and each.layouts[1].times_s == (0.0, 1.0, 2.0)
    assert mean.lengths == (1, 1)
    torch.testing.assert_close(mean.values, torch.stack([one.mean(0) for one in each]))


def test_the_trunk_has_the_width_and_the_tokens_of_its_tower(checkpoint: Path) -> None:
    shapes = {"image": (1, (257,), None), "video": (2, (257, 257), None), "audio": (3, (229,) * 3, None)}
    bare = {"image": (1, (256,), (16, 16)), "video": (2, (256, 256), (16, 16)), "audio": (3, (228,) * 3, (12, 19))}
    for keep_cls, expected in ((True, shapes), (False, bare)):
        own = config(checkpoint, features="trunk", keep_cls=keep_cls)
        for modality, (units, blocks, grid) in expected.items():
            found = own.for_modality(modality).layout(Layout.of_units(units))
            assert (found.blocks, found.grid) == (blocks, grid)
            assert own.build(weights=False).for_modality(modality).dim == 32


def originals(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tiny weights under the names that the released checkpoint has."""
    stem = {"vision": "rgbt_stem.proj.1", "depth": "depth_stem.proj", "imu": "imu_stem.proj"}
    head = {"text": ("proj.0", "proj.1"), "imu": ("0", "3")}
    block = {
        "norm1": "norm_1", "norm2": "norm_2", "fc1": "mlp.fc1", "fc2": "mlp.fc2", "attention.own_k": "attn.bias_k",
        "attention.own_v": "attn.bias_v", "attention.into.weight": "attn.in_proj_weight",
        "attention.into.bias": "attn.in_proj_bias", "attention.out": "attn.out_proj",
    }  # fmt: skip
    found = {}
    for name, tensor in weights.items():
        tower, inner = re.match(r"towers\.(\w+)\.(.*)", name).groups()
        patch = stem.get(tower, "rgbt_stem.proj")
        norm, project = head.get(tower, ("0", "2"))
        positions = "pos_embed" if tower in ("text", "imu") else "pos_embedding_helper.pos_embed"
        before, within = f"modality_preprocessors.{tower}", f"modality_trunks.{tower}"
        if inner.startswith("blocks."):
            _, number, rest = inner.split(".", 2)
            key = next(key for key in block if rest == key or rest.startswith(key + "."))
            found[f"{within}.blocks.{number}.{rest.replace(key, block[key])}"] = tensor
            continue
        rules = {
            r"^cls$": f"{before}.cls_token", r"^positions$": f"{before}.{positions}",
            r"^stem\.patch": f"{before}.{patch}", r"^stem\.norm": f"{before}.{patch.split('.')[0]}.norm_layer",
            r"^stem\.words": f"{before}.token_embedding", r"^norm_before": f"{within}.pre_transformer_layer.0",
            r"^norm\.": f"modality_heads.{tower}.{norm}.", r"^project": f"modality_heads.{tower}.{project}",
            r"^log_scale": f"modality_postprocessors.{tower}.1.log_logit_scale",
        }  # fmt: skip
        pattern = next(pattern for pattern in rules if re.search(pattern, inner))
        found[re.sub(pattern, rules[pattern], inner)] = tensor
    return found | {"modality_preprocessors.text.mask": torch.full((77, 77), -torch.inf).triu(1)}


def test_the_released_file_is_read_by_its_own_names(checkpoint: Path, tmp_path: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    released = originals(weights)
    assert len(released) == len(weights) + 1 and not released.keys() & weights.keys()
    torch.save(released, tmp_path / "imagebind_huge.pth")
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    own = config(checkpoint).build().state_dict()
    read = config(tmp_path).build().state_dict()
    assert own.keys() == read.keys() and all(torch.equal(own[name], read[name]) for name in own)
    torch.save({name: t for name, t in released.items() if "bias_k" not in name}, tmp_path / "imagebind_huge.pth")
    with pytest.raises(PartError, match=r"lacks parameters .*audio\.blocks\.0\.attention\.own_k"):
        config(tmp_path).build()


def test_the_full_size_is_known_without_a_network(tmp_path: Path) -> None:
    """The counts of the original's classes, 1,200,781,057 in all with the factor of text, here a buffer."""
    for place in ("nielsr/imagebind-huge", str(tmp_path)):
        every = ["image", "audio", "sentence", "depth", "thermal", "imu"]
        huge: Any = parse("modalink.encoders", {"kind": "imagebind", "checkpoint": place, "modalities": every})
        with torch.device("meta"):
            encoder = huge.build(weights=False)
        assert {name: sum(p.numel() for p in tower.parameters()) for name, tower in encoder.towers.items()} == HUGE
        assert encoder.for_modality("audio").dim == 1024
        assert huge.for_modality("image").layout(Layout.of_units(1)).blocks == (1,)
        trunk = huge.for_modality("audio").replace(features="trunk")
        assert [trunk.for_modality(m).build(weights=False).dim for m in ("audio",)] == [768]


def test_what_is_none_of_it_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(PartError, match="found a checkpoint of type 'llama', needed ImageBind's"):
        config(tiny_llama(tmp_path / "llama")).build()
    with pytest.raises(
        PartError, match="found the modality 'video'; this ImageBind reads audio, image: set modalities"
    ):
        config(checkpoint, "audio", "image").for_modality("video")
    (tmp_path / "config.json").write_text('{"audio_num_heads": 5}')
    with pytest.raises(PartError, match=r"config.json: .*found audio_num_heads 5, needed a divisor of its width 768"):
        config(tmp_path).build(weights=False)
    (tmp_path / "config.json").write_text('{"audio_num_blocks": 100000}')
    with pytest.raises(PartError, match="audio_num_blocks"):
        config(tmp_path).build(weights=False)


def test_others_look_through_it_at_pictures(checkpoint: Path) -> None:
    """Frame by frame, tile by tile, or beside another encoder, whatever it reads first."""
    both = config(checkpoint, "audio", "image", features="trunk", keep_cls=False)
    film = modalities.get("video").example(0)
    frames = FramesConfig(encoder=both)
    assert frames.reads() == {"image", "video"}
    assert frames.preprocessor()(film).shape == (8, 3, 224, 224) and frames.build().unit_shape == (3, 224, 224)
    tiles = TilesConfig(encoder=both, merge="spatial")
    assert tiles.reads() == {"image"} and tiles.build().dim == 32
    assert tiles.layout(tiles.typical()).blocks == (256, 4 * 256)
    beside = SeveralConfig(encoders=(both, TinyEncoderConfig(rows=16, dim=4)))
    assert beside.reads() == {"image"}
    assert beside.build().dim == 32 + 4 and list(beside.build().encoders[0].towers) == ["vision"]


def test_its_identity_is_that_of_the_file(checkpoint: Path) -> None:
    assert hub.identity_of(config(checkpoint)).sha256 == hub.identity_of(config(checkpoint, "audio")).sha256
    assert {*Architecture().forms()} == {"vision", "text", "audio", "depth", "thermal", "imu"}


def test_class_tokens_are_the_first_of_the_trunk_one_of_each_clip(checkpoint: Path) -> None:
    """BuboGPT reads them: as wide as the tower, before the head."""
    trunk, first = (
        config(checkpoint, "audio", features=features, average=False).build() for features in ("trunk", "class")
    )
    units = torch.randn(3, *first.unit_shape)
    items = Ragged(units, (3,), (Layout.of_units(3),))
    with torch.no_grad():
        tokens, classes = trunk(items), first(items)
    assert classes.layouts[0].blocks == (1, 1, 1)
    torch.testing.assert_close(classes.values, tokens.values[:: trunk.tokens_per_block])


@pytest.mark.parametrize("modality", ["image", "video", "audio"])
def test_its_tiny_form_is_the_zoos_unified_encoder_one_token_a_patch(modality: str) -> None:
    tiny = ImageBindConfig(checkpoint="nielsr/imagebind-huge").for_modality(modality).tiny()
    assert tiny.checkpoint == "zoo:unified" and tiny.reads() == {modality}
    assert tiny.features == "trunk" and tiny.layout(tiny.typical()).tokens > 1


def test_what_the_zoo_does_not_read_has_no_tiny_form() -> None:
    with pytest.raises(RecipeError, match="the zoo has no encoder of thermal; leave that input out"):
        ImageBindConfig(checkpoint="nielsr/imagebind-huge", modalities=("thermal",)).tiny()
