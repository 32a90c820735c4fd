"""The kits pass what keeps its promises, and name the promise that a part breaks."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from modalink import modalities
from modalink.encoders.vision import VisionConfig
from modalink.errors import MediumError
from modalink.ragged import Layout, Ragged
from modalink.roles import Conditions, ConditionShape, MediumHandle, ModalityRecord
from modalink.testing import (
    TinyEncoder,
    TinyEncoderConfig,
    TinyGenerator,
    TinyGeneratorConfig,
    TinyInputProjector,
    TinyInputProjectorConfig,
    TinyOutputProjector,
    TinyOutputProjectorConfig,
    check_encoder,
    check_generator,
    check_input_projector,
    check_modality,
    check_output_projector,
)
from modalink.testing.checkpoints import tiny_clip_vision
from modalink.testing.fakes import TinyPreprocessor
from tests.support.duet import Duet, DuetConfig


def test_the_fakes_keep_the_promises_of_their_roles() -> None:
    check_encoder(TinyEncoderConfig(), from_files=False)
    check_input_projector(TinyInputProjectorConfig())
    check_output_projector(TinyOutputProjectorConfig())
    check_generator(TinyGeneratorConfig(), from_files=False)


def test_the_image_modality_keeps_its_promises() -> None:
    check_modality(modalities.get("image"))


class Wide(TinyEncoder):
    """Publishes another width than it has."""

    def encode(self, units: Tensor) -> Tensor:
        return torch.cat([super().encode(units)] * 2, dim=-1)


class Mixing(TinyEncoder):
    """Lets the items of a batch see each other."""

    def encode(self, units: Tensor) -> Tensor:
        return super().encode(units) - units.mean()


class Restless(TinyEncoder):
    """Draws noise."""

    def encode(self, units: Tensor) -> Tensor:
        features: Tensor = super().encode(units)
        return features + torch.randn_like(features)


class Idle(TinyEncoder):
    """Has a parameter that nothing reads, and does not say so."""

    def __init__(self, dim: int, rows: int) -> None:
        super().__init__(dim, rows)
        self.spare = nn.Parameter(torch.ones(1))


class Fickle(TinyEncoder):
    """Is another one each time it is built."""

    def __init__(self, dim: int, rows: int) -> None:
        super().__init__(dim, rows)
        nn.init.normal_(self.colours.weight)


class Coarse(TinyEncoder):
    """Publishes a grid that does not hold its tokens."""

    def __init__(self, dim: int, rows: int) -> None:
        super().__init__(dim, rows)
        self.grid = (1, 1)

    def encode(self, units: Tensor) -> Tensor:
        self.grid = (2, 2)
        features: Tensor = super().encode(units)
        self.grid = (1, 1)
        return features


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (Wide, r"found torch.Size\(\[32\]\), published 16"),
        (Mixing, "encoding in a batch must equal encoding one by one"),
        (Restless, "encoding must be deterministic"),
        (Idle, r"gradients must reach every parameter, or `unread` must name it: none reaches \['spare'\]"),
        (Fickle, "two builds of one checkpoint must be the same"),
        (Coarse, "encoding must give the tokens that the layout tells: found a grid"),
    ],
)
def test_a_broken_encoder_is_found(kind: type[TinyEncoder], promise: str) -> None:
    class Config(TinyEncoderConfig):
        def build(self, *, weights: bool = True) -> TinyEncoder:
            return kind(self.dim, self.rows)

    with pytest.raises(AssertionError, match=promise):
        check_encoder(Config(), from_files=False)


class Moody(TinyPreprocessor):
    """Gives other numbers each time."""

    def __call__(self, medium: Image.Image) -> Tensor:
        return super().__call__(medium) + random.random()


class Shapeless(TinyPreprocessor):
    """Keeps the size of the image."""

    def __call__(self, medium: Image.Image) -> Tensor:
        return torch.zeros(1, 3, medium.height, medium.width)


class Secretive(TinyPreprocessor):
    """Describes itself with what JSON does not keep."""

    def to_dict(self) -> dict[str, Any]:
        return {"size": (self.side, self.side)}


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (Moody, "must give the same numbers"),
        (Shapeless, "units must have one shape"),
        (Secretive, "to_dict must give JSON data"),
    ],
)
def test_broken_preprocessing_is_found(kind: type[TinyPreprocessor], promise: str) -> None:
    class Config(TinyEncoderConfig):
        def preprocessor(self) -> TinyPreprocessor:
            return kind(16)

    with pytest.raises(AssertionError, match=promise):
        check_encoder(Config(), from_files=False)


def test_an_encoder_that_reads_any_file_is_found(tmp_path: Path) -> None:
    class Careless(VisionConfig):
        def build(self, *, weights: bool = True) -> Any:
            torch.manual_seed(0)
            return super().build(weights=False)

    tiny_clip_vision(tmp_path)
    with pytest.raises(AssertionError, match=r"model\.safetensors lacks tensors must be refused"):
        check_encoder(Careless(checkpoint=str(tmp_path)))


class Deaf(TinyInputProjector):
    """Reads the first token only."""

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        return super().forward(features.by_item(lambda x: x[:, :1].expand_as(x), features.layouts))


class Miscounting(TinyInputProjector):
    """Makes one token more than it publishes."""

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        more = [replace(layout, blocks=(*layout.blocks, 1), grid=None) for layout in features.layouts]
        return super().forward(features.by_item(lambda x: torch.cat([x, x[:, :1]], dim=1), more))


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (Deaf, "every token that comes in must reach what goes out"),
        (Miscounting, r"found prompt tokens that lie \(Layout\(units=1, blocks=\(16, 1\)"),
    ],
)
def test_a_broken_input_projector_is_found(kind: type[TinyInputProjector], promise: str) -> None:
    class Config(TinyInputProjectorConfig):
        def build(self, *, dim_in: int, dim_out: int, example: Layout) -> TinyInputProjector:
            return kind(dim_in, dim_out)

    with pytest.raises(AssertionError, match=promise):
        check_input_projector(Config())


def test_a_broken_output_projector_is_found() -> None:
    class Config(TinyOutputProjectorConfig):
        def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> TinyOutputProjector:
            return TinyOutputProjector(tokens_in * dim_in, tokens_out + 1, dim_out)

    with pytest.raises(AssertionError, match=r"found conditions \(3, 7, 12\), needed \(3, 6, 12\)"):
        check_output_projector(Config())


class Thawed(TinyGenerator):
    """Is not frozen."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__(tokens, dim)
        self.requires_grad_(True)


