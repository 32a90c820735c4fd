"""What people say about point clouds of the tiny world."""

from collections.abc import Callable

import numpy as np

from modalink.tiny_world.asking import (
    COUNT_WORDS,
    Question,
    Way,
    ask_attribute,
    ask_each,
    name_of,
    pick,
    with_articles,
    yes_no,
)
from modalink.tiny_world.scenes import COLOURS
from modalink.tiny_world.solids.bodies import SOLIDS, Bodies, Solid

KINDS = ("solid", "colour", "size", "pose", "count", "position", "existence", "comparison")
_WAYS: tuple[Way, ...] = (
    (("solid",), "the {solid}"), (("colour",), "the {colour} solid"), (("colour", "solid"), "the {colour} {solid}"),
    (("size", "solid"), "the {size} {solid}"), (("size",), "the {size} solid"),
    (("place",), "the solid on the {place}"),
)  # fmt: skip
_REQUESTS = ("describe the points.", "what do the points show?", "what solids are there?", "describe this.")


def describe_bodies(bodies: Bodies, rng: np.random.Generator | None = None) -> str:
    """Write the caption of a point cloud, from left to right; with `rng` in other words and any order."""
    if rng is None:
        return ", ".join(with_articles(_FORMS[0](body) + _where(body)) for body in bodies.solids)
    form = pick(rng, _FORMS)
    said = [form(bodies.solids[i]) + _where(bodies.solids[i]) for i in rng.permutation(len(bodies.solids))]
    return with_articles(pick(rng, (", ", "; ", " and ")).join(said))


def _where(body: Solid) -> str:
    return "" if body.place == "center" else f" on the {body.place}"


_FORMS: tuple[Callable[[Solid], str], ...] = (
    lambda b: f"a {b.size} {b.pose} {b.colour} {b.solid}",
    lambda b: f"a {b.size} {b.pose} {b.colour} {b.solid}",
    lambda b: f"a {b.colour} {b.solid}, {b.size} and {b.pose}",
    lambda b: f"a {b.pose} {b.solid} that is {b.colour} and {b.size}",
)


def bodies_caption_request(rng: np.random.Generator) -> str:
    """Ask, in one of some ways, for the caption of a point cloud."""
    return pick(rng, _REQUESTS)


def bodies_questions(bodies: Bodies, rng: np.random.Generator, kinds: tuple[str, ...] = KINDS) -> list[Question]:
    """Ask one question of every kind that this cloud allows, in random order; a yes and a no are equally likely."""
    return ask_each(kinds, _ASKERS, bodies, rng)


def _ways(bodies: Bodies) -> tuple[Way, ...]:
    """One solid in the center is not named by its place."""
    return _WAYS if len(bodies.solids) > 1 else _WAYS[:-1]


def _attribute(kind: str, forms: tuple[str, ...]) -> "_Asker":
    return lambda bodies, rng: ask_attribute(kind, kind, forms, bodies.solids, _ways(bodies), rng)


def _ask_pose(bodies: Bodies, rng: np.random.Generator) -> Question | None:
    angular = [body for body in bodies.solids if body.solid != "sphere"]
    if not angular:
        return None
    body = pick(rng, angular)
    name = name_of(bodies.solids, body, _ways(bodies), rng)
    forms = ("how does {} stand?", "is {} straight or tilted?", "what is the pose of {}?")
    return None if name is None else Question("pose", pick(rng, forms).format(name), body.pose, (body,))


def _ask_count(bodies: Bodies, rng: np.random.Generator) -> Question:
    if rng.random() < 0.6:
        text = pick(rng, ("how many solids are there?", "how many solids do you see?", "count the solids."))
        return Question("count", text, COUNT_WORDS[len(bodies.solids)])
    attribute, values = pick(rng, (("solid", SOLIDS), ("colour", COLOURS)))
    value = getattr(pick(rng, bodies.solids), attribute) if rng.random() < 0.6 else pick(rng, values)
    number = sum(getattr(body, attribute) == value for body in bodies.solids)
    named = {"torus": "toruses"}.get(value, f"{value}s") if attribute == "solid" else f"{value} solids"
    return Question("count", f"how many {named} are there?", COUNT_WORDS[number])


def _ask_position(bodies: Bodies, rng: np.random.Generator) -> Question | None:
    if len(bodies.solids) < 2:
        return None
    forms = ("where is {}?", "on which side is {}?", "is {} on the left or right?")
    return ask_attribute("position", "place", forms, bodies.solids, _ways(bodies), rng)


def _ask_existence(bodies: Bodies, rng: np.random.Generator) -> Question:
    yes = rng.random() < 0.5
    body = pick(rng, bodies.solids)
    pairs = {(other.colour, other.solid) for other in bodies.solids}
    colour, solid = body.colour, body.solid
    while not yes and (colour, solid) in pairs:
        near = rng.integers(3)
        colour = body.colour if near == 0 else pick(rng, COLOURS)
        solid = body.solid if near == 1 else pick(rng, SOLIDS)
    form = pick(rng, ("is there a {} {}?", "do you see a {} {}?"))
    return Question("existence", with_articles(form.format(colour, solid)), yes_no(yes))


def _ask_comparison(bodies: Bodies, rng: np.random.Generator) -> Question | None:
    if len(bodies.solids) < 2:
        return None
    a, b = (bodies.solids[i] for i in rng.permutation(2))
    if a.size != b.size and a.colour != b.colour and rng.random() < 0.6:
        names = [name_of(bodies.solids, body, _ways(bodies), rng, "size", "colour") for body in (a, b)]
        word = pick(rng, ("larger", "smaller"))
        winner = a if (a.size == "large") == (word == "larger") else b
        if None not in names:
            return Question(
                "comparison", f"what color is the {word} one, {names[0]} or {names[1]}?", winner.colour, (a, b)
            )
    attribute = pick(rng, ("size", "colour", "solid"))
    noun = {"colour": "color", "solid": "form"}.get(attribute, attribute)
    same = getattr(a, attribute) == getattr(b, attribute)
    return Question("comparison", f"do they have the same {noun}?", yes_no(same), bodies.solids)


_Asker = Callable[[Bodies, np.random.Generator], Question | None]
_ASKERS: dict[str, _Asker] = {
    "solid": _attribute("solid", ("what is {}?", "what solid is {}?", "which solid is {}?")),
    "colour": _attribute("colour", ("what color is {}?", "what is the color of {}?")),
    "size": _attribute("size", ("what size is {}?", "is {} small or large?")),
    "pose": _ask_pose,
    "count": _ask_count,
    "position": _ask_position,
    "existence": _ask_existence,
    "comparison": _ask_comparison,
}
