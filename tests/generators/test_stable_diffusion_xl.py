"""Stable Diffusion XL. That its numbers are the pipeline's, `docs/tools/parity/generators/stable_diffusion_xl.py` holds."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from modalink.errors import PartError
from modalink.generators.stable_diffusion_xl import StableDiffusionXl, StableDiffusionXlConfig
from modalink.roles import Conditions
from modalink.testing import check_generator
from modalink.testing.pipelines import tiny_stable_diffusion_xl


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion_xl(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def generator(folder: Path) -> StableDiffusionXl:
    return StableDiffusionXlConfig(checkpoint=str(folder)).build()


def test_it_keeps_the_promises_of_its_role(folder: Path) -> None:
    check_generator(StableDiffusionXlConfig(checkpoint=str(folder)))


def test_the_unet_is_told_the_size_of_what_is_made(generator: StableDiffusionXl) -> None:
    conditions = Conditions({"tokens": torch.randn(2, 16, 56), "pooled": torch.randn(2, 20)})
    added = generator.further(torch.zeros(2, 4, 24, 16), conditions)["added_cond_kwargs"]
    assert added["time_ids"].tolist() == [[48, 32, 0, 0, 48, 32]] * 2
    assert torch.equal(added["text_embeds"], conditions["pooled"])


def test_it_steers_away_from_zeros_or_from_no_words(folder: Path, generator: StableDiffusionXl) -> None:
    zeros, words = generator.null_conditions(2), generator.encode_text(["", ""])
    assert not zeros["tokens"].any() and not zeros["pooled"].any()
    other = StableDiffusionXlConfig(checkpoint=str(folder), nothing="empty_text").build().null_conditions(2)
    assert torch.equal(other["tokens"], words["tokens"]) and torch.equal(other["pooled"], words["pooled"])


def test_the_published_pipeline_builds_without_network_or_memory() -> None:
    config = StableDiffusionXlConfig(checkpoint="stabilityai/stable-diffusion-xl-base-1.0")
    with torch.device("meta"):
        bare = config.build(weights=False)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in bare.named_children()}
    assert sizes == {
        "unet": 2_567_463_684, "vae": 83_653_863, "text_encoder": 123_060_480, "second": 694_659_840
    }  # fmt: skip
    assert {name: shape.item for name, shape in config.condition_shapes().items()} == {
        "tokens": (77, 2048),
        "pooled": (1280,),
    }
    assert config.preprocessor().side == 1024


@pytest.mark.parametrize("changes", [{"addition_embed_type": None}, {"projection_class_embeddings_input_dim": 45}])
def test_a_pipeline_of_another_kind_is_refused(folder: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    file = broken / "unet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(PartError, match="needed a pipeline of Stable Diffusion XL"):
        StableDiffusionXlConfig(checkpoint=str(broken)).build()
