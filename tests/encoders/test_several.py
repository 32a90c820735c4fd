"""Encoders side by side."""

from pathlib import Path

import pytest
import torch

from modalink import hub
from modalink.encoders._sampling import FramesSpec
from modalink.encoders.frames import FramesConfig
from modalink.encoders.several import SeveralConfig, SeveralEncoders, SeveralPreprocessors
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError
from modalink.modalities import video
from modalink.ragged import Layout, Ragged
from modalink.recipe import SystemSpec
from modalink.testing import TinyEncoder, TinyEncoderConfig, check_encoder
from modalink.testing.checkpoints import tiny_clip_vision, tiny_siglip_vision
from modalink.testing.requirements import examples


@pytest.fixture
def pair(tmp_path: Path) -> list[dict[str, object]]:
    clip, siglip = tiny_clip_vision(tmp_path / "clip"), tiny_siglip_vision(tmp_path / "siglip")
    return [{"kind": "vision", "checkpoint": str(clip)}, {"kind": "vision", "checkpoint": str(siglip)}]


def several(encoders: object, join: str = "channels") -> SeveralConfig:
    return SeveralConfig.model_validate({"encoders": encoders, "join": join})


def test_they_keep_the_promises_of_their_role(pair: list[dict[str, object]]) -> None:
    check_encoder(several(pair), from_files=False)
    check_encoder(several([pair[0], {**pair[0], "image_size": 48}], "tokens"), from_files=False)
    frames = FramesConfig(encoder=several(pair, "tokens"), frames=FramesSpec(count=2))
    check_encoder(frames, [video.example(number) for number in range(2)], from_files=False)


def test_each_sees_what_it_would_see_alone(pair: list[dict[str, object]]) -> None:
    config = several(pair)
    preprocess, encoder = config.preprocessor(), config.build()
    images = examples({"image"})
    items = Ragged.of([preprocess(image) for image in images], [preprocess.layout(image) for image in images])
    with torch.no_grad():
        joined = encoder(items).stack()
        alone = []
        for settings in pair:
            one = VisionConfig.model_validate(settings)
            alone.append(one.build().encode(torch.cat([one.preprocessor()(image) for image in images])))
    assert torch.equal(joined, torch.cat(alone, dim=2))


def test_tokens_of_one_width_stand_behind_each_other() -> None:
    near, far = TinyEncoderConfig(rows=2), TinyEncoderConfig(rows=3)
    config = SeveralConfig(encoders=(near, far), join="tokens")
    image = examples({"image"}, 1)[0]
    preprocess = config.preprocessor()
    tokens = config.build()(Ragged.of([preprocess(image)], [preprocess.layout(image)]))
    assert tokens.lengths == (4 + 9,) and tokens.layouts[0].blocks == (13,)
    alone = [one.build().encode(one.preprocessor()(image))[0] for one in (near, far)]
    assert torch.equal(tokens.values, torch.cat(alone))


@pytest.mark.parametrize("join", ["channels", "tokens"])
def test_frames_are_read_by_all_of_them(join: str) -> None:
    """The tokens of a frame stay together, with its time, whether each has its own frames or all have the same."""
    ones = (TinyEncoderConfig(rows=2), TinyEncoderConfig(rows=2, dim=16 if join == "tokens" else 8))
    frames, clip = FramesSpec(count=3), video.example(0)
    within = FramesConfig(encoder=several(ones, join), frames=frames)
    around = several(tuple(FramesConfig(encoder=one, frames=frames) for one in ones), join)
    found = []
    for config in (within, around):
        preprocess = config.preprocessor()
        found.append(config.build()(Ragged.of([preprocess(clip)], [preprocess.layout(clip)])))
    assert torch.equal(found[0].values, found[1].values) and found[0].layouts == found[1].layouts
    assert found[0].layouts[0].times_s == tuple(frames.times_s(clip))
    assert found[0].layouts[0].blocks == ((8, 8, 8) if join == "tokens" else (4, 4, 4))
    alone = [
        one.build().encode(torch.cat([one.preprocessor()(f) for f in clip.frames(frames.times_s(clip))]))
        for one in ones
    ]
    assert torch.equal(found[0].values, torch.cat(alone, dim=1 if join == "tokens" else 2).flatten(0, 1))


def test_encoders_that_cut_time_otherwise_stand_behind_each_other() -> None:
    """Slices of clips are no frames: the blocks of one stand behind those of the other."""
    pair = SeveralEncoders([Halving(), Halving(), TinyEncoder(16, 2)], "tokens", Layout.of_units(2))
    assert pair.layout(Layout.of_units(4, times_s=(0.0, 1.0, 2.0, 3.0))).blocks == (1, 1, 1, 1, 4, 4, 4, 4)


class Halving(TinyEncoder):
    """A token for each two units."""

    def __init__(self) -> None:
        super().__init__(16, 2)

    def layout(self, item: Layout) -> Layout:
        return Layout(item.units, (1,) * (item.units // 2))


def test_what_cannot_be_joined_is_refused(pair: list[dict[str, object]]) -> None:
    uneven = SeveralConfig(encoders=(TinyEncoderConfig(rows=2), TinyEncoderConfig(rows=3)))
    with pytest.raises(PartError, match="they make 4, 9 tokens of one medium"):
        uneven.build()
    wide = SeveralConfig(encoders=(TinyEncoderConfig(dim=8), TinyEncoderConfig(dim=16)), join="tokens")
    with pytest.raises(PartError, match=r"widths \[8, 16\]"):
        wide.build()
    with pytest.raises(ValueError, match="cannot stand inside itself"):
        several([{"kind": "several", "encoders": pair}, pair[0]])


def test_their_identity_is_that_of_all_checkpoints(pair: list[dict[str, object]]) -> None:
    both, swapped = hub.identity_of(several(pair)), hub.identity_of(several(pair[::-1]))
    assert both.id == f"{pair[0]['checkpoint']} + {pair[1]['checkpoint']}"
    assert both.sha256 != swapped.sha256
    assert hub.identity_of(VisionConfig.model_validate(pair[0])).sha256 not in (both.sha256, swapped.sha256)


def test_a_recipe_names_them(pair: list[dict[str, object]], tmp_path: Path) -> None:
    image = {"encoder": {"kind": "several", "encoders": pair}, "projector": {"kind": "linear"}}
    data = {"inputs": {"image": image}, "llm": {"checkpoint": "zoo:llm"}, "prompt": {"template": "zoo"}}
    spec = SystemSpec.model_validate(data)
    assert SystemSpec.model_validate(spec.to_dict()) == spec
    assert isinstance(spec.encoder("image").preprocessor(), SeveralPreprocessors)
