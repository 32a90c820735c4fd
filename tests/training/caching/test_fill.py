"""The cache is filled ahead of training, which then computes nothing and learns the same."""

import copy
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from modalink.encoders.vision import VisionEncoder
from modalink.errors import MissingExtraError, OptionError, UnknownNameError
from modalink.generators.stable_diffusion import StableDiffusion
from modalink.model import compose, compose_without_llm
from modalink.recipe import Recipe
from modalink.roles import Preprocessor
from modalink.runs.ledger import Ledger
from modalink.settings import RunSettings, run_settings
from modalink.tensor_files import weights_digest
from modalink.training.caching import engines
from modalink.training.caching.fill import StageTotals, fill
from modalink.training.caching.plan import plans
from modalink.training.caching.samples import StageSamples
from modalink.training.train import train
from tests.support import forks

CPU = torch.device("cpu")


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return run_settings(cache=tmp_path / "cache", device="cpu")


def computed(found: list[StageTotals]) -> dict[str, list[int]]:
    return {totals.stage: [part.computed for part in totals.parts.values()] for totals in found}


def losses(run: Path) -> list[Any]:
    lines = [line for stage in sorted(run.glob("*/metrics.jsonl")) for line in stage.read_text().splitlines()]
    return [json.loads(line)["losses"] for line in lines]


