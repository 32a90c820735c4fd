"""A generator's denoiser that learns: by adapters or whole, by every objective that goes through it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import modalink
from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.kinds import parse
from modalink.modalities.audio import Sound, write
from modalink.model import System, compose
from modalink.recipe import Recipe
from modalink.recipe.groups import Group
from modalink.recipe.tiny import tiny_form
from modalink.roles import GeneratorConfig
from modalink.testing.sound_pipelines import tiny_audioldm
from modalink.training.denoiser_states import DenoiserStates
from modalink.training.events import StepDone
from modalink.training.frozen import frozen_generators
from modalink.training.train import train
from modalink.training.weights_copy import WeightsCopy
from tests.support.first_step import learned
from tests.support.run_files import records_of

LORA, WHOLE = Group.denoiser_lora("image"), Group.denoiser("image")
SETTINGS = {"lora": {"rank": 2, "alpha": 4}}
JUDGED = {"kind": "online_media", "media": 4, "rewards": [{"kind": "compressibility"}]}
STAGES: dict[str, dict[str, Any]] = {
    "diffusion": {},
    "reward_gradient": {},
    "diffusion_dpo": {"kind": "preference"},
    "diffusion_kto": {"kind": "preference"},
    "denoising_policy": JUDGED,
    "diffusion_nft": JUDGED,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "reward_gradient": {"steps": 2, "guidance": 1.0},
    "denoising_policy": {"steps": 2, "guidance": 1.0, "kl": 0.1},
    "diffusion_nft": {"steps": 2, "guidance": 1.0, "kl": 0.1},
}


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe], data: dict[str, str], picture_pairs: Path) -> Callable[..., Recipe]:
    """A recipe of one stage that trains groups by an objective; `generator` changes the generator, others the stage."""

    def make(kind: str, *groups: str, generator: dict[str, Any] | None = None, **changes: Any) -> Recipe:
        drawn = {"source": "messages", "path": data["draw"]}
        pairs = {"source": "preferences", "path": str(picture_pairs)}
        stage = {
            "name": "learn",
            "train": {group: {"lr": 1e-2} for group in groups},
            "objectives": [{"kind": kind, **OPTIONS.get(kind, {})}],
            "data": [pairs if STAGES[kind].get("kind") == "preference" else drawn],
            "batch": 2,
            "steps": 2,
            "checkpoint_every": 1,
            "schedule": "constant",
            "precision": "float32",
            **STAGES[kind],
            **changes,
        }
        plain = make_recipe(stage | {"train": {"outputs.image.projector": {"lr": 1e-2}}}).to_dict()
        plain["outputs"]["image"]["generator"] |= SETTINGS if generator is None else generator
        plain["stages"][0]["train"] = stage["train"]
        return Recipe.model_validate(plain)

    return make


@pytest.mark.parametrize("kind", STAGES)
def test_gradients_reach_exactly_the_adapters(recipe: Callable[..., Recipe], tmp_path: Path, kind: str) -> None:
    system, record = learned(recipe(kind, LORA), tmp_path)
    assert set(record["grad_norms"]) == {LORA} and record["grad_norms"][LORA] > 0
    groups = system.model.trainable_groups()
    reached = {name for members in groups.values() for name, own in members if own.grad is not None}
    assert reached == {name for name, _ in groups[LORA]} and len(reached) > 8
    ends = {name.removeprefix("denoisers.image.").partition(".lora_")[0].rpartition(".to_")[2] for name in reached}
    assert ends == {"q", "k", "v", "out.0"}
    generator = system.generators["image"]
    own = {id(p) for p in system.model.denoisers["image"].parameters()}
    assert all(p.grad is None for p in generator.parameters() if id(p) not in own)


@pytest.mark.parametrize("kind", ["diffusion", "diffusion_dpo"])
def test_the_whole_denoiser_learns_where_that_is_asked(
    recipe: Callable[..., Recipe], tmp_path: Path, kind: str
) -> None:
    system, record = learned(recipe(kind, WHOLE, generator={"trainable": True}), tmp_path)
    groups = system.model.trainable_groups()
    assert record["grad_norms"][WHOLE] > 0 and LORA not in groups
    assert {n for members in groups.values() for n, p in members if p.grad is not None} == {n for n, _ in groups[WHOLE]}
    assert {id(p) for _, p in groups[WHOLE]} == {id(p) for p in system.generators["image"].unet.parameters()}


class Killed(Exception):
    """Nothing in training knows it, so nothing is saved."""


def kill(event: Any) -> None:
    if isinstance(event, StepDone) and event.step == 2:
        raise Killed


@pytest.mark.parametrize(("group", "settings"), [(LORA, SETTINGS), (WHOLE, {"trainable": True})])
def test_pairs_teach_a_denoiser_that_is_saved_resumed_and_loaded(
    recipe: Callable[..., Recipe], tmp_path: Path, group: Group, settings: dict[str, Any]
) -> None:
    """The conditions stay as they are, so that the loss leaves ln 2 by the denoiser alone, of which the reference has the
    state in which the stage began."""
    chosen = recipe("diffusion_dpo", group, generator=settings, steps=3)
    start = compose(chosen, seed=chosen.seed)
    whole = train(chosen, tmp_path / "whole")
    losses = [record["losses"]["diffusion_dpo"] for record in records_of(whole, "learn")]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5) and abs(losses[1] - math.log(2)) > 1e-3
    with pytest.raises(Killed):
        train(chosen, tmp_path / "killed", on_event=kill)
    killed = train(chosen, tmp_path / "killed")
    assert records_of(killed, "learn") == records_of(whole, "learn")
    saved = load_file(whole / "model" / "model.safetensors")
    assert {n: t.tolist() for n, t in saved.items()} == {
        n: t.tolist() for n, t in load_file(killed / "model" / "model.safetensors").items()
    }
    members = start.model.trainable_groups()[group]
    assert {name for name in saved if name.startswith("denoisers.")} == {name for name, _ in members}

    session = modalink.load(whole)
    assert (WHOLE in session.system.model.config.references) == (group == LORA)
    found = dict(session.system.generators["image"].unet.named_parameters())
    for name, before in members:
        own = found[name.removeprefix("denoisers.image.")]
        assert torch.equal(own, saved[name]) and not torch.equal(own, before)
    again = tmp_path / "again"
    session.system.save(again)
    assert load_file(again / "model.safetensors").keys() == saved.keys()
    assert modalink.load(whole, generators=False).system.generators == {}


def test_pairs_of_sounds_teach_a_denoiser_as_in_tango_2(
    make_recipe: Callable[..., Recipe], parts: dict[str, Path], tmp_path: Path
) -> None:
    """Audio-Alpaca's columns, a generator of sounds, and its whole denoiser."""
    rows = []
    for number, words in enumerate(("a low hum", "a high whistle")):
        times = np.arange(1600) / 16_000
        for side, hz in (("chosen", 200), ("rejected", 2_000)):
            tone = np.sin(2 * np.pi * hz * (number + 1) * times) * 0.5
            write(Sound(tone.astype(np.float32), 16_000), tmp_path / f"{number}-{side}.wav")
        rows.append({"prompt": words, **{side: f"{number}-{side}.wav" for side in ("chosen", "rejected")}})
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    group = Group.denoiser("audio")
    stage = {
        "name": "prefer",
        "kind": "preference",
        "train": {group: {"lr": 1e-2}},
        "objectives": [{"kind": "diffusion_dpo", "beta": 2000}],
        "data": [{"source": "preferences", "path": str(tmp_path / "pairs.jsonl"), "format": "sounds"}],
        "batch": 2,
        "steps": 2,
        "schedule": "constant",
        "precision": "float32",
    }
    plain = make_recipe().to_dict()
    generator = {"kind": "audioldm", "checkpoint": str(tiny_audioldm(tmp_path / "audioldm")), "trainable": True}
    plain["outputs"] = {"audio": plain["outputs"]["image"] | {"generator": generator}}
    run = train(Recipe.model_validate(plain | {"stages": [stage]}), tmp_path / "run")
    first, second = (record["losses"]["diffusion_dpo"] for record in records_of(run, "prefer"))
    assert first == pytest.approx(math.log(2), abs=1e-5) and abs(second - math.log(2)) > 1e-3
    answer = modalink.load(run).system.generators["audio"]
    saved = load_file(run / "model" / "model.safetensors")
    assert torch.equal(answer.unet.conv_in.weight, saved["denoisers.audio.conv_in.weight"])


