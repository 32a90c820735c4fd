"""Coordinate codecs: areas of a picture as text, and the areas that a reply holds.

A codec is a record (`codecs.py` has those of published systems). What it writes, `parse` reads back, to within half a
step of its numbers; what a reply holds beside that is never an error: it is told.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from modalink.conversation import Area, Number, Region
from modalink.errors import PromptError, shown

Rectangle = tuple[Number, Number, Number, Number]
"""Left, top, right, bottom, in pixels of a picture."""

_SPACE = r"\s*"
_NUMBER = rf"{_SPACE}(-?[0-9]{{1,9}}(?:\.[0-9]{{0,9}})?){_SPACE}"
_LOOKS_LIKE_NUMBERS = re.compile(r"[\s(<]*-?[0-9]")


class Form(NamedTuple):
    """How one area is written: what opens it, its numbers, each as `%s`, and what closes it."""

    opening: str
    numbers: str
    closing: str

    @property
    def size(self) -> int:
        """How many numbers it has: 2 of a point, 4 of a box, 8 of a quadrilateral."""
        return self.numbers.count("%s")

    @property
    def pattern(self) -> re.Pattern[str]:
        """What its numbers look like; white space around them is free."""
        marks = self.numbers.replace(" ", "").split("%s")
        return re.compile(_NUMBER.join(_SPACE.join(map(re.escape, mark)) for mark in marks))


@dataclass(frozen=True)
class Picture:
    """The size of a picture in pixels, and what an encoder sees of it, see `Preprocessor.window_of`."""

    width: Number
    height: Number
    window: Rectangle

    @classmethod
    def whole(cls, width: Number, height: Number) -> "Picture":
        """A picture that is seen as it is."""
        return cls(width, height, (0, 0, width, height))


@dataclass(frozen=True)
class Parsed:
    """The regions of a text, in pixels of the picture, and what looks like areas and could not be read, with why."""

    regions: tuple[Region, ...] = ()
    unread: tuple[str, ...] = ()


class _Bracket(NamedTuple):
    start: int
    end: int
    opening: str
    content: str
    closed: bool


@dataclass(frozen=True)
class Codec:
    """How an LLM writes places in a picture.

    Args:
        name: What recipes call it.
        forms: How areas are written; at most one form for each count of numbers.
        scale: The number that stands for the whole width or height; None: numbers are pixels.
        largest: The largest number that is written, if not the scale.
        decimals: Digits behind the point.
        digits: Least digits before it; zeros fill them up.
        inside: What stands between areas that share a pair of brackets; empty where each has its own pair.
        between: What stands between the pairs of brackets of one region.
        phrase: What stands before and behind the phrase of a region.
        seen: Whether places count in what the encoder sees (a padded or cropped picture); else in the picture itself.
        tags: Words of its own, which become tokens where the prompt may add tokens.
    """

    name: str
    forms: tuple[Form, ...]
    scale: int | None
    largest: int | None = None
    decimals: int = 0
    digits: int = 1
    inside: str = ""
    between: str = ""
    phrase: tuple[str, str] = ("", " ")
    seen: bool = False
    tags: tuple[str, ...] = ()

    def step(self, picture: Picture) -> tuple[float, float]:
        """How far apart two neighbouring numbers lie, across and down, in pixels of the picture."""
        left, top, right, bottom = self._frame(picture)
        if self.scale is None:
            return 10.0**-self.decimals, 10.0**-self.decimals
        steps = self.scale * 10**self.decimals
        return (right - left) / steps, (bottom - top) / steps

    def write(self, areas: Sequence[Area], picture: Picture, phrase: str = "") -> str:
        """Areas as text, each number rounded to the nearest; what is not seen of a box is left out.

        Args:
            areas: In pixels of the picture.
            picture: The picture.
            phrase: What is there; written before.

        Raises:
            PromptError: There is no form for such an area, nothing of it is seen, or the phrase holds a tag that would
                end it.
        """
        written = [(self._form(len(area)), self._numbers(area, picture)) for area in areas]
        if self.inside:
            opening, _, closing = written[0][0]
            text = opening + self.inside.join(form.numbers % numbers for form, numbers in written) + closing
        else:
            texts = [form.opening + form.numbers % numbers + form.closing for form, numbers in written]
            text = self.between.join(texts)
        before, behind = self.phrase
        if before and (acting := [tag for tag in (before, behind.strip(), *self._closings) if tag in phrase]):
            raise PromptError(f"found the phrase {shown(phrase)}, needed one without {acting[0]}, which acts in it")
        return f"{before}{phrase}{behind}{text}" if phrase else text

    def parse(self, text: str, picture: Picture) -> Parsed:
        """The regions that a text holds, in pixels of the picture, cut at its edges.

        A bracket without digits is words. One with digits that is no area is told, never raised, and so is an area
        beside the picture, one turned inside out, and one that the text breaks off.
        """
        regions: list[Region] = []
        unread: list[str] = []
        end, chained = 0, False
        for bracket in self._brackets(text):
            areas = self._areas(bracket, picture, unread)
            apart = text[end : bracket.start]
            if areas:
                if chained and not self.inside and apart.strip() == self.between.strip():
                    last = regions.pop()
                    regions.append(Region((*last.areas, *areas), last.phrase))
                else:
                    regions.append(Region(tuple(areas), self._phrase_before(apart)))
            end, chained = bracket.end, bool(areas)
        return Parsed(tuple(regions), tuple(unread))

    def _form(self, count: int) -> Form:
        for form in self.forms:
            if form.size == count:
                return form
        kinds = ", ".join(_NAMES[form.size] for form in self.forms)
        raise PromptError(f"the coordinate codec {self.name!r} has no form for {_NAMES[count]}, only for {kinds}")

    def _frame(self, picture: Picture) -> Rectangle:
        return picture.window if self.seen else (0.0, 0.0, picture.width, picture.height)

    def _numbers(self, area: Area, picture: Picture) -> tuple[str, ...]:
        left, top, right, bottom = self._frame(picture)
        across, down = area[0::2], area[1::2]
        if max(across) < left or min(across) > right or max(down) < top or min(down) > bottom:
            seen = ", ".join(f"{edge:g}" for edge in (left, top, right, bottom))
            raise PromptError(f"found the area {list(area)}, of which nothing is seen: the encoder sees [{seen}]")
        axes = ((left, right), (top, bottom))
        return tuple(self._number(place, *axes[index % 2]) for index, place in enumerate(area))

    def _number(self, place: Number, low: Number, high: Number) -> str:
        value = place - low if self.scale is None else (place - low) / (high - low) * self.scale
        largest = self.largest or self.scale or high - low
        # `+ 0.0` takes the sign from a negative zero.
        return f"{min(max(value, 0.0), largest) + 0.0:0{self.digits}.{self.decimals}f}"

    @cached_property
    def _closings(self) -> dict[str, str]:
        return {form.opening: form.closing for form in self.forms}

    @cached_property
    def _opening(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, sorted(self._closings, key=len, reverse=True))))

    @cached_property
    def _patterns(self) -> list[tuple[Form, re.Pattern[str]]]:
        return [(form, form.pattern) for form in self.forms]

    def _brackets(self, text: str) -> Iterator[_Bracket]:
        """All pairs of brackets that hold digits, and openings that nothing closes before digits."""
        openings = [*self._opening.finditer(text)]
        limits = [opening.start() for opening in openings[1:]] + [len(text)]
        for opening, limit in zip(openings, limits, strict=False):  # of no opening there is one limit
            closing = self._closings[opening[0]]
            end = text.find(closing, opening.end(), limit)
            content = text[opening.end() : limit if end < 0 else end]
            if end >= 0 and any(character in "0123456789" for character in content):
                yield _Bracket(opening.start(), end + len(closing), opening[0], content, True)
            elif end < 0 and _LOOKS_LIKE_NUMBERS.match(content):
                yield _Bracket(opening.start(), limit, opening[0], content, False)

    def _areas(self, bracket: _Bracket, picture: Picture, unread: list[str]) -> list[Area]:
        """The areas of a bracket; what is none goes to `unread`."""
        if not bracket.closed:
            unread.append(_told(bracket.opening + bracket.content, "the text breaks off"))
            return []
        areas = []
        for part in bracket.content.split(self.inside) if self.inside else [bracket.content]:
            found = self._area(bracket.opening, part, picture)
            if isinstance(found, str):
                unread.append(_told(bracket.opening + part + self._closings[bracket.opening], found))
            else:
                areas.append(found)
        return areas

    def _area(self, opening: str, part: str, picture: Picture) -> Area | str:
        """An area in pixels of the picture, or why there is none."""
        for form, pattern in self._patterns:
            if form.opening == opening and (match := pattern.fullmatch(part)):
                return self._placed([float(number) for number in match.groups()], picture)
        forms = [form.opening + form.numbers % tuple("xy" * (form.size // 2)) + form.closing for form in self.forms]
        return f"needed {' or '.join(forms)}"

    def _placed(self, numbers: list[float], picture: Picture) -> Area | str:
        left, top, right, bottom = self._frame(picture)
        steps, sides = self.step(picture), (picture.width, picture.height)
        area: list[Number] = []
        for index, number in enumerate(numbers):
            low, high = ((left, right), (top, bottom))[index % 2]
            limit = self.scale or high - low
            if not 0 <= number <= limit:
                return f"needed numbers from 0 to {limit:g}"
            area.append(low + number if self.scale is None else low + number / self.scale * (high - low))
        if len(area) == 4 and (area[0] > area[2] or area[1] > area[3]):
            return "its right or lower side lies before the other"
        for axis in (0, 1):
            if max(area[axis::2]) < -steps[axis] or min(area[axis::2]) > sides[axis] + steps[axis]:
                return "it lies beside the picture, in the padding"
        return tuple(min(max(place, 0.0), sides[index % 2]) for index, place in enumerate(area))

    def _phrase_before(self, text: str) -> str:
        """The phrase in tags at the end of a text; empty where there is none."""
        before, behind = self.phrase[0], self.phrase[1].strip()
        text = text.rstrip()
        if not before or not text.endswith(behind):
            return ""
        _, tag, phrase = text.removesuffix(behind).rpartition(before)
        return phrase if tag else ""


_NAMES = {2: "a point", 4: "a box", 8: "a quadrilateral"}


def _told(text: str, reason: str) -> str:
    return f"{shown(text)}: {reason}"
