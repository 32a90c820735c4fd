"""Encoders side by side."""

from pathlib import Path

import pytest
import torch

from modalink import hub
from modalink.encoders.several import SeveralConfig, SeveralPreprocessors
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError
from modalink.ragged import Ragged
from modalink.recipe import SystemSpec
from modalink.testing import TinyEncoderConfig, check_encoder
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
    assert tokens.lengths == (4 + 9,) and tokens.layouts[0].blocks == (4, 9)
    alone = [one.build().encode(one.preprocessor()(image))[0] for one in (near, far)]
    assert torch.equal(tokens.values, torch.cat(alone))


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