def test_a_denoiser_that_nothing_has_trained_is_saved_as_a_reference(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    system = compose(recipe("diffusion", WHOLE, generator={"trainable": True}), seed=0)
    system.save(tmp_path)
    assert WHOLE in system.model.config.references
    assert not [name for name in load_file(tmp_path / "model.safetensors") if name.startswith("denoisers.")]
    whole = System.load(tmp_path).generators["image"]
    assert all(map(torch.equal, whole.parameters(), system.generators["image"].parameters()))


def test_adapters_that_are_new_change_nothing(
    recipe: Callable[..., Recipe], make_recipe: Callable[..., Recipe]
) -> None:
    """Neither what is drawn nor the other new weights, and what is computed once hangs on nothing that learns."""
    plain, adapted = compose(make_recipe(), seed=0), compose(recipe("diffusion", LORA), seed=0)
    state = adapted.model.state_dict()
    assert all(torch.equal(values, state[name]) for name, values in plain.model.state_dict().items())
    pictures = []
    for system in (plain, adapted):
        generator = system.generators["image"]
        conditions = generator.encode_text(["a red cube"])
        rng = [torch.Generator().manual_seed(0)]
        pictures.append(generator.sample_latents(conditions, rng=rng, steps=2))
    assert torch.equal(*pictures)
    once = Once(FeatureCache(), torch.float32, torch.device("cpu"))
    before = frozen_generators(adapted, once)["image"].key
    for _, parameter in adapted.model.trainable_groups()[LORA]:
        parameter.data += 1
    assert frozen_generators(adapted, once)["image"].key == before


def test_earlier_states_are_there_inside_alone() -> None:
    own, other = (torch.nn.Parameter(torch.tensor([value])) for value in (1.0, 10.0))
    states = DenoiserStates({"own": own}, WeightsCopy({"own": own, "other": other}))
    own.data += 1
    states.note_drawing()
    own.data += 1
    other.data += 1
    with states.as_drawn():
        assert (own.item(), other.item()) == (2.0, 11.0)
    for _ in range(2):
        with states.at_start():
            assert (own.item(), other.item()) == (1.0, 11.0)
    assert own.item() == 3.0
    with DenoiserStates({}, None).at_start(), DenoiserStates({}, None).as_drawn():
        assert own.item() == 3.0


def test_what_cannot_learn_is_refused_with_a_hint(recipe: Callable[..., Recipe]) -> None:
    for group, generator, hint in (
        (LORA, {}, r"let its generator learn: generator: \{lora: \{rank: 8, alpha: 16\}\}"),
        (WHOLE, SETTINGS, r"let its generator learn: generator: \{trainable: true\}"),
    ):
        with pytest.raises(ValueError, match=hint):
            recipe("diffusion", group, generator=generator)
    with pytest.raises(
        ValueError, match=r"nothing here teaches it: add the objective denoising_policy or diffusion or"
    ):
        recipe("diffusion", LORA, objectives=[{"kind": "align"}])
    with pytest.raises(
        ValueError, match="found lora in a generator of kind 'musicgen', needed one that restores media"
    ):
        parse(GeneratorConfig.room, {"kind": "musicgen", "checkpoint": "any", **SETTINGS})
    wrong = recipe("diffusion", LORA, generator={"lora": {"rank": 2, "alpha": 4, "targets": ["to_z"]}})
    with pytest.raises(modalink.errors.PartError, match=r"no linear layer is called to_z .*to_k, to_out.0, to_q"):
        compose(wrong, seed=0)


def test_the_tiny_form_has_adapters_of_its_own(recipe: Callable[..., Recipe]) -> None:
    chosen = recipe("diffusion", LORA, generator={"lora": {"rank": 64, "alpha": 64, "targets": ["to_q"]}})
    tiny = Recipe.model_validate(tiny_form(chosen))
    lora = tiny.outputs["image"].generator.lora
    assert (lora.rank, lora.alpha, lora.targets) == (8, 8, None)
    assert LORA in tiny.stages[0].train
