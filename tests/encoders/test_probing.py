"""Encoders are tried before they are used: what does not do what it publishes is refused, with the reason."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig

from modalink.encoders import probe, verdict_on, verify
from modalink.encoders._reading import Reading, UnreadableError, find
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError
from modalink.model import compose
from modalink.ragged import Layout, Ragged
from modalink.recipe import SystemSpec
from modalink.roles import BlockEncoder, Encoder
from modalink.testing import TinyEncoderConfig
from modalink.testing.checkpoints import tiny_llama

ROWS, WIDTH, SIDE = 6, 32, 48


class Patches(BlockEncoder):
    """One linear map for each patch, and a little of the whole picture: what an encoder should be."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.unit_shape = WIDTH, (3, SIDE, SIDE)
        self.tokens_per_block, self.grid = ROWS * ROWS, (ROWS, ROWS)
        self.conv = nn.Conv2d(3, WIDTH, SIDE // ROWS, SIDE // ROWS)

    def map(self, units: Tensor) -> Tensor:
        features: Tensor = self.conv(units)
        return features + 0.1 * features.mean((2, 3), keepdim=True)

    def encode(self, units: Tensor) -> Tensor:
        return self.map(units).flatten(2).mT


class Transposed(Patches):
    def encode(self, units: Tensor) -> Tensor:
        return self.map(units).mT.flatten(2).mT


class Mirrored(Patches):
    def encode(self, units: Tensor) -> Tensor:
        return self.map(units).flip(3).flatten(2).mT


class Rolled(Patches):
    def encode(self, units: Tensor) -> Tensor:
        return self.map(units).roll(1, 3).flatten(2).mT


class InWindows(Patches):
    def encode(self, units: Tensor) -> Tensor:
        windows = self.map(units).unflatten(3, (2, 3)).unflatten(2, (2, 3)).permute(0, 2, 4, 3, 5, 1)
        return windows.flatten(1, 4)


class Beside(Patches):
    def encode(self, units: Tensor) -> Tensor:
        features = self.map(units)
        return torch.cat([features[..., :1], features[..., :-1]], dim=3).flatten(2).mT


class HalfBeside(Patches):
    """As strides with padding on one side do: half a patch beside, as in most convolutional towers."""

    def encode(self, units: Tensor) -> Tensor:
        half = SIDE // ROWS // 2
        return super().encode(functional.pad(units, (half, 0, half, 0))[..., :-half, :-half])


class Deep(Patches):
    """Many layers behind batch norms that have seen nothing yet: what they give must be settled to be heard."""

    def __init__(self) -> None:
        super().__init__()
        layers = (nn.Conv2d(WIDTH, WIDTH, 1), nn.BatchNorm2d(WIDTH), nn.SiLU())
        self.layers = nn.Sequential(*(copy.deepcopy(layer) for _ in range(30) for layer in layers))

    def map(self, units: Tensor) -> Tensor:
        features: Tensor = self.layers(self.conv(units))
        return features


class DeepTransposed(Deep):
    def encode(self, units: Tensor) -> Tensor:
        return self.map(units).mT.flatten(2).mT


class DeepMixing(Deep):
    """Batch norms that go on learning of others in the batch."""

    def train(self, mode: bool = True) -> "DeepMixing":
        return super().train()


class Shuffled(Patches):
    def encode(self, units: Tensor) -> Tensor:
        return super().encode(units)[:, torch.randperm(ROWS * ROWS, generator=torch.Generator().manual_seed(0))]


class ChannelsAsTokens(Patches):
    def __init__(self) -> None:
        super().__init__()
        self.dim, self.conv = ROWS * ROWS, nn.Conv2d(3, ROWS * ROWS, SIDE // ROWS, SIDE // ROWS)

    def encode(self, units: Tensor) -> Tensor:
        return self.map(units).flatten(2)


class ClassTokenLeftIn(Patches):
    def encode(self, units: Tensor) -> Tensor:
        tokens = super().encode(units)
        return torch.cat([tokens.mean(1, keepdim=True), tokens[:, :-1]], dim=1)


class Pooled(Patches):
    def encode(self, units: Tensor) -> Tensor:
        tokens = super().encode(units)
        return tokens.mean(1, keepdim=True).expand_as(tokens)


class Mixing(Patches):
    def encode(self, units: Tensor) -> Tensor:
        tokens = super().encode(units)
        return tokens - tokens.mean(0)


class Restless(Patches):
    def encode(self, units: Tensor) -> Tensor:
        tokens = super().encode(units)
        return tokens + 1e-6 * torch.randn_like(tokens)


class Broken(Patches):
    def encode(self, units: Tensor) -> Tensor:
        return (super().encode(units) - 100).sqrt()


class Wide(Patches):
    def encode(self, units: Tensor) -> Tensor:
        return super().encode(units).repeat(1, 1, 2)


def tried(kind: type[Encoder]) -> Any:
    return probe(kind().eval(), Layout.of_units(2))


@pytest.mark.parametrize("kind", [Patches, HalfBeside, Deep])
def test_what_keeps_its_promises_is_right(kind: type[Encoder]) -> None:
    assert tried(kind).verdict == "right"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Transposed, "its rows and columns are swapped"),
        (Mirrored, "its grid is mirrored"),
        (Rolled, "do not look at their places"),
        (InWindows, "do not look at their places"),
        (Beside, "look beside their own places"),
        (DeepTransposed, "do not look at their places|rows and columns are swapped"),
        (DeepMixing, "it gives other|an item gives other"),
        (Shuffled, "do not look at their places"),
        (ChannelsAsTokens, "do not look at their places"),
        (ClassTokenLeftIn, "do not look at their places"),
        (Pooled, "do not look at their places"),
        (Mixing, "an item gives other tokens in a batch than alone"),
        (Restless, "it gives other numbers each time"),
        (Broken, "not finite"),
        (Wide, r"tokens of the shape \(64,\), published \(32,\)"),
    ],
)
def test_what_breaks_one_is_refused(kind: type[Encoder], reason: str) -> None:
    found = tried(kind)
    assert found.verdict == "refused"
    assert re.search(reason, found.reason)


