"""Measures what retrieval is worth, and writes the table of docs/retrieval.md.

Run: `python docs/tools/named_things.py RUN`, with a finished run of the demo. Each object of the tiny world (shape,
colour, size and cell) is called by two words that have nothing to do with it. A system learns to say what objects of
the training split are called, with the entry of an index before each question that its own encoder finds. Then it is
asked about objects of the test split, whose names it never met, with an index of these objects: with nothing shown,
with what is found, with the right entry, and with any entry. The run is kept in `runs/named/`, and goes on where it was
stopped.
"""

import itertools
import json
import random
import sys
from collections.abc import Iterable
from pathlib import Path

from marked import Marked
from PIL import Image

from modalink.conversation import Content, Conversation, Medium, Text, Turn
from modalink.data.sources.messages import MessagesConfig
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world.shares import Share
from modalink.inference.indexing import build_index
from modalink.inference.loading import load_system
from modalink.model import System, compose_without_llm
from modalink.model.retrieving import Retrieving
from modalink.recipe import Recipe, load
from modalink.tiny_world import CELLS, COLOURS, SHAPES, SIZES, Scene, WorldObject, render, split_of
from modalink.training.train import train

ROOT = Path(__file__).parents[2]
TABLE = Marked(ROOT / "docs" / "retrieval.md", "<!-- named things: begin -->", "<!-- named things: end -->")
FOLDER = ROOT / "runs" / "named"
LEARNED, STEPS, ASKED = 8000, 800, 400
_WORDS = """
flute buzzer bell wind morning welcome world instrument question picture video before after about third second first
middle note steady pulsing falling rising tilted straight slow quick long short high low many one same
"""
QUESTION = "What is this called?"
"""Of things that have no name in the tiny world."""


def main(run: str) -> None:
    """Make the data and the indexes, train, ask in four ways, and write the table."""
    named = names()
    write_learned(named)
    recipe = recipe_of(run)
    for split in ("train", "test"):
        index(recipe, named, split)
    train(recipe, FOLDER / "run")
    system = load_system(FOLDER / "run")
    rows = []
    for shown in ("nothing", "what is found", "the right entry", "any entry"):
        right = answered(system, recipe, named, shown)
        low, high = right.interval
        rows.append(f"| {shown} | {right.value:.1%} [{low:.1%}, {high:.1%}] |".replace("%", " %"))
        print(rows[-1], flush=True)
    head = "| shown before the question | names right |\n| --- | --- |"
    TABLE.write("\n".join([head, *rows]))


def names() -> dict[WorldObject, str]:
    """A name of two words for each object, no two the same."""
    things = [WorldObject(*thing) for thing in itertools.product(SHAPES, COLOURS, SIZES, CELLS)]
    pairs = [" ".join(pair) for pair in itertools.permutations(_WORDS.split(), 2)]
    return dict(zip(things, random.Random(0).sample(pairs, len(things)), strict=True))


def of_split(named: Iterable[WorldObject], split: str) -> list[WorldObject]:
    """The objects of a split, in order."""
    return [thing for thing in named if split_of(thing) == split]


def picture(thing: WorldObject, background: int) -> Path:
    """A picture of an object alone."""
    path = (
        FOLDER
        / "pictures"
        / f"{'-'.join([thing.shape, thing.colour, thing.size, *thing.cell.split()])}-{background}.png"
    )
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(render(Scene((thing,), background))).save(path)
    return path


def entry(thing: WorldObject, name: str) -> tuple[Path, str]:
    """What an index says of an object."""
    return picture(thing, 1), f"This is a {name}."


def write_learned(named: dict[WorldObject, str]) -> None:
    """Write what is learned."""
    draw = random.Random(1)
    known = of_split(named, "train")
    chosen = [draw.choice(known) for _ in range(LEARNED)]
    learned = [(picture(thing, 1000 + n), QUESTION, f"It is a {named[thing]}.") for n, thing in enumerate(chosen)]
    _write("learned", learned)


def _write(name: str, rows: list[tuple[Path, str, str]]) -> None:
    lines = []
    for path, asked, said in rows:
        turns = [{"role": "user", "content": f"<image>{asked}"}, {"role": "assistant", "content": said}]
        lines.append(json.dumps({"messages": turns, "images": [str(path)]}) + "\n")
    (FOLDER / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def recipe_of(run: str) -> Recipe:
    """The demo's recipe as a reader, with one stage that learns to read what was found."""
    stage = {
        "name": "names",
        "init": {"from": run, "groups": ["inputs.image.projector", "llm.lora"]},
        "train": {"inputs.image.projector": {"lr": 2e-3}, "llm.lora": {"lr": 3e-3}},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": str(FOLDER / "learned.jsonl")}],
        "batch": 16,
        "steps": STEPS,
    }
    retrieval = {"retriever": {"kind": "encoder", "index": str(FOLDER / "index-train")}, "text": "{text}\n"}
    reader = {"name": "named", "outputs": {}, "stages": [stage], "provenance": {}, "retrieval": retrieval}
    return Recipe.model_validate(load("demo").to_dict() | reader)


def index(recipe: Recipe, named: dict[WorldObject, str], split: str) -> None:
    """Build an index of a split's objects, if it is not there."""
    entries = [entry(thing, named[thing]) for thing in of_split(named, split)]
    _write(split, [(path, "What is this?", text) for path, text in entries])
    spec = found_in(recipe, split)
    assert spec.retrieval is not None
    if not Path(spec.retrieval.retriever.index).exists():
        system = compose_without_llm(recipe.model_copy(update={"retrieval": None}))
        build_index(MessagesConfig(path=str(FOLDER / f"{split}.jsonl")), spec.retrieval.retriever, system)


def found_in(recipe: Recipe, split: str, kind: str = "encoder") -> Recipe:
    retriever = {"kind": kind, "index": str(FOLDER / f"index-{split}")}
    return Recipe.model_validate(recipe.to_dict() | {"retrieval": {"retriever": retriever, "text": "{text}\n"}})


def answered(system: System, recipe: Recipe, named: dict[WorldObject, str], shown: str) -> Share:
    """How many objects of the test split are called rightly.

    Args:
        system: What is asked; what it looks up is set here.
        recipe: Its recipe.
        named: What things are called.
        shown: What stands before each question.
    """
    draw = random.Random(2)
    asked = [(draw.choice(of_split(named, "test")), 900_000 + number) for number in range(ASKED)]
    kinds = {"what is found": "encoder", "any entry": "random"}
    system.retrieving = None
    if shown in kinds:
        system.retrieving = Retrieving.of(found_in(recipe, "test", kinds[shown]), system.model, system.processor)
    given = named if shown == "the right entry" else None
    conversations = [question_about(thing, background, given) for thing, background in asked]
    said = [reply.text.strip().casefold() for reply in replies(system, conversations, max_new_tokens=16)]
    right = sum(text == f"it is a {named[thing]}." for (thing, _), text in zip(asked, said, strict=True))
    return Share(right, len(asked), len(asked))


def question_about(thing: WorldObject, background: int, named: dict[WorldObject, str] | None) -> Conversation:
    before: tuple[Content, ...] = ()
    if named is not None:
        path, text = entry(thing, named[thing])
        before = (Medium("image", path), Text(f"{text}\n"))
    return Conversation((Turn("user", (*before, Medium("image", picture(thing, background)), Text(QUESTION))),))


if __name__ == "__main__":
    main(*sys.argv[1:])
