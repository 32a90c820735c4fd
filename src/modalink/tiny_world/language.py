"""What people say about scenes of the tiny world: captions, questions with their answers, requests for drawings."""

from collections.abc import Callable

import numpy as np

from modalink.tiny_world.asking import COUNT_WORDS, Question, Way, names_of, pick, with_articles
from modalink.tiny_world.scenes import CELLS, COLOURS, SHAPES, SIZES, Scene, WorldObject

QUESTION_KINDS = (
    "colour", "shape", "size", "count", "position", "relation", "existence", "comparison", "what is at",
)  # fmt: skip
_PLACES = {
    "top left": "at the top left", "top": "at the top", "top right": "at the top right",
    "left": "on the left", "center": "in the center", "right": "on the right",
    "bottom left": "at the bottom left", "bottom": "at the bottom", "bottom right": "at the bottom right",
}  # fmt: skip
SYNONYMS = {
    "small": ("small", "small", "little", "tiny"),
    "large": ("large", "large", "big", "huge"),
    "circle": ("circle", "circle", "circle", "disc"),
    "square": ("square", "square", "square", "box"),
    "cross": ("cross", "cross", "cross", "plus"),
    "ring": ("ring", "ring", "ring", "hoop"),
    "purple": ("purple", "purple", "purple", "violet"),
    "center": ("center", "center", "center", "middle"),
}
"""Word -> the words that may stand for it, as often as they do."""


def place(cell: str) -> str:
    """Say where a cell is: `at the top left`, `in the center`."""
    return _PLACES[cell]