class Frames(Encoder):
    """Sound: units of 20 samples, a token each and one of the whole item; no picture."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.unit_shape = 8, (20,)
        self.linear = nn.Linear(20, 8)

    def layout(self, item: Layout) -> Layout:
        return Layout(item.units, (1,) * item.units + (1,))

    def forward(self, items: Ragged) -> Ragged:
        each = [torch.cat([frames, frames.mean(0, keepdim=True)]) for frames in self.read(items)]
        return items.with_values(torch.cat(each), [self.layout(layout) for layout in items.layouts])

    def read(self, items: Ragged) -> Any:
        return items.with_values(self.linear(items.values), items.layouts)


class Leaking(Frames):
    """The whole batch is normalised together."""

    def read(self, items: Ragged) -> Any:
        values = self.linear(items.values)
        return items.with_values(values / values.std(), items.layouts)


def test_other_media_are_held_to_what_applies() -> None:
    assert tried(Frames).verdict == "right"
    assert tried(Leaking).reason == "an item gives other tokens in a batch than alone"


MAP = nn.Conv2d(3, 20, 8, 8)


def tokens(images: Tensor) -> Tensor:
    result: Tensor = MAP(images).flatten(2).mT
    return result + 0.1 * result.mean(1, keepdim=True)


def with_others(images: Tensor, before: int, after: int) -> Tensor:
    patches = tokens(images)
    other = patches.mean(1, keepdim=True)
    return torch.cat([other] * before + [patches] + [other] * after, dim=1)


@pytest.mark.parametrize(
    ("state", "reading"),
    [
        (tokens, Reading()),
        (lambda x: with_others(x, 1, 0), Reading(before=1)),
        (lambda x: with_others(x, 5, 0), Reading(before=5)),
        (lambda x: with_others(x, 1, 30), Reading(before=1, after=30)),
        (MAP, Reading("channels first")),
        (lambda x: MAP(x).movedim(1, -1), Reading("channels last")),
        (lambda x: tokens(x).mT, Reading("columns")),
        (lambda x: tokens(x).flatten(0, 1)[None], Reading(joined=True)),
        (lambda x: tokens(x).flatten(0, 1), Reading(joined=True)),
    ],
)
def test_how_a_hidden_state_lies_is_found_by_looking(state: Any, reading: Reading) -> None:
    with torch.no_grad():
        assert find(state, SIDE, 6) == reading
        images = torch.randn(3, 3, SIDE, SIDE)
        expected = MAP(images).flatten(2).mT if "channels" in reading.form else tokens(images)
        assert torch.allclose(reading.patches(state(images), 3), expected, atol=1e-6)
        assert reading.grid(state(images), 3) == (6, 6)


@pytest.mark.parametrize(
    "state",
    [
        lambda x: MAP(x).mT,
        lambda x: MAP(x).mT.movedim(1, -1),
        lambda x: MAP(x).mean((2, 3)),
        lambda x: MAP(x).mT.flatten(2).mT,
        lambda x: tokens(x)[:, torch.randperm(36, generator=torch.Generator().manual_seed(3))],
        lambda x: torch.cat([tokens(x), MAP(x).unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).flatten(2).mT], dim=1),
        lambda x: MAP(x)[:, :, None],
        lambda x: MAP(x)[:, :, :0],
        lambda x: tokens(x)[:, :8],
        lambda x: tokens(x) + torch.randn(1),
        lambda x: torch.cat([MAP(x)[..., :1], MAP(x)[..., :-1]], dim=3),
    ],
    ids=[
        *("map", "map last", "pooled", "tokens", "shuffled", "two scales", "five axes", "empty", "few", "restless"),
        "beside",
    ],
)
def test_what_is_no_picture_row_by_row_is_not_guessed(state: Any) -> None:
    with torch.no_grad(), pytest.raises(UnreadableError):
        find(state, SIDE, 6)


def folder(model_type: str, place: Path, **changes: Any) -> str:
    """The defaults of a class, without weights."""
    config = AutoConfig.for_model(model_type, **changes)
    config.save_pretrained(place)
    side = config.image_size if isinstance(getattr(config, "image_size", None), int) else 224
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}}
    (place / "preprocessor_config.json").write_text(json.dumps(settings))
    return str(place)


@pytest.mark.parametrize(
    ("model_type", "layer", "reading", "grid", "dim"),
    [
        ("clip_vision_model", -2, Reading(before=1), (7, 7), 768),
        ("dinov2_with_registers", "output", Reading(before=5), (14, 14), 768),
        ("deit", -2, Reading(before=2), (14, 14), 768),
        ("yolos", -2, Reading(before=1, after=100), None, 768),
        ("pixtral", "output", Reading(joined=True), (64, 64), 1024),
        ("sam_vision_model", -2, Reading("channels last"), (64, 64), 768),
        ("sam_vision_model", "output", Reading("channels first"), (64, 64), 256),
        ("pvt", "output", Reading(before=1), (7, 7), 512),
        ("segformer", "output", Reading("channels first"), (7, 7), 256),
        ("convnext", "output", Reading("channels first"), (7, 7), 768),
        ("hiera", "output", Reading(), (7, 7), 768),
        ("efficientnet", "output", Reading("channels first"), (18, 18), 2560),
    ],
)
def test_towers_of_transformers_are_read_as_they_lie(
    tmp_path: Path, model_type: str, layer: Any, reading: Reading, grid: tuple[int, int] | None, dim: int
) -> None:
    config = VisionConfig(checkpoint=folder(model_type, tmp_path), layer=layer)
    assert Reading(**verify(config).facts) == reading
    if grid is None:  # detectors read wide images
        return
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert (encoder.grid, encoder.dim) == (grid, dim)


def test_widths_that_follow_from_others_stay_in_proportion(tmp_path: Path) -> None:
    """Llama 4's tower joins four tokens before its last layers, whose width is said elsewhere; sizes as in Scout."""
    sizes = {"hidden_size": 1408, "intermediate_size": 5632, "image_size": 336, "vision_output_dim": 4096}
    config = VisionConfig(checkpoint=folder("llama4_vision_model", tmp_path, **sizes))
    assert Reading(**verify(config).facts) == Reading(after=1)
    assert Reading(**verify(config.replace(layer="output")).facts) == Reading()


