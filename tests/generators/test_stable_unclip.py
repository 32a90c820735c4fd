"""Stable unCLIP. That its numbers are the pipeline's, `docs/tools/parity/generators/stable_unclip.py` holds."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from modalink.errors import PartError
from modalink.generators.stable_unclip import StableUnclip, StableUnclipConfig
from modalink.roles import Conditions, ReadsText
from modalink.testing import check_generator
from modalink.testing.pipelines import tiny_stable_unclip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_unclip(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def generator(folder: Path) -> StableUnclip:
    return StableUnclipConfig(checkpoint=str(folder)).build()


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_it_keeps_the_promises_of_its_role(folder: Path, generator: StableUnclip) -> None:
    check_generator(StableUnclipConfig(checkpoint=str(folder)))
    assert not isinstance(generator, ReadsText)  # no words become a vector of a picture


def test_the_level_of_noise_is_told_and_zeros_are_told_nothing(folder: Path) -> None:
    vectors = torch.cat([torch.randn(2, 20), torch.zeros(1, 20)])
    little, much = (StableUnclipConfig(checkpoint=str(folder), noise_level=level).build() for level in (0, 700))
    near, far = (one._told(Conditions({"image": vectors}), sources(1, 2, 3))["image"] for one in (little, much))
    assert near.shape == (3, 40) and not near[2].any() and not far[2].any()
    assert (near[:2, :20] - vectors[:2]).abs().max() < 0.1 < (far[:2, :20] - vectors[:2]).abs().max()
    assert torch.equal(near[0, 20:], near[1, 20:]) and not torch.equal(near[0, 20:], far[0, 20:])
    mean = much._told(Conditions({"image": vectors}))["image"]
    assert torch.equal(mean, much._told(Conditions({"image": mean}))["image"])


def test_learning_puts_vectors_under_noise_of_the_item(generator: StableUnclip) -> None:
    latents, vectors = torch.randn(2, 4, 16, 16), torch.randn(2, 20, requires_grad=True)
    error = generator.denoising_error(latents, Conditions({"image": vectors}), sources(1, 2))
    again = generator.denoising_error(latents[:1], Conditions({"image": vectors[:1]}), sources(1))
    assert torch.allclose(error[:1], again, rtol=1e-4)
    (gradient,) = torch.autograd.grad(error[0], vectors)
    assert gradient[0].any() and not gradient[1].any()


def test_the_published_pipeline_builds_without_network_or_memory() -> None:
    config = StableUnclipConfig(checkpoint="stabilityai/stable-diffusion-2-1-unclip")
    with torch.device("meta"):
        bare = config.build(weights=False)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in bare.named_children()}
    # The UNet of Stable Diffusion 2.1 and two layers that map the vector and its level to its times.
    assert sizes["unet"] == 865_910_724 + (2048 + 1) * 1280 + (1280 + 1) * 1280
    assert (sizes["text_encoder"], sizes["tower"]) == (340_387_840, 632_076_800)
    assert {name: shape.item for name, shape in config.condition_shapes().items()} == {"image": (1024,)}
    assert config.preprocessor().side == 768


@pytest.mark.parametrize("changes", [{"class_embed_type": None}, {"projection_class_embeddings_input_dim": 20}])
def test_a_pipeline_of_another_kind_is_refused(folder: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    file = broken / "unet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(PartError, match="needed a pipeline of Stable unCLIP"):
        StableUnclipConfig(checkpoint=str(broken)).build()
