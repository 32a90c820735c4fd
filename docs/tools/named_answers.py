"""Measures how often an entry of an index is the answer itself, and writes that table of docs/retrieval.md.

Run: `python docs/tools/named_answers.py`. Nothing is trained. Objects of the tiny world are called by two words that
have nothing to do with them, as in `named_things.py`, whose index of the test split answers: requests by name are
looked up by words, pictures on other backgrounds by the encoder. Half of what is asked has an entry; the other half are
objects of the training split, which have none.
"""

import random
from collections.abc import Callable, Iterator, Mapping

from marked import Marked
from named_things import ROOT, found_in, index, names, of_split, question_about

from modalink.conversation import Conversation, Text, Turn
from modalink.evaluation.tiny_world.shares import Share
from modalink.model import compose_without_llm
from modalink.model.retrieving import Retrieving
from modalink.recipe import load
from modalink.tiny_world import WorldObject

TABLE = Marked(ROOT / "docs" / "retrieval.md", "<!-- entries as answers: begin -->", "<!-- entries as answers: end -->")
ASKED = 400
"""How often each of both halves is asked."""
NEAR = {"words": (0.5, 0.7, 0.9), "encoder": (0.95, 0.97, 0.98, 0.985)}
"""What finds -> from which nearness on an entry is the answer."""
LOOKED_AT = {"words": "a name", "encoder": "a picture"}
Named = Mapping[WorldObject, str]


def main() -> None:
    """Build the index, look up what is asked, and write the table."""
    named, recipe = names(), load("demo")
    index(recipe, named, "test")
    system = compose_without_llm(recipe)
    lines = ["| asked by | `answer_at` | the right entry | another one | where there is none, an entry |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for kind, nearest in NEAR.items():
        retrieving = Retrieving.of(found_in(recipe, "test", kind), system.model, system.processor)
        assert retrieving is not None
        for row in rows(retrieving, named, by_name if kind == "words" else question_about_it, nearest):
            lines.append(f"| {LOOKED_AT[kind]} | {row} |")
            print(lines[-1], flush=True)
    TABLE.write("\n".join(lines))


Ask = Callable[[WorldObject, int, Named], Conversation]


def by_name(thing: WorldObject, number: int, named: Named) -> Conversation:
    """A request for an object by its name."""
    return Conversation((Turn("user", (Text(f"show me a {named[thing]}."),)),))


def question_about_it(thing: WorldObject, number: int, named: Named) -> Conversation:
    """A question about a picture of an object, on a background of its own."""
    return question_about(thing, 900_000 + number, None)


def rows(retrieving: Retrieving, named: Named, ask: Ask, nearest: tuple[float, ...]) -> Iterator[str]:
    """For each nearness how often the right entry answers, another one, and one where there is none."""
    there, absent = (looked_up(retrieving, named, ask, split) for split in ("test", "train"))
    for near in nearest:
        right = sum(score >= near and hit for score, hit in there)
        wrong = sum(score >= near and not hit for score, hit in there)
        invented = sum(score >= near for score, _ in absent)
        yield " | ".join([f"{near:g}", *(percent(Share(n, ASKED, ASKED)) for n in (right, wrong, invented))])


def looked_up(retrieving: Retrieving, named: Named, ask: Ask, split: str) -> list[tuple[float, bool]]:
    """Of objects of a split, drawn by chance, how near the nearest entry is, and whether it is the object's."""
    draw, things = random.Random(3), of_split(named, split)
    asked = [draw.choice(things) for _ in range(ASKED)]
    found = [retrieving.found(ask(thing, number, named).turns[0]) for number, thing in enumerate(asked)]
    return [
        (nearest[0].score, nearest[0].text == f"This is a {named[thing]}.") if nearest else (-1.0, False)
        for thing, nearest in zip(asked, found, strict=True)
    ]


def percent(share: Share) -> str:
    """A share with its interval."""
    low, high = share.interval
    return f"{share.value:.1%} [{low:.1%}, {high:.1%}]".replace("%", " %")


if __name__ == "__main__":
    main()
