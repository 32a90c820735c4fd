"""Pictures that look alike, however they are stored: a perceptual hash finds candidates, a small copy confirms them.

Sources: the hash is `phash` of JohannesBuchner/imagehash (imagehash/__init__.py), of 64 bits; candidates are found by
its four parts as in Norouzi, Punjani and Fleet, Fast search in Hamming space with multi-index hashing (2012).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.fft import dctn

_SIDE = 8
_SCALE = 4
_PARTS = 4
_PART_BITS = _SIDE * _SIDE // _PARTS
_FLIPPED = 2
MOST_BITS = _PARTS * (_FLIPPED + 1) - 1
"""Hashes that differ in so many bits at most are all found."""
_COPY = 16


@dataclass(frozen=True, eq=False)
class Look:
    """What a picture looks like.

    Args:
        bits: Its perceptual hash, of 64 bits.
        copy: Colours of a small copy, 0 to 255.
    """

    bits: int
    copy: UInt8[np.ndarray, "16 16 3"]

    @classmethod
    def of(cls, picture: Image.Image) -> "Look":
        """The look of a picture in RGB."""
        return cls(perceptual_hash(picture), np.asarray(picture.resize((_COPY, _COPY), Image.Resampling.BOX)))

    def is_like(self, other: "Look", bits: int, colour: int) -> bool:
        """Whether two pictures look alike.

        Args:
            other: The other one.
            bits: In how many bits of the hash they may differ.
            colour: By how much any part of the small copies may differ, of 255.
        """
        if (self.bits ^ other.bits).bit_count() > bits:
            return False
        return int(np.abs(self.copy.astype(np.int16) - other.copy).max()) <= colour


def perceptual_hash(picture: Image.Image) -> int:
    """The signs of a picture's lowest frequencies against their median, row by row, the first the highest bit."""
    side = _SIDE * _SCALE
    grey = np.asarray(picture.convert("L").resize((side, side), Image.Resampling.LANCZOS), dtype=np.float64)
    lowest: Float[np.ndarray, "8 8"] = dctn(grey)[:_SIDE, :_SIDE]
    return int.from_bytes(np.packbits(lowest > np.median(lowest)).tobytes(), "big")


class Looks:
    """Pictures by number, found by their look.

    Args:
        bits: In how many bits of the hash two pictures that look alike may differ, up to `MOST_BITS`.
        colour: By how much any part of their small copies may differ, of 255.
    """

    def __init__(self, bits: int, colour: int) -> None:
        self._bits, self._colour = bits, colour
        self._looks: list[tuple[int, Look]] = []
        self._by_part: list[dict[int, list[int]]] = [defaultdict(list) for _ in range(_PARTS)]

    def __len__(self) -> int:
        return len(self._looks)

    def add(self, number: int, look: Look) -> None:
        """Add a picture under a number."""
        for part, places in zip(_parts(look.bits), self._by_part, strict=True):
            places[part].append(len(self._looks))
        self._looks.append((number, look))

    def like(self, look: Look) -> Iterator[int]:
        """The numbers of the pictures that look like this one, in the order in which they were added."""
        places: set[int] = set()
        for part, known in zip(_parts(look.bits), self._by_part, strict=True):
            for flip in _FLIPS:
                places.update(known.get(part ^ flip, ()))
        for place in sorted(places):
            number, other = self._looks[place]
            if look.is_like(other, self._bits, self._colour):
                yield number


def _parts(bits: int) -> list[int]:
    return [bits >> (_PART_BITS * part) & (2**_PART_BITS - 1) for part in range(_PARTS)]


# Of hashes that differ in fewer bits than three for each part, one part at least differs in two or fewer.
_FLIPS = [
    sum(1 << place for place in places)
    for size in range(_FLIPPED + 1)
    for places in combinations(range(_PART_BITS), size)
]
