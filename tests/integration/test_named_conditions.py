"""A generator that reads two conditions, a masked sequence and a pooled vector, from training to what it draws."""

import pytest
import torch

from modalink.conversation import Conversation
from modalink.errors import PartError
from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.features.disk import DiskFeatures
from modalink.inference import Engine, Request, Sampling
from modalink.model import System, compose, skeleton
from modalink.planning.doctor import examine
from modalink.recipe import Recipe
from modalink.roles import Conditions, ConditionShape
from modalink.testing import check_generator
from modalink.training.frozen import frozen_generators
from modalink.training.train import train
from tests.support.duet import SHAPES, Duet, DuetConfig

CPU = torch.device("cpu")
MIXER = {"kind": "mixer", "values": 8, "groups": 2, "width": 8, "heads": 2, "feed_forward": 8}


def test_it_keeps_the_promises_of_its_role() -> None:
    check_generator(DuetConfig(), from_files=False)


@pytest.fixture
def recipe(make_recipe, instruct, install) -> Recipe:
    """One step of all item objectives through a projector of each condition."""
    install(DuetConfig)
    data = make_recipe(instruct(steps=1, batch=4)).to_dict()
    data["outputs"]["image"] |= {"generator": {"kind": "duet"}}
    return Recipe.model_validate(data)


def _with_projector(recipe: Recipe, projector: dict) -> Recipe:
    data = recipe.to_dict()
    data["outputs"]["image"]["projector"] = projector
    return Recipe.model_validate(data)


def test_it_has_a_projector_for_each_condition_which_the_doctor_shows(recipe: Recipe) -> None:
    names = [name for name, _ in skeleton(recipe).trainable_groups()["outputs.image.projector"]]
    assert {name.split(".")[2] for name in names} == {"words", "style"}
    lines = [line for finding in examine(recipe) if finding.topic == "widths" for line in finding.lines]
    assert lines[-1].endswith("projector words 6 x 8, style 5, generator words 6 x 8, style 5")


def test_a_step_moves_all_projectors_and_what_is_saved_draws_the_same(recipe: Recipe, tmp_path) -> None:
    fresh = compose(recipe, seed=recipe.seed).model.output_projectors["image"].state_dict()
    system = System.load(train(recipe, tmp_path / "run") / "model")
    trained = system.model.output_projectors["image"].state_dict()
    moved = {name.split(".")[0] for name in fresh if not torch.equal(fresh[name], trained[name])}
    assert moved == {"words", "style"}

    first = system.model.config.signals["image"][0]
    head = system.model.get_output_embeddings()
    head.register_forward_hook(lambda module, args, logits: logits.index_fill(-1, torch.tensor([first]), 1e4))
    talks = [[{"role": "user", "content": f"Draw {word}."}] for word in ("a red cube", "it", "one of each")]
    requests = [
        Request(system.processor.prepare(Conversation.from_messages(talk), reply=True), Sampling(max_new_tokens=6))
        for talk in talks
    ]
    engine = Engine(system)
    together = engine.generate(requests)
    for request, completion in zip(requests, together, strict=True):
        (alone,) = engine.generate([request])
        found, expected = completion.conditions["image"], alone.conditions["image"]
        found.check(SHAPES)
        assert len(found) == len(completion.media) == 3
        for name in SHAPES:
            torch.testing.assert_close(found[name], expected[name])
        for medium, other in zip(completion.media, alone.media, strict=True):
            assert medium.source == other.source
    assert together[0].media[0].source != together[1].media[0].source


@pytest.mark.parametrize("fresh", [False, True])
def test_its_conditions_are_computed_once_masks_included(recipe: Recipe, tmp_path, monkeypatch, fresh: bool) -> None:
    system, own = compose(recipe, seed=0), Duet()
    caches = [FeatureCache(DiskFeatures(tmp_path / "disk", 2**20), chunk=2) for _ in range(2)]
    captions = ["a red cube", "", "many words are more than it reads"]
    first = frozen_generators(system, Once(caches[0], torch.float32, CPU))["image"]
    first.text_conditions(captions), first.null_conditions(), caches[0].flush()

    monkeypatch.delattr(Duet, "encode_text"), monkeypatch.delattr(Duet, "null_conditions")
    again = frozen_generators(system, Once(caches[fresh], torch.float32, CPU))["image"]
    monkeypatch.undo()
    for found, expected in (
        (again.text_conditions(captions), own.encode_text(captions)),
        (again.null_conditions(), own.null_conditions(1)),
    ):
        found.check(SHAPES)
        assert all(torch.equal(found[name], expected[name]) for name in SHAPES)
        assert torch.equal(found.mask("words"), expected.mask("words"))


def test_projectors_start_at_the_mean_of_the_words_that_there_are(recipe: Recipe, tmp_path) -> None:
    stage = recipe.stages[0].replace(train={"outputs.image.projector": {"lr": 1e-9}})
    recipe = _with_projector(recipe, MIXER).replace(stages=[stage])
    system = compose(recipe, seed=recipe.seed)
    train(recipe, tmp_path / "run", system=system)
    offsets = {name: head.offset.detach() for name, head in system.model.heads("image").items()}
    assert offsets["words"][:3].abs().sum(1).min() > 0.1, "captions have three words"
    assert offsets["words"][3:].abs().max() < 1e-6
    assert offsets["style"].shape == (1, 5) and offsets["style"].abs().min() > 1e-3


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, "outputs.image.generator: found no conditions, needed at least one"),
        ({**SHAPES, "values": ConditionShape(3)}, "outputs.image.generator: found a condition 'values', needed a free"),
        ({**SHAPES, "a.b": ConditionShape(3)}, "found a condition 'a.b', needed a free name for a module"),
    ],
)
def test_a_declaration_that_cannot_be_built_is_refused(recipe: Recipe, monkeypatch, shapes, message) -> None:
    monkeypatch.setattr(DuetConfig, "condition_shapes", lambda self: shapes)
    with pytest.raises(PartError, match=message):
        skeleton(recipe)


def test_an_error_names_the_condition_whose_projector_cannot_be_built(recipe: Recipe) -> None:
    with pytest.raises(PartError, match=r"outputs.image.projector: style: mlp: found 2 signal tokens for 1 conditions"):
        skeleton(_with_projector(recipe, {"kind": "mlp"}))


def test_what_it_makes_otherwise_than_declared_is_refused(recipe: Recipe, monkeypatch) -> None:
    system = compose(recipe, seed=0)
    generator = frozen_generators(system, Once(FeatureCache(), torch.float32, CPU))["image"]
    monkeypatch.setattr(Duet, "encode_text", lambda self, texts: Conditions({"style": torch.ones(len(texts), 5)}))
    with pytest.raises(PartError, match=r"found conditions style 5; the generator declares words 6 x 8, style 5"):
        generator.text_conditions(["a"])