def _each(conditions: Conditions, change: Callable[[Tensor], Tensor]) -> Conditions:
    return Conditions({name: change(values) for name, values in conditions.tensors.items()}, conditions.masks)


class Cut(TinyGenerator):
    """Lets no gradient reach the conditions."""

    def denoising_error(self, latents: Tensor, conditions: Conditions, rng: list[torch.Generator]) -> Tensor:
        return super().denoising_error(latents, _each(conditions, lambda x: x.detach() + 0 * x), rng)


class Shared(TinyGenerator):
    """Draws the noise of all items from the first one's source."""

    def denoising_error(self, latents: Tensor, conditions: Conditions, rng: list[torch.Generator]) -> Tensor:
        return super().denoising_error(latents, conditions, rng[:1] * len(rng))


class Stubborn(TinyGenerator):
    """Draws the same, whatever is asked for."""

    def sample(self, conditions: Conditions, *, rng: list[torch.Generator], **options: Any) -> list[Any]:
        return super().sample(_each(conditions, torch.zeros_like), rng=rng, **options)


class Unseeded(TinyGenerator):
    """Draws from the global random state."""

    def sample(self, conditions: Conditions, *, rng: list[torch.Generator], **options: Any) -> list[Any]:
        own = [torch.Generator().manual_seed(random.getrandbits(30)) for _ in rng]
        return super().sample(conditions, rng=own, **options)


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (Thawed, "a generator must be frozen"),
        (Cut, "the gradient of denoising_error must reach the conditions"),
        (Shared, "denoising_error in a batch must equal one by one"),
        (Stubborn, "sampling must depend on the conditions"),
        (Unseeded, "sampling must be a function of its sources of randomness"),
    ],
)
def test_a_broken_generator_is_found(kind: type[TinyGenerator], promise: str) -> None:
    class Config(TinyGeneratorConfig):
        def build(self, *, weights: bool = True) -> TinyGenerator:
            return kind(self.tokens, self.dim)

    with pytest.raises(AssertionError, match=promise):
        check_generator(Config(), from_files=False)


