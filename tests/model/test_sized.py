"""A system that reads images of another side for a while, with the same weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from modalink.conversation import Conversation, Medium, Turn
from modalink.errors import PartError
from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.modalities import get
from modalink.model import System, compose
from modalink.model.sized import sized, with_sides
from modalink.recipe import Recipe
from modalink.training.frozen import FrozenEncoders


@pytest.fixture(scope="module")
def system(make_recipe: Callable[..., Recipe]) -> System:
    """Tiny random parts; its tower has a table of positions for images of 32 px in patches of 8."""
    return compose(make_recipe())


def _shown(path: Path) -> Conversation:
    Image.linear_gradient("L").convert("RGB").save(path)
    return Conversation((Turn("user", (Medium("image", get("image").open(str(path))),)),), "one")


def test_inside_it_reads_smaller_images_and_afterwards_its_own(system: System, tmp_path: Path) -> None:
    sample, encoder, weights = _shown(tmp_path / "a.png"), system.model.model.encoders["image"], {}
    own = system.processor.prepare(sample).media["image"][0].tokens
    weights = dict(system.model.named_parameters())
    with sized(system, {"image": 16}):
        assert system.processor.prepare(sample).media["image"][0].tokens == own // 4
        smaller = system.model.model.encoders["image"]
        assert smaller.unit_shape == (3, 16, 16) and smaller.grid == (2, 2)
        inside = dict(system.model.named_parameters())
        assert inside.keys() == weights.keys() and all(inside[name] is weights[name] for name in weights)
        assert system.spec.encoder("image").side_px() == 16
    assert system.model.model.encoders["image"] is encoder
    assert system.processor.prepare(sample).media["image"][0].tokens == own
    assert system.spec.encoder("image").side_px() == 32


def test_it_makes_what_a_system_of_that_side_makes(system: System) -> None:
    """Positions are interpolated as transformers does it for a tower whose images have that side from the start."""
    built = with_sides(system.spec, {"image": 16}).encoder("image").build()
    units = torch.randn(2, 3, 16, 16)
    with sized(system, {"image": 16}), torch.no_grad():
        found = system.model.model.encoders["image"].encode(units)
    with torch.no_grad():
        assert torch.equal(found, built.encode(units))


def test_features_are_kept_apart(system: System) -> None:
    once = Once(FeatureCache(), torch.float32, torch.device("cpu"))
    own = FrozenEncoders(system, (), once).keys["image"]
    with sized(system, {"image": 16}):
        assert FrozenEncoders(system, (), once).keys["image"] != own
    assert FrozenEncoders(system, (), once).keys["image"] == own


def test_an_error_inside_leaves_the_system_as_it_was(system: System) -> None:
    spec, processor = system.spec, system.processor
    with pytest.raises(RuntimeError), sized(system, {"image": 16}):
        raise RuntimeError
    assert system.spec is spec and system.processor is processor


def test_what_has_no_side_is_refused_in_words(system: System, make_recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(PartError, match="video has no encoder of its own; those that have: image"):
        with_sides(system.spec, {"video": 16})
    joined = make_recipe().model_copy(deep=True)
    joined.inputs["image"] = joined.inputs["image"].model_copy(
        update={"projector": joined.inputs["image"].projector.replace(join={"tokens": 3, "layout": "run"})}
    )
    with (
        pytest.raises(PartError, match=r"image_size 16 of image: inputs.image.projector: "),
        sized(System(system.model, system.processor, system.generators, joined), {"image": 16}),
    ):
        pass
