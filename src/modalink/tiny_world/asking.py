"""What questions about all things of the tiny world have in common: their record, and how things are named in them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

_T = TypeVar("_T")

COUNT_WORDS = ("zero", "one", "two", "three")
Way = tuple[tuple[str, ...], str]
"""Attributes that may tell one thing from the others, and how they are said: `(("colour",), "the {colour} object")`."""


@dataclass(frozen=True)
class Question:
    """A question about something that is shown, of one kind, with its one right short answer."""

    kind: str
    text: str
    answer: str
    about: tuple[Any, ...] = ()
    """The parts of what is shown (objects, notes, actors, solids) that the text names or the answer weighs, in its
    order, or the numbers of parts that it compares; none where it names none by itself."""


def ask_each(
    kinds: Sequence[str],
    askers: Mapping[str, Callable[[Any, np.random.Generator], Question | None]],
    thing: Any,
    rng: np.random.Generator,
) -> list[Question]:
    """Ask one question of every kind that a thing allows, in random order."""
    asked = [question for kind in kinds if (question := askers[kind](thing, rng)) is not None]
    return [asked[i] for i in rng.permutation(len(asked))]


def pick(rng: np.random.Generator, options: Sequence[_T]) -> _T:
    """Draw one of some options."""
    return options[int(rng.integers(len(options)))]


def yes_no(yes: bool) -> str:
    """The answer to a claim."""
    return "yes" if yes else "no"


def with_articles(text: str) -> str:
    """The text with `an` before the one colour that wants it."""
    return re.sub(r"\ba (?=orange)", "an ", text)


def names_of(things: Sequence[Any], thing: Any, ways: Sequence[Way], hidden: Sequence[str] = ()) -> list[str]:
    """Every way to name one thing so that it is no other, without its hidden attributes.

    Args:
        things: All that is shown, `thing` among them.
        thing: What is named.
        ways: How things like this are named.
        hidden: Attributes that must not be said.
    """
    names = []
    for parts, form in ways:
        twins = [other for other in things if all(getattr(other, p) == getattr(thing, p) for p in parts)]
        if len(twins) == 1 and not set(hidden) & set(parts):
            names.append(form.format(**{part: getattr(thing, part) for part in parts}))
    return names


def name_of(
    things: Sequence[Any], thing: Any, ways: Sequence[Way], rng: np.random.Generator, *hidden: str
) -> str | None:
    """One of the ways to name a thing, or None where there is none."""
    names = names_of(things, thing, ways, hidden)
    return pick(rng, names) if names else None


def ask_attribute(
    kind: str,
    attribute: str,
    forms: Sequence[str],
    things: Sequence[Any],
    ways: Sequence[Way],
    rng: np.random.Generator,
    hidden: Sequence[str] = (),
) -> Question | None:
    """Ask for one attribute of one of the things, or nothing where that one cannot be named without it."""
    thing = pick(rng, things)
    name = name_of(things, thing, ways, rng, attribute, *hidden)
    return None if name is None else Question(kind, pick(rng, forms).format(name), getattr(thing, attribute), (thing,))