def packs(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*.pack")}


def test_training_finds_all_and_its_losses_are_those_without_a_cache(
    make_recipe: Callable[..., Recipe], settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe()
    train(recipe, tmp_path / "without", settings=settings.replace(cache=None))
    found = fill(recipe, settings=settings)
    assert computed(found) == {"pretrain": [6], "instruct": [0, 13]}  # 6 latents, 6 captions, what asks for nothing
    assert found[0].parts["inputs.image.encoder"].tokens == 6 * 16
    before = packs(tmp_path / "cache")

    def refuse(*_: Any) -> None:
        raise AssertionError("it is computed again")

    for owner, name in ((VisionEncoder, "encode"), (StableDiffusion, "encode_media"), (StableDiffusion, "encode_text")):
        monkeypatch.setattr(owner, name, refuse)
    train(recipe, tmp_path / "with", settings=settings)
    assert losses(tmp_path / "with") == losses(tmp_path / "without")
    assert packs(tmp_path / "cache") == before


def test_bad_samples_stand_in_a_ledger_as_in_training(
    make_recipe: Callable[..., Recipe], pretrain: Any, settings: RunSettings, tmp_path: Path
) -> None:
    recipe = make_recipe(pretrain())
    for _ in range(2):
        (totals,) = fill(recipe, settings=settings, ledgers=tmp_path / "ledgers")
        assert totals.left == {"missing": 1} and totals.samples == 7
        assert totals.ledger == tmp_path / "ledgers" / "pretrain" / "ledger.jsonl"
        (entry,) = Ledger(totals.ledger)
        assert (entry.sample, entry.reason) == ("ask-absent", "missing")


def test_only_what_is_missing_or_corrupt_is_computed(
    make_recipe: Callable[..., Recipe], pretrain: Any, settings: RunSettings, tmp_path: Path
) -> None:
    recipe = make_recipe(pretrain())
    assert computed(fill(recipe, settings=settings)) == {"pretrain": [6]}
    assert computed(fill(recipe, settings=settings)) == {"pretrain": [0]}
    ((pack, content),) = packs(tmp_path / "cache").items()
    pack.write_bytes(bytes([content[0] ^ 1]) + content[1:-1])  # the first is another, the last is cut
    assert computed(fill(recipe, settings=settings)) == {"pretrain": [2]}
    assert computed(fill(recipe, settings=settings)) == {"pretrain": [0]}


def test_a_dry_run_weighs_what_will_be_there_and_writes_nothing(
    make_recipe: Callable[..., Recipe], settings: RunSettings, tmp_path: Path
) -> None:
    recipe = make_recipe()
    dry = fill(recipe, settings=settings, dry=True)
    assert not packs(tmp_path / "cache") and not (tmp_path / "cache" / "ledgers").exists()
    wet = fill(recipe, settings=settings)
    assert [totals.parts for totals in dry] == [totals.parts for totals in wet]
    new = sum(part.computed_size for totals in dry for part in totals.parts.values())
    assert new == sum(map(len, packs(tmp_path / "cache").values()))


def kill_once() -> Callable[[Any], None]:
    """Kills the process that does the first block, which may be at its second."""
    killed: list[int] = []

    def kill(done: Any) -> None:
        if not killed:
            killed.append(done.pid)
            os.kill(done.pid, signal.SIGKILL)

    return kill


@pytest.fixture
def many(make_recipe: Callable[..., Recipe], pretrain: Any) -> Recipe:
    """A stage that learns from 160 pictures, most of them different, and one from 96 of them."""
    data = [{"source": "tiny_world", "count": 160, "tasks": ["caption"]}]
    return make_recipe(pretrain(data=data, batch=32, steps=5), pretrain(name="part", data=data, batch=32, steps=3))


def test_several_processes_of_which_one_is_killed_lose_nothing(
    many: Recipe, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "START", forks.METHOD)
    (totals,) = fill(many, settings=settings, workers=2, stages=["pretrain"], on_done=kill_once())
    assert totals.done == 160
    assert computed(fill(many, settings=settings)) == {"pretrain": [0], "part": [0]}


def test_the_processes_of_a_ray_cluster_of_which_one_is_killed_lose_nothing(
    many: Recipe, settings: RunSettings
) -> None:
    found = fill(many, settings=settings, workers=2, engine="ray", stages=["pretrain"], on_done=kill_once())
    assert [totals.done for totals in found] == [160]
    assert computed(fill(many, settings=settings, stages=["pretrain"])) == {"pretrain": [0]}


def test_without_ray_the_words_say_what_to_install(
    many: Recipe, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'modalink\[ray\]'"):
        fill(many, settings=settings, engine="ray")


def test_a_stage_asks_for_its_own_samples_each_once_and_for_others_in_the_place_of_bad_ones(many: Recipe) -> None:
    whole, part = (StageSamples(plan, many.seed) for plan in plans(many, {}, CPU))
    assert (whole.count(), whole.count(9), part.count(), part.count(9)) == (160, 160, 96, 105)
    places = part.places(0, 50) + part.places(50, 96)
    assert len({*places}) == 96 and part.places(0, 96) == places
    assert sorted(whole.places(0, 200)) == [(0, index) for index in range(160)]


def test_what_cannot_be_known_ahead_is_told(
    make_recipe: Callable[..., Recipe], pretrain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"inputs.image.encoder": {"lr": 1e-3}, "inputs.image.projector": {"lr": 1e-3}}
    recipe = make_recipe(pretrain(), pretrain(name="tune", train=rates), pretrain(name="after"))
    found = {plan.name: (plan.reads, plan.notes) for plan in plans(recipe, {}, CPU)}
    assert found["pretrain"][0] == ("image",)
    assert found["tune"] == ((), ("image: its encoder learns in this stage",))
    assert found["after"] == ((), ("image: its encoder learns in the stage tune before",))
    monkeypatch.setattr(Preprocessor, "seeded", lambda self, seed: copy.copy(self))
    plan = plans(make_recipe(pretrain()), {}, CPU)[0]
    assert (plan.reads, plan.notes) == ((), ("image: what is read of each medium is drawn anew each time",))


def test_the_samples_that_a_stage_is_measured_by_are_there_too(
    make_recipe: Callable[..., Recipe], pretrain: Any, settings: RunSettings
) -> None:
    data = [{"source": "tiny_world", "count": 30, "tasks": ["caption"], "split": "test"}]
    recipe = make_recipe(pretrain(evaluate={"every": 2, "data": data, "samples": 12}))
    found = fill(recipe, settings=settings)
    assert [(totals.stage, totals.done) for totals in found] == [("pretrain", 7), ("pretrain/evaluation", 12)]


def test_a_full_folder_ends_it(many: Recipe, settings: RunSettings) -> None:
    (totals,) = fill(many, settings=settings.replace(cache_bytes=100_000))
    assert "full at 100,000 bytes" in totals.refusal and 0 < totals.done < 160


def test_wrong_settings_are_named(many: Recipe, settings: RunSettings, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown stage 'pretrian'; did you mean 'pretrain'"):
        fill(many, settings=settings, stages=["pretrian"])
    with pytest.raises(OptionError, match="found the cache off, needed a folder"):
        fill(many, settings=settings.replace(cache=None))
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match=r"file: found no folder that can be written \(File exists\); name another"):
        fill(many, settings=settings.replace(cache=tmp_path / "file"))


def test_encoders_alone_are_those_of_the_whole_system(make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe()
    whole, alone = compose(recipe, seed=3), compose_without_llm(recipe, seed=3)
    digests = [weights_digest(system.model.model.encoder("image")) for system in (whole, alone)]
    assert digests[0] == digests[1] and alone.model.language_model.device.type == "meta"
