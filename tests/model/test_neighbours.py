"""What retrieval finds stands beside the states of output projectors, learns with them, and never is the sample itself."""

import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.data.sources.messages import MessagesConfig
from modalink.errors import PartError
from modalink.inference.engine import Engine
from modalink.inference.indexing import build_index
from modalink.inference.request import Request
from modalink.inference.sampling import Sampling
from modalink.kinds import parse
from modalink.model import System, compose
from modalink.recipe import Recipe, load
from modalink.roles.retriever import Query
from tests.support.little_recipes import record, write_records

NAMES = ("red", "lime", "blue", "yellow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four flags, each called by its colour."""
    folder = tmp_path_factory.mktemp("flags")
    for name in NAMES:
        Image.new("RGB", (64, 64), name).save(folder / f"{name}.png")
    write_records(folder, [record(n, "<image>what?", f"It is {n}.", images=[str(folder / f"{n}.png")]) for n in NAMES])
    return folder


@pytest.fixture(scope="module")
def recipe(folder):
    """The demo whose drawings also read the two nearest flags, which stand nowhere else."""
    demo = load("demo")
    config = parse("modalink.retrievers", {"kind": "encoder", "index": str(folder / "index"), "pool": "mean"})
    build_index(MessagesConfig(path=str(folder / "data.jsonl")), config, compose(demo))
    data = demo.to_dict()
    data["outputs"]["image"]["states"]["neighbours"] = 2
    data["retrieval"] = {"retriever": config.model_dump(), "neighbours": 2, "show": "nothing"}
    return Recipe.model_validate(data)


@pytest.fixture(scope="module")
def system(recipe):
    return compose(recipe)


def asked(folder, name, reply=()):
    turns = [Turn("user", (Medium("image", str(folder / f"{name}.png")), Text("Draw it.")))]
    return Conversation((*turns, *reply), f"asked-{name}")


def drawn(folder, name):
    return asked(folder, name, [Turn("assistant", (Medium("image", str(folder / f"{name}.png")),))])


def batch_of(system, samples):
    return system.batch([sample.loaded() for sample in samples])


def test_the_question_stays_as_it_is_and_carries_the_vectors_of_what_was_found(system, folder):
    prepared = system.prepare(asked(folder, "red"), reply=True)
    assert prepared.input_ids == system.processor.prepare(asked(folder, "red"), reply=True).input_ids
    found = system.retrieving.found(asked(folder, "red").turns[0])
    vectors, owners = system.retrieving.retriever.index.vectors
    expected = torch.stack([vectors[owners == one.number][0] for one in found])
    assert found[0].source == "red" and torch.equal(prepared.neighbours, expected)


def test_what_is_not_found_is_zeros(system, folder):
    words = Conversation((Turn("user", (Text("Draw a cube."),)),), "words")
    assert system.prepare(words, reply=True).neighbours is None
    batch = batch_of(system, [system.prepare(drawn(folder, "red")), system.processor.prepare(drawn(folder, "red"))])
    assert batch.neighbours[0].any() and not batch.neighbours[1].any()


def test_training_leaves_the_sample_itself_out(system, folder):
    own = system.retrieving.retriever.index.vectors[0][0]
    learned = system.prepare(drawn(folder, "red"), learning=True).neighbours
    assert torch.equal(system.prepare(drawn(folder, "red")).neighbours[0], own)
    assert not any(torch.equal(vector, own) for vector in learned)


def conditions_of(system, batch):
    with torch.no_grad():
        return system.model(**batch.inputs(logits=False)).conditions["image"]["tokens"]


def test_conditions_depend_on_what_was_found_each_on_its_own(system, folder):
    samples = [system.prepare(drawn(folder, name)) for name in ("red", "blue")]
    together = conditions_of(system, batch_of(system, samples))
    alone = torch.cat([conditions_of(system, batch_of(system, [sample])) for sample in samples])
    assert torch.allclose(together, alone, atol=1e-4 * alone.abs().max())
    plain = system.processor.prepare(drawn(folder, "red"))
    without = conditions_of(system, batch_of(system, [plain]))
    assert (without - together[:1]).abs().max() > 1e-3 * together.abs().max()


def test_the_map_of_neighbours_learns_with_the_projector(system, folder):
    batch = batch_of(system, [system.prepare(drawn(folder, "red"), learning=True)])
    reader = system.model.reader("image")
    made = system.model(**batch.inputs(logits=False)).conditions["image"]["tokens"]
    gradient = torch.autograd.grad(made.square().sum(), reader.neighbour.weight)[0]
    assert gradient.abs().max() > 0
    groups = system.model.trainable_groups()
    assert any(parameter is reader.neighbour.weight for _, parameter in groups["outputs.image.projector"])


def test_an_answer_is_drawn_with_what_was_found_alone_as_in_a_batch_and_from_a_saved_system(system, folder, tmp_path):
    first = system.model.config.signals["image"][0]
    prompts = [system.prepare(asked(folder, name), reply=True) for name in ("red", "blue")]
    plain = system.processor.prepare(asked(folder, "red"), reply=True)

    def made(whole, own):
        engine = Engine(whole)
        engine.silent = _Drawing(first)
        return [
            one.conditions["image"]["tokens"]
            for one in engine.generate([Request(p, Sampling(max_new_tokens=6), media=False) for p in own])
        ]

    together, alone = made(system, prompts), made(system, prompts[:1])
    assert torch.allclose(together[0], alone[0], atol=1e-4 * alone[0].abs().max())
    assert (made(system, [plain])[0] - alone[0]).abs().max() > 1e-3 * alone[0].abs().max()
    system.save(tmp_path / "saved")
    again = made(System.load(tmp_path / "saved", generators=False), prompts[:1])
    assert torch.allclose(again[0], alone[0], atol=1e-5 * alone[0].abs().max())


class _Drawing:
    """Lets nothing be said but the first signal token."""

    def __init__(self, first):
        self.first = first

    def __call__(self, scores, rooms):
        scores[:, : self.first] = -torch.inf
        scores[:, self.first + 1 :] = -torch.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(retrieval=None), "found 2 and no retrieval, needed retrieval of as many at least"),
        (lambda data: data["retrieval"].update(neighbours=1), "found 2 and retrieval of 1 neighbours"),
        (lambda data: data["outputs"]["image"]["states"].update(at="prompt"), "beside the prompt's states"),
    ],
)
def test_a_recipe_that_cannot_find_them_is_refused(recipe, change, message):
    data = recipe.to_dict()
    change(data)
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(data)


def test_an_index_without_vectors_is_refused(recipe, folder):
    words = parse("modalink.retrievers", {"kind": "words", "index": str(folder / "words")})
    build_index(MessagesConfig(path=str(folder / "data.jsonl")), words)
    data = recipe.to_dict()
    data["retrieval"]["retriever"] = words.model_dump()
    with pytest.raises(PartError, match=r"vectors.safetensors: cannot be read as safetensors"):
        compose(Recipe.model_validate(data))
    assert words.build(None).search(Query("red"), 1)
