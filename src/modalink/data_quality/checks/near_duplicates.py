"""Samples that say almost the same about media that look alike, or about none, as one before, in any source."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt32
from pydantic import Field

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.looks import MediaLooks
from modalink.data_quality.pictures import MOST_BITS
from modalink.data_quality.sample import Sample
from modalink.data_quality.words import likeness, shingles, signature, words
from modalink.errors import MediumError

_BAND = 4
"""Numbers of a signature that must be equal for two texts to be compared: 99.98 % of those alike by 0.7 are."""


class NearDuplicatesConfig(CheckConfig):
    """Settings of the check of near-duplicates.

    Two samples are alike where their media look alike, one by one, and where either all that is said is alike, or the
    answers are and have some words; without media all that is said must be alike. Equal ones are alike, too.
    """

    kind: Literal["near_duplicates"] = "near_duplicates"
    text: float = Field(default=0.8, gt=0, le=1)
    """From which Jaccard index of words and pairs of words on texts are alike."""
    answer_words: int = Field(default=5, ge=1)
    """Words from which on equal answers are enough: `yes` is said to many questions."""
    bits: int = Field(default=10, ge=0, le=MOST_BITS)
    """In how many of the 64 bits of their perceptual hashes two pictures that look alike may differ."""
    colour: int = Field(default=40, ge=0, le=255)
    """By how much any part of their small copies may differ, of 255."""

    def begin(self, context: Context) -> Check:
        """The check."""
        return _NearDuplicates(self, context)


class _Said(NamedTuple):
    """What a sample says."""

    id: str
    all: UInt32[np.ndarray, " n"]
    answer: UInt32[np.ndarray, " m"]
    answer_words: int
    shows: bool


class _NearDuplicates(Check):
    remembers = True

    def __init__(self, config: NearDuplicatesConfig, context: Context) -> None:
        self._config, self.source, self._earlier = config, context.source, context.earlier
        self._said: dict[int, _Said] = {}
        self._shown = MediaLooks(config.bits, config.colour)
        self._unshown = _AlikeTexts()

    def look(self, sample: Sample) -> Iterator[Fault]:
        if sample.conversation is None or any(isinstance(medium.handle, MediumError) for medium in sample.media):
            return
        answer = sample.said("assistant")
        said = _Said(sample.id, shingles(sample.said()), shingles(answer), len(words(answer)), bool(sample.media))
        for one in (*self._earlier, self):
            if (found := one.like(sample, said)) is not None:  # what it is like stands for both
                of = "" if one is self else f" of {one.source}"
                like = f"is like {found[0]}{of}: {found[1]:.0%} of the words"
                yield Fault.of(sample, "near_duplicate", like + (", media that look alike" if sample.media else ""))
                return
        self._said[sample.number] = said
        if sample.media:
            self._shown.add(sample)
        else:
            self._unshown.add(sample.number, said.all)

    def like(self, sample: Sample, said: _Said) -> tuple[str, float] | None:
        """The first of the samples kept here that another is like, and how many of the words are alike."""
        for number in self._candidates(sample, said):
            if (share := self._alike(said, self._said[number])) is not None:
                return self._said[number].id, share
        return None

    def _candidates(self, sample: Sample, said: _Said) -> Iterable[int]:
        return self._shown.like(sample) if sample.media else self._unshown.like(said.all)

    def _alike(self, one: _Said, other: _Said) -> float | None:
        if (share := likeness(one.all, other.all)) >= self._config.text:
            return share
        if not one.shows or min(one.answer_words, other.answer_words) < self._config.answer_words:
            return None
        share = likeness(one.answer, other.answer)
        return share if share >= self._config.text else None


class _AlikeTexts:
    """Texts by number, found by bands of their signatures."""

    def __init__(self) -> None:
        self._places: dict[bytes, list[int]] = {}

    def add(self, number: int, said: UInt32[np.ndarray, " n"]) -> None:
        for band in _bands(said):
            self._places.setdefault(band, []).append(number)

    def like(self, said: UInt32[np.ndarray, " n"]) -> list[int]:
        return sorted({number for band in _bands(said) for number in self._places.get(band, ())})


def _bands(said: UInt32[np.ndarray, " n"]) -> list[bytes]:
    return [bytes([at]) + band.tobytes() for at, band in enumerate(signature(said).reshape(-1, _BAND))]
