"""Frozen parts compute each item once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.modalities.image import _StoredImage
from modalink.model import ModalinkForConditionalGeneration, compose
from modalink.model.collating import collate
from modalink.model.items import Item
from modalink.model.prepared import Prepared
from modalink.ragged import Layout, Ragged
from modalink.recipe import Recipe
from modalink.runs.ledger import Ledger
from modalink.settings import run_settings
from modalink.training.frozen import FrozenEncoders, frozen_generators
from modalink.training.train import train

CPU = torch.device("cpu")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many items each call of an encoder got."""
    sizes: list[int] = []
    encode = ModalinkForConditionalGeneration.encode

    def counted(self: ModalinkForConditionalGeneration, modality: str, items: Ragged) -> Ragged:
        sizes.append(len(items))
        return encode(self, modality, items)

    monkeypatch.setattr(ModalinkForConditionalGeneration, "encode", counted)
    return sizes


def test_a_frozen_encoder_sees_each_item_once_in_all_epochs_and_stages(
    make_recipe: Callable[..., Recipe], pretrain, encoded: list[int], tmp_path: Path
) -> None:
    recipe = make_recipe(pretrain(steps=6), pretrain(name="again", steps=3, batch=4))
    train(recipe, tmp_path / "run")
    # Two copies of one item first, to see whether its place matters; then six items, together or alone as that told.
    assert sum(encoded) == 2 + 6


def test_an_encoder_that_learns_is_not_cached(
    make_recipe: Callable[..., Recipe], pretrain, encoded: list[int], tmp_path: Path
) -> None:
    rates = {"inputs.image.encoder": {"lr": 1e-3}, "inputs.image.projector": {"lr": 1e-3}}
    recipe = make_recipe(pretrain(train=rates, steps=2), pretrain(name="again", steps=4))
    system = compose(recipe, seed=0)
    train(recipe, tmp_path / "run", system=system)
    # The first stage's encoder is none of the cache's business; of the second stage: two copies, then six items.
    assert sum(encoded) == 2 + 6


def _batch(*values: torch.Tensor):
    samples = [Prepared(str(i), [1, 2], [-100, 2], media={"image": [Item.of(v)]}) for i, v in enumerate(values)]
    return collate(samples, packed=True, pad_id=0)


def test_features_are_the_same_bits_whatever_stands_beside_an_item(make_recipe: Callable[..., Recipe]) -> None:
    system = compose(make_recipe(), seed=0)
    pictures = [torch.randn(1, 3, 32, 32) for _ in range(5)]
    together = FrozenEncoders(system, [], Once(FeatureCache(chunk=4), torch.float32, CPU)).encoded(_batch(*pictures))
    apart = FrozenEncoders(system, [], Once(FeatureCache(chunk=4), torch.float32, CPU))
    for number, picture in enumerate(pictures):
        alone = apart.encoded(_batch(picture)).features["image"].values
        assert torch.equal(alone, together.features["image"].take([number]).values)
    direct = system.model.encode("image", Ragged.of(pictures, [Layout.of_units(1)] * 5))
    torch.testing.assert_close(together.features["image"].values, direct.values.detach())
    assert not together.media


def test_weights_and_precision_are_part_of_the_key(make_recipe: Callable[..., Recipe]) -> None:
    system = compose(make_recipe(), seed=0)
    cache, batch = FeatureCache(), _batch(torch.randn(1, 3, 32, 32))

    def features(dtype: torch.dtype) -> torch.Tensor:
        return FrozenEncoders(system, [], Once(cache, dtype, CPU)).encoded(batch).features["image"].values.float()

    first = features(torch.float32)
    assert torch.equal(features(torch.float32), first)
    assert not torch.equal(features(torch.bfloat16), first)
    with torch.no_grad():
        next(system.model.model.encoders["image"].parameters()).mul_(2)
    assert not torch.equal(features(torch.float32), first)


def test_latents_and_text_conditions_are_those_of_the_generator(make_recipe: Callable[..., Recipe]) -> None:
    system = compose(make_recipe(), seed=0)
    generator = frozen_generators(system, Once(FeatureCache(), torch.float32, CPU))["image"]
    items = [Item.of(torch.rand(1, 3, 32, 32), caption=f"caption {i}") for i in range(3)]
    targets = collate([Prepared("a", [1, 2], [-100, 2], targets={"image": items})], packed=True, pad_id=0).targets[
        "image"
    ]
    own = system.generators["image"]
    torch.testing.assert_close(
        torch.stack(generator.latents(targets, range(len(targets.items)))), own.encode_media(targets.media).detach()
    )
    for _ in range(2):
        found = generator.text_conditions(["caption 1", "", "caption 1"])
        torch.testing.assert_close(found["tokens"], own.encode_text(["caption 1", "", "caption 1"])["tokens"])
    assert torch.equal(generator.null_conditions()["tokens"], generator.text_conditions([""])["tokens"])


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The media that were decoded."""
    names: list[str] = []
    read = _StoredImage.read

    def counted(self: _StoredImage) -> Image.Image:
        names.append(Path(self.label).name)
        return read(self)

    monkeypatch.setattr(_StoredImage, "read", counted)
    return names


@pytest.mark.parametrize("workers", [0, 2])
def test_a_later_epoch_and_another_run_decode_nothing(
    make_recipe: Callable[..., Recipe], decoded: list[str], workers: int, tmp_path: Path
) -> None:
    settings = run_settings(workers=workers, cache=tmp_path / "cache")
    train(make_recipe(), tmp_path / "run", settings=settings)
    assert len(decoded) <= 2 * 2 * len(set(decoded))  # read and made, and once more where threads meet one item
    first, seen = len(decoded), set(decoded)
    assert seen == {f"{number}.png" for number in range(6)}
    train(make_recipe(), tmp_path / "again", settings=settings)
    assert len(decoded) == first


def test_what_is_in_no_cache_is_loaded_by_the_threads_that_read_ahead(
    make_recipe: Callable[..., Recipe], data: dict[str, str], tmp_path: Path
) -> None:
    """A picture whose header is whole and whose pixels are not is left out with its reason, as one without a header."""
    picture = Path(data["ask"]).with_name("0.png").read_bytes()
    folder = tmp_path / "data"
    shutil.copytree(Path(data["ask"]).parent, folder)
    (folder / "0.png").write_bytes(picture[: len(picture) // 2])
    source = {"source": "messages", "path": str(folder / "ask.jsonl")}
    recipe = make_recipe()
    stage = recipe.stages[0].replace(data=[source], steps=3)
    train(recipe.replace(stages=[stage]), tmp_path / "run")
    entries = list(Ledger(tmp_path / "run" / stage.name / "ledger.jsonl"))
    assert {(entry.sample, entry.reason) for entry in entries} >= {("ask-0", "truncated"), ("ask-absent", "missing")}