class Peeking(Duet):
    """Reads words that its masks leave out."""

    def picture(self, conditions: Conditions) -> Tensor:
        return super().picture(Conditions(conditions.tensors))


class Plain(Duet):
    """Looks at its words alone."""

    def picture(self, conditions: Conditions) -> Tensor:
        return super().picture(_each(conditions, lambda x: x if x.ndim == 3 else torch.zeros_like(x)))


class Maskless(Duet):
    """Says nothing of which words there are."""

    def encode_text(self, texts: list[str]) -> Conditions:
        return Conditions(super().encode_text(texts).tensors)


class Sparing(Duet):
    """Gives one item, however many are asked for."""

    def null_conditions(self, items: int) -> Conditions:
        return super().null_conditions(1)


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (Peeking, "denoising_error must not read tokens that a mask leaves out"),
        (Plain, "the gradient of denoising_error must reach the conditions, found none in 'style'"),
        (Maskless, "encode_text must give the masks that are declared, found none for words"),
        (Sparing, "null_conditions must give as many items as asked for, found 1 for 2"),
    ],
)
def test_a_generator_that_breaks_what_it_declares_is_found(kind: type[Duet], promise: str) -> None:
    class Config(DuetConfig):
        def build(self, *, weights: bool = True) -> Duet:
            return kind()

    with pytest.raises(AssertionError, match=promise):
        check_generator(Config(), from_files=False)


def test_a_generator_that_publishes_another_shape_is_found() -> None:
    class Config(TinyGeneratorConfig):
        def condition_shapes(self) -> dict[str, ConditionShape]:
            return {"text": ConditionShape(768, 77)}

    with pytest.raises(AssertionError, match="the generator publishes tokens 4 x 8, its settings text 77 x 768"):
        check_generator(Config(), from_files=False)


def _changed(**changes: Any) -> ModalityRecord:
    return ModalityRecord(**(vars(modalities.get("image")) | changes))


def _forgiving(source: Any, name: str | None = None) -> MediumHandle:
    try:
        handle: MediumHandle = modalities.get("image").open(source, name)
        handle.read()
        return handle
    except MediumError:
        return modalities.get("image").open(Image.new("RGB", (8, 8)))


def _eager(source: Any, name: str | None = None) -> MediumHandle:
    handle: MediumHandle = modalities.get("image").open(source, name)
    image = handle.read()
    handle.read = lambda: image  # type: ignore[method-assign]
    return handle


def _nameless(source: Any, name: str | None = None) -> MediumHandle:
    handle: MediumHandle = modalities.get("image").open(source)
    return handle


def _halved(image: Image.Image, path: Path) -> None:
    modalities.get("image").write(image.resize((image.width // 2, image.height)), path)


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"signal": "[IMG]"}, "must have one place for a number"),
        ({"argument": "pixel values"}, "must be usable as a keyword"),
        ({"suffixes": ("png",)}, "lower-case with a dot"),
        ({"placeholder": "[IMG0]"}, "must be spelled differently"),
        ({"open": _forgiving}, "must raise a MediumError"),
        ({"open": _eager}, "opening must decode nothing"),
        ({"open": _nameless}, "must be labelled with the name that was given"),
        ({"written": ".doc"}, "written '.doc' must be one of"),
        ({"example": lambda number: Image.new("RGB", (8, 8))}, "must have different digests"),
        ({"write": _halved}, "wrote a medium of shape"),
    ],
)
def test_a_broken_modality_is_found(changes: dict[str, Any], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_modality(_changed(**changes))
