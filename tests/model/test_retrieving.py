"""What is found stands before the question, changes the answer, and never is the sample itself in training."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from modalink.conversation import Conversation, Medium, Region, Text, Turn
from modalink.data.sources.messages import MessagesConfig
from modalink.errors import CheckpointError, PartError, RecipeError
from modalink.inference import Session
from modalink.inference.indexing import build_index
from modalink.kinds import parse
from modalink.model import System, compose
from modalink.recipe import Recipe
from modalink.runs.manifest import manifest, write_manifest
from modalink.training.train import train
from tests.support.little_recipes import recipe_of, record, vision, write_records

NAMES = ("red", "lime", "blue", "yellow")


@pytest.fixture
def recipe(tmp_path):
    """A recipe that learns what four flags are called, with an index of these very samples."""
    for name in NAMES:
        Image.new("RGB", (20, 20), name).save(tmp_path / f"{name}.png")
    write_records(
        tmp_path, [record(n, "<image>what?", f"It is {n}.", images=[str(tmp_path / f"{n}.png")]) for n in NAMES]
    )
    inputs = {"image": {"encoder": vision(tmp_path), "projector": {"kind": "linear"}}}
    plain = recipe_of(tmp_path, inputs)
    config = parse("modalink.retrievers", {"kind": "encoder", "index": str(tmp_path / "index")})
    build_index(MessagesConfig(path=str(tmp_path / "data.jsonl")), config, compose(plain))
    return Recipe.model_validate(plain.to_dict() | {"retrieval": {"retriever": config.model_dump()}})


def changed(recipe, **settings):
    data = recipe.to_dict()
    return Recipe.model_validate(data | {"retrieval": data["retrieval"] | settings})


def about(path, words="what?"):
    return Conversation((Turn("user", (Medium("image", str(path)), Text(words))),), "asked")


def test_what_is_found_stands_before_the_question_with_its_source(recipe, tmp_path):
    system = compose(changed(recipe, neighbours=2))
    shown = system.retrieving.shown(about(tmp_path / "red.png"))
    medium, text, nearest, said, *question = shown.turns[0].content
    assert [piece.modality for piece in (medium, nearest)] == ["image", "image"]
    assert said == Text("[red] It is red.\n") and text != said
    assert tuple(question) == about(tmp_path / "red.png").turns[0].content
    assert len(system.prepare(about(tmp_path / "red.png"), reply=True).media["image"]) == 3
    assert len(system.processor.prepare(about(tmp_path / "red.png"), reply=True).media["image"]) == 1


def test_training_leaves_the_sample_itself_out_and_what_is_as_near_as_a_copy(recipe, tmp_path):
    retrieving = compose(recipe).retrieving
    sample = Conversation(about(tmp_path / "red.png").turns, "red")
    itself = retrieving.shown(sample).turns[0].content[1]
    other = retrieving.shown(sample, learning=True).turns[0].content[1]
    assert itself == Text("[red] It is red.\n") != other
    # Under another name its picture tells, and in another file of the same pixels only its nearness does.
    renamed = replace(sample, id="renamed")
    assert retrieving.shown(renamed, learning=True).turns[0].content[1] == other
    Image.open(tmp_path / "red.png").save(tmp_path / "copy.bmp")
    copy = Conversation(about(tmp_path / "copy.bmp").turns, "copy")
    assert retrieving.shown(copy, learning=True).turns[0].content[1] == itself
    strict = compose(changed(recipe, leave_out_at=0.99999)).retrieving
    assert strict.shown(copy, learning=True).turns[0].content[1] == other
    assert strict.shown(copy).turns[0].content[1] == itself


@pytest.mark.parametrize(
    ("settings", "pieces"),
    [({"show": "media"}, ["Medium"]), ({"show": "text"}, ["Text"]), ({"at_least": 1.0, "neighbours": 4}, None)],
)
def test_what_is_shown_is_chosen(recipe, tmp_path, settings, pieces):
    content = compose(changed(recipe, **settings)).retrieving.shown(about(tmp_path / "blue.png")).turns[0].content
    found = [type(piece).__name__ for piece in content[:-2]]
    assert found == pieces if pieces else len(found) <= 2
    assert compose(recipe).retrieving.shown(Conversation((Turn("user", (Text("hello"),)),))).turns[0].content == (
        Text("hello"),
    )


def test_only_the_last_question_is_looked_up_and_regions_keep_their_pictures(recipe, tmp_path):
    first, answer = about(tmp_path / "red.png").turns[0], Turn("assistant", (Text("It is red."),))
    regions = (Region(((1, 1, 5, 5),), image=0), Region(((1, 1, 5, 5),), image=1), Region(((1, 1, 5, 5),)))
    last = Turn("user", (Medium("image", str(tmp_path / "blue.png")), *regions))
    shown = compose(recipe).retrieving.shown(Conversation((first, answer, last)))
    assert shown.turns[:2] == (first, answer)
    assert [piece.image for piece in shown.turns[2].content if isinstance(piece, Region)] == [0, 2, None]


def test_the_answer_changes_with_what_is_found_and_a_near_entry_is_the_answer_itself(recipe, tmp_path):
    plain = compose(Recipe.model_validate(recipe.to_dict() | {"retrieval": None}))
    question = about(tmp_path / "red.png")
    without, with_it = (Session(system).chat(question, max_new_tokens=12).text for system in (plain, compose(recipe)))
    assert without != with_it
    session = Session(compose(changed(recipe, answer_at=0.9999)))
    answer = session.chat(question)
    assert answer.text == "It is red." and answer.complete
    assert answer.media[0][1].getpixel((0, 0)) == (255, 0, 0)
    assert [*(stream := session.stream(question))] == ["It is red."] and stream.answer.text == answer.text
    assert (
        Session(compose(changed(recipe, answer_at=1.0, at_least=1.0)))
        .chat(about(tmp_path / "red.png").turns and Conversation((Turn("user", (Text("hello"),)),)), max_new_tokens=4)
        .media
        == []
    )


def test_a_run_learns_with_it_saves_it_and_knows_its_index(recipe, tmp_path):
    train(recipe, tmp_path / "run")
    before = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (part,) = (part for part in before["parts"] if part["part"] == "retrieval.retriever")
    assert part["id"] == str(tmp_path / "index") and len(part["sha256"]) == 64
    saved = System.load(tmp_path / "run" / "model")
    conversation = about(tmp_path / "lime.png")
    assert saved.prepare(conversation).input_ids == compose(recipe).prepare(conversation).input_ids
    head = json.loads((tmp_path / "index" / "index.json").read_text())
    (tmp_path / "index" / "index.json").write_text(json.dumps(head | {"made": head["made"] | {"note": "other"}}))
    now = manifest(recipe, compose(recipe), torch.device("cpu"))
    with pytest.raises(CheckpointError, match=r"the weights of retrieval\.retriever are not those"):
        write_manifest(tmp_path / "run" / "manifest.json", now)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"retrieval": {"retriever": {"kind": "encoder", "index": "x", "modality": "audio"}}},
            "the encoder of 'audio'",
        ),
        ({"retrieval": {"retriever": {"kind": "words", "index": "x"}, "text": "{who}"}}, r"found '\{who\}', needed"),
        ({"retrieval": {"retriever": {"kind": "wrds", "index": "x"}}}, "wrds"),
        ({"retrieval": {"retriever": {"kind": "words", "index": "x"}, "at_least": 2}}, "at_least"),
    ],
)
def test_a_recipe_that_cannot_find_is_refused(recipe, change, message):
    with pytest.raises((RecipeError, ValueError), match=message):
        Recipe.model_validate(recipe.to_dict() | change)


def test_the_encoder_that_finds_must_stay_frozen(recipe):
    data = recipe.to_dict()
    data["stages"][0]["train"]["inputs.image.encoder"] = {"lr": 1e-3}
    with pytest.raises(ValueError, match="this encoder finds the entries of the retriever's index"):
        Recipe.model_validate(data)


def test_an_index_that_is_not_there_or_of_another_encoder_is_refused_when_composing(recipe, tmp_path):
    retriever = recipe.to_dict()["retrieval"]["retriever"]
    with pytest.raises(PartError, match="no such folder; write it with"):
        compose(changed(recipe, retriever=retriever | {"index": str(tmp_path / "gone")}))
    data = recipe.to_dict()
    data["inputs"]["image"]["encoder"]["layer"] = -1
    with pytest.raises(PartError, match="found an index with encoder"):
        compose(Recipe.model_validate(data))