@pytest.mark.parametrize(
    ("model_type", "layer", "reason"),
    [
        ("vit_mae", "output", "it gives other numbers each time"),
        ("groupvit_vision_model", "output", "has too few tokens for a picture, needed 3 x 3"),
        ("levit", "output", "do not look at their places"),
        ("siglip2_vision_model", "output", "reads images at their own size; set kind: native"),
        ("videomae", "output", "cannot read images of 224 px"),
    ],
)
def test_towers_that_are_no_picture_are_refused(tmp_path: Path, model_type: str, layer: Any, reason: str) -> None:
    with pytest.raises(PartError, match=reason), torch.device("meta"):
        VisionConfig(checkpoint=folder(model_type, tmp_path), layer=layer).build(weights=False)


@pytest.mark.parametrize(
    ("name", "layer", "reading"),
    [
        ("vit_base_patch14_reg4_dinov2", -2, Reading(before=5)),
        ("swin_tiny_patch4_window7_224", "output", Reading("channels last")),
        ("deit_tiny_distilled_patch16_224", "output", Reading(before=2)),
        ("eva02_base_patch14_448", -2, Reading(before=1)),
        ("cait_xxs24_224", -2, Reading()),
        ("lcnet_050", "output", Reading("channels first")),
        ("resnet18", "output", Reading("channels first")),
        ("tf_efficientnet_b0", "output", Reading("channels first")),
    ],
)
def test_towers_of_timm_are_read_as_they_lie(name: str, layer: Any, reading: Reading) -> None:
    assert Reading(**verify(VisionConfig(checkpoint=f"timm/{name}", layer=layer)).facts) == reading


