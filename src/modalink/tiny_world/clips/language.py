"""What people say about clips of the tiny world."""

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
from modalink.tiny_world.clips.actors import ACTIONS, Actor, ClipScene
from modalink.tiny_world.scenes import COLOURS, SHAPES

KINDS = ("colour", "shape", "size", "action", "who", "count", "position", "order", "pace", "existence")
_WAYS: tuple[Way, ...] = (
    (("shape",), "the {shape}"), (("colour",), "the {colour} object"), (("colour", "shape"), "the {colour} {shape}"),
    (("size", "shape"), "the {size} {shape}"), (("action",), "the object that {action}"),
)  # fmt: skip
_REQUESTS = ("describe the video.", "what happens?", "what happens in the video?", "describe this.")


def describe_clip(clip: ClipScene, rng: np.random.Generator | None = None) -> str:
    """Write the caption of a clip, its actors in the order in which they act; with `rng` in other words."""
    if rng is None:
        return ", ".join(_said(actor) for actor in clip.actors)
    forms = _SINGLE if len(clip.actors) == 1 else _PAIRED
    form = pick(rng, forms)
    return with_articles(pick(rng, (", ", "; ", " and ")).join(map(form, clip.actors)))


def _said(actor: Actor) -> str:
    return with_articles(_SINGLE[0](actor) if actor.place == "center" else _PAIRED[0](actor))


_SINGLE: tuple[Callable[[Actor], str], ...] = (
    lambda a: f"a {a.size} {a.colour} {a.shape} {a.when} {a.action}",
    lambda a: f"a {a.size} {a.colour} {a.shape} {a.action} {a.when}",
    lambda a: f"there is a {a.colour} {a.shape}, {a.size}, that {a.when} {a.action}",
    lambda a: f"{a.when} a {a.size} {a.colour} {a.shape} {a.action}",
)
_PAIRED: tuple[Callable[[Actor], str], ...] = (
    lambda a: f"{a.when} a {a.size} {a.colour} {a.shape} on the {a.place} {a.action}",
    lambda a: f"{a.when} on the {a.place} a {a.size} {a.colour} {a.shape} {a.action}",
    lambda a: f"{a.when} a {a.colour} {a.shape} {a.action}, {a.size}, on the {a.place}",
)


def clip_caption_request(rng: np.random.Generator) -> str:
    """Ask, in one of some ways, for the caption of a clip."""
    return pick(rng, _REQUESTS)


def clip_questions(clip: ClipScene, rng: np.random.Generator, kinds: tuple[str, ...] = KINDS) -> list[Question]:
    """Ask one question of every kind that this clip allows, in random order; a yes and a no are equally likely."""
    return ask_each(kinds, _ASKERS, clip, rng)


def _attribute(kind: str, attribute: str, forms: tuple[str, ...]) -> "_Asker":
    return lambda clip, rng: ask_attribute(kind, attribute, forms, clip.actors, _WAYS, rng)


def _ask_who(clip: ClipScene, rng: np.random.Generator) -> Question:
    actor = pick(rng, clip.actors)
    if sum(other.action == actor.action for other in clip.actors) > 1 or rng.random() < 0.2:
        action = pick(rng, [action for action in ACTIONS if all(action != a.action for a in clip.actors)])
        return Question("who", f"what {action}?", "nothing")
    return Question("who", f"what {actor.action}?", f"{actor.colour} {actor.shape}", (actor,))


def _ask_count(clip: ClipScene, rng: np.random.Generator) -> Question:
    if rng.random() < 0.6:
        text = pick(rng, ("how many objects are there?", "how many objects do you see?", "count the objects."))
        return Question("count", text, COUNT_WORDS[len(clip.actors)])
    action = pick(rng, clip.actors).action if rng.random() < 0.6 else pick(rng, ACTIONS)
    bare = "vanish" if action == "vanishes" else action.replace("moves", "move").removesuffix("s")
    number = sum(actor.action == action for actor in clip.actors)
    return Question("count", f"how many objects {bare}?", COUNT_WORDS[number])


def _ask_position(clip: ClipScene, rng: np.random.Generator) -> Question | None:
    if len(clip.actors) < 2:
        return None
    forms = ("where is {}?", "on which side is {}?", "is {} on the left or right?")
    return ask_attribute("position", "place", forms, clip.actors, _WAYS, rng)


def _ask_order(clip: ClipScene, rng: np.random.Generator) -> Question | None:
    if len(clip.actors) < 2:
        return None
    names = [name_of(clip.actors, actor, _WAYS, rng) for actor in clip.actors]
    if None in names:
        return None
    if rng.random() < 0.4:
        place = int(rng.integers(2))
        text = ("what acts first?", "what acts then?")[place]
        actor = clip.actors[place]
        return Question("order", text, f"{actor.colour} {actor.shape}", (actor,))
    swapped = rng.random() < 0.5
    one, other = names[::-1] if swapped else names
    pair = clip.actors[::-1] if swapped else clip.actors
    return Question("order", f"does {one} act before {other}?", yes_no(not swapped), pair)


def _ask_pace(clip: ClipScene, rng: np.random.Generator) -> Question | None:
    actor = clip.actors[0]
    if len(clip.actors) > 1 or actor.action in ("rests", "appears", "vanishes"):
        return None
    text = pick(rng, ("how fast is it?", "is it slow or quick?", "how fast is the object?"))
    return Question("pace", text, actor.when, (actor,))


def _ask_existence(clip: ClipScene, rng: np.random.Generator) -> Question:
    yes = rng.random() < 0.5
    actor = pick(rng, clip.actors)
    if rng.random() < 0.5:
        actions = {other.action for other in clip.actors}
        action = actor.action if yes else pick(rng, [a for a in ACTIONS if a not in actions])
        return Question("existence", f"is there an object that {action}?", yes_no(yes))
    pairs = {(other.colour, other.shape) for other in clip.actors}
    colour, shape = actor.colour, actor.shape
    while not yes and (colour, shape) in pairs:
        near = rng.integers(3)
        colour = actor.colour if near == 0 else pick(rng, COLOURS)
        shape = actor.shape if near == 1 else pick(rng, SHAPES)
    return Question("existence", with_articles(f"is there a {colour} {shape}?"), yes_no(yes))


_Asker = Callable[[ClipScene, np.random.Generator], Question | None]
_ASKERS: dict[str, _Asker] = {
    "colour": _attribute("colour", "colour", ("what color is {}?", "what is the color of {}?")),
    "shape": _attribute("shape", "shape", ("what shape is {}?", "what is the shape of {}?")),
    "size": _attribute("size", "size", ("what size is {}?", "is {} small or large?")),
    "action": _attribute("action", "action", ("what does {} do?", "what happens to {}?")),
    "who": _ask_who,
    "count": _ask_count,
    "position": _ask_position,
    "order": _ask_order,
    "pace": _ask_pace,
    "existence": _ask_existence,
}