def describe(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """Write the caption of a scene.

    Args:
        scene: what to describe.
        rng: without it the canonical caption, one fixed text for each scene, objects in reading order; with it a
            paraphrase: other words, other order.
    """
    if rng is None:
        return ", ".join(f"a {item.size} {item.colour} {item.shape} {place(item.cell)}" for item in scene.objects)
    items = [scene.objects[i] for i in rng.permutation(len(scene.objects))]
    form = _OBJECT_FORMS[rng.integers(len(_OBJECT_FORMS))]
    joint = (", ", ", ", " and ", "; ")[rng.integers(4)]
    return with_articles(joint.join(_vary(form(item), rng) for item in items))


_OBJECT_FORMS: tuple[Callable[[WorldObject], str], ...] = (
    lambda o: f"a {o.size} {o.colour} {o.shape} {place(o.cell)}",
    lambda o: f"a {o.size} {o.colour} {o.shape} {place(o.cell)}",
    lambda o: f"{o.size} {o.colour} {o.shape} {o.cell}",
    lambda o: f"there is a {o.colour} {o.shape}, {o.size}, {place(o.cell)}",
    lambda o: f"{place(o.cell)} a {o.size} {o.colour} {o.shape}",
    lambda o: f"{place(o.cell)} there is a {o.size} {o.shape} that is {o.colour}",
    lambda o: f"a {o.colour} {o.shape} {place(o.cell)} that is {o.size}",
    lambda o: f"one {o.shape}, {o.colour} and {o.size}, {place(o.cell)}",
)


def _vary(text: str, rng: np.random.Generator) -> str:
    words = text.split(" ")
    for i, word in enumerate(words):
        bare = word.rstrip(",")
        if bare in SYNONYMS:
            options = SYNONYMS[bare]
            words[i] = options[rng.integers(len(options))] + word[len(bare) :]
    return " ".join(words)


def drawing_request(scene: Scene, rng: np.random.Generator) -> str:
    """Ask, in one of many ways, for a picture of the scene."""
    form = _REQUESTS[rng.integers(len(_REQUESTS))]
    return form.format(describe(scene, rng if rng.random() < 0.7 else None))


def drawing_reply(scene: Scene) -> str:
    """Answer a request for a picture of the scene: the canonical caption of what is drawn."""
    return f"here is {describe(scene)}."


def caption_request(rng: np.random.Generator) -> str:
    """Ask, in one of many ways, for the caption of a picture."""
    return _CAPTION_REQUESTS[rng.integers(len(_CAPTION_REQUESTS))]


_REQUESTS = (
    "draw {}.", "draw {}", "please draw {}.", "make a picture of {}.", "show me {}.", "paint {}.",
    "can you draw {}?", "i would like a picture of {}.", "create an image with {}.", "generate an image of {}",
)  # fmt: skip
_CAPTION_REQUESTS = (
    "describe the picture.", "describe the image.", "what do you see?", "what is in the picture?",
    "what does the image show?", "give a caption.", "tell me what you see.", "describe this.",
)  # fmt: skip


def questions(scene: Scene, rng: np.random.Generator, kinds: tuple[str, ...] = QUESTION_KINDS) -> list[Question]:
    """Ask one question of every kind that this scene allows, in random order.

    Answers follow from the scene alone. A yes and a no are equally likely, and false claims are near misses. A
    question never names a composition (shape, colour, cell) that the scene does not hold.

    Args:
        scene: what is asked about.
        rng: picks objects, wording and order.
        kinds: kinds to ask, all by default.
    """
    asked = [_ASKERS[kind](scene, rng) for kind in kinds]
    answered = [question for question in asked if question is not None]
    return [answered[i] for i in rng.permutation(len(answered))]


_WAYS: tuple[Way, ...] = (
    (("shape",), "the {shape}"), (("colour",), "the {colour} object"), (("colour", "shape"), "the {colour} {shape}"),
    (("size", "shape"), "the {size} {shape}"), (("size", "colour", "shape"), "the {size} {colour} {shape}"),
)  # fmt: skip


def _names(scene: Scene, item: WorldObject, hidden: tuple[str, ...]) -> list[str]:
    """Every way to name one object of the scene without ambiguity and without its hidden attributes."""
    names = names_of(scene.objects, item, _WAYS, hidden)
    if "cell" not in hidden:
        names.append(f"the {'object' if 'shape' in hidden else item.shape} {place(item.cell)}")
    return names


def _name(scene: Scene, item: WorldObject, rng: np.random.Generator, *hidden: str) -> str | None:
    names = _names(scene, item, hidden)
    return pick(rng, names) if names else None


def _attribute_asker(attribute: str, forms: tuple[str, ...]) -> "_Asker":
    kind = {"cell": "position"}.get(attribute, attribute)

    def ask(scene: Scene, rng: np.random.Generator) -> Question | None:
        item = pick(rng, scene.objects)
        name = _name(scene, item, rng, attribute)
        if name is None:
            return None
        return Question(kind, pick(rng, forms).format(name), getattr(item, attribute), (item,))

    return ask


def _ask_count(scene: Scene, rng: np.random.Generator) -> Question:
    if rng.random() < 0.65:
        text = pick(rng, ("how many objects are there?", "how many objects do you see?", "count the objects."))
        return Question("count", text, COUNT_WORDS[len(scene.objects)])
    attribute, values = pick(rng, (("shape", SHAPES), ("colour", COLOURS), ("size", SIZES)))
    value = getattr(pick(rng, scene.objects), attribute) if rng.random() < 0.7 else pick(rng, values)
    number = sum(getattr(item, attribute) == value for item in scene.objects)
    text = f"how many {_plural(value) if attribute == 'shape' else value + ' objects'} are there?"
    return Question("count", text, COUNT_WORDS[number])


def _plural(shape: str) -> str:
    return {"cross": "crosses"}.get(shape, shape + "s")


def _ask_relation(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.objects) < 2:
        return None
    a, b = (scene.objects[i] for i in rng.permutation(len(scene.objects))[:2])
    name_a, name_b = (_name(scene, item, rng, "cell") for item in (a, b))
    if name_a is None or name_b is None:
        return None
    axes = [axis for axis in ("column", "row") if getattr(a, axis) != getattr(b, axis)]
    axis = pick(rng, axes)
    before, after = {"column": ("left", "right"), "row": ("above", "below")}[axis]
    true = before if getattr(a, axis) < getattr(b, axis) else after
    if rng.random() < 0.5:
        options = f"left or right of {name_b}" if axis == "column" else f"above or below {name_b}"
        return Question("relation", f"is {name_a} {options}?", true, (a, b))
    yes = rng.random() < 0.5
    claim = true if yes else (after if true == before else before)
    claim += " of" if axis == "column" else ""
    return Question("relation", f"is {name_a} {claim} {name_b}?", "yes" if yes else "no", (a, b))


def _ask_existence(scene: Scene, rng: np.random.Generator) -> Question:
    pairs = {(item.colour, item.shape) for item in scene.objects}
    colour, shape = pick(rng, sorted(pairs))
    yes = rng.random() < 0.5
    while not yes and (colour, shape) in pairs:
        seen_colours, seen_shapes = (sorted({pair[i] for pair in pairs}) for i in (0, 1))
        near = rng.integers(3)
        colour = pick(rng, seen_colours) if near == 0 else pick(rng, COLOURS)
        shape = pick(rng, seen_shapes) if near == 1 else pick(rng, SHAPES)
    form = pick(rng, ("is there a {} {}?", "do you see a {} {}?", "can you see a {} {}?"))
    about = tuple(item for item in scene.objects if (item.colour, item.shape) == (colour, shape))
    text = with_articles(form.format(colour, shape))
    return Question("existence", text, "yes" if yes else "no", about if len(about) == 1 else ())


def _ask_comparison(scene: Scene, rng: np.random.Generator) -> Question | None:
    if rng.random() < 0.3:
        return _compare_sizes(scene, rng)
    # Equal sizes are common; asked about last, they leave room for the rarer two.
    order = (*map(str, rng.permutation(["colour", "shape"])), "size")
    asked = (_compare(scene, attribute, rng) for attribute in order)
    return next((question for question in asked if question is not None), None)


_UNEQUAL_KEPT = {"size": 1.0, "colour": 1 / 7, "shape": 1 / 5}
"""Share of unequal pairs asked about in scenes of two objects: as many as there are equal ones."""


def _compare(scene: Scene, attribute: str, rng: np.random.Generator) -> Question | None:
    """Ask whether two objects agree in one attribute, thinned so that for every attribute half the answers are yes."""
    pairs = [(a, b) for a in scene.objects for b in scene.objects if a is not b]
    equal = [pair for pair in pairs if getattr(pair[0], attribute) == getattr(pair[1], attribute)]
    others = [pair for pair in pairs if pair not in equal]
    if not equal and (len(scene.objects) != 2 or rng.random() > _UNEQUAL_KEPT[attribute]):
        return None
    # Two of three sizes are always equal, and a quarter of the time all three.
    yes = not others or (bool(equal) and rng.random() < (1 / 3 if attribute == "size" else 1 / 2))
    a, b = pick(rng, equal if yes else others)
    name_a, name_b = (_name(scene, item, rng, attribute) for item in (a, b))
    if name_a is None or name_b is None:
        return None
    noun = "color" if attribute == "colour" else attribute
    text = f"do {name_a} and {name_b} have the same {noun}?"
    return Question("comparison", text, "yes" if yes else "no", (a, b))


def _compare_sizes(scene: Scene, rng: np.random.Generator) -> Question | None:
    pairs = [(a, b) for a in scene.objects for b in scene.objects if a.size != b.size and a.colour != b.colour]
    if not pairs:
        return None
    a, b = pick(rng, pairs)
    name_a, name_b = (_name(scene, item, rng, "size", "colour") for item in (a, b))
    if name_a is None or name_b is None:
        return None
    word = pick(rng, SIZES)
    text = f"what color is the {'larger' if word == 'large' else 'smaller'} one, {name_a} or {name_b}?"
    return Question("comparison", text, a.colour if a.size == word else b.colour, (a, b))


def _ask_what_is_at(scene: Scene, rng: np.random.Generator) -> Question:
    empty = [cell for cell in CELLS if all(item.cell != cell for item in scene.objects)]
    if rng.random() < 0.2:
        cell, answer = pick(rng, empty), "nothing"
    else:
        item = pick(rng, scene.objects)
        cell, answer = item.cell, f"{item.colour} {item.shape}"
    form = pick(rng, ("what is {}?", "what do you see {}?", "which object is {}?"))
    return Question("what is at", form.format(place(cell)), answer, tuple(o for o in scene.objects if o.cell == cell))


_Asker = Callable[[Scene, np.random.Generator], Question | None]
_ASKERS: dict[str, _Asker] = {
    "colour": _attribute_asker(
        "colour", ("what color is {}?", "what is the color of {}?", "which color does {} have?")
    ),
    "shape": _attribute_asker("shape", ("what shape is {}?", "what is the shape of {}?", "which shape does {} have?")),
    "size": _attribute_asker("size", ("what size is {}?", "is {} small or large?", "how big is {}?")),
    "count": _ask_count,
    "position": _attribute_asker("cell", ("where is {}?", "in which place is {}?", "what is the position of {}?")),
    "relation": _ask_relation,
    "existence": _ask_existence,
    "comparison": _ask_comparison,
    "what is at": _ask_what_is_at,
}