def test_registers_are_no_class_token() -> None:
    with pytest.raises(PartError, match="has no class token"), torch.device("meta"):
        VisionConfig(checkpoint="timm/vit_medium_patch16_reg4_gap_256", keep_cls=True).build(weights=False)


class ScrambledConfig(TinyEncoderConfig):
    """A plug-in whose rows and columns are swapped."""

    def build(self, *, weights: bool = True) -> Any:
        return Transposed()


class HugeConfig(TinyEncoderConfig):
    """A plug-in of more parameters than are tried as they are."""

    def build(self, *, weights: bool = True) -> Any:
        encoder = Patches()
        encoder.spare = nn.Linear(10_000, 10_000, bias=False, device="meta")
        return encoder


def test_a_system_is_not_composed_of_what_is_refused(tmp_path: Path) -> None:
    spec = {
        "inputs": {"image": {"encoder": ScrambledConfig(), "projector": {"kind": "linear"}}},
        "llm": {"checkpoint": str(tiny_llama(tmp_path))},
        "prompt": {"template": "vicuna-v1.1"},
    }
    with pytest.raises(PartError, match=r"inputs\.image\.encoder: tiny: .*its rows and columns are swapped"):
        compose(SystemSpec.model_validate(spec))


def test_what_is_too_large_to_be_tried_is_said_to_be() -> None:
    assert verdict_on(HugeConfig()).verdict == "unproved"
    assert "too large to be tried" in verify(HugeConfig()).reason
