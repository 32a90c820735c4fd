"""Texts as words, as sets of shingles, and as MinHash signatures that tell which sets are alike.

Sources: Broder, On the resemblance and containment of documents (1997); bands of a signature: Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, section 3.4.
"""

import re
import unicodedata
from functools import cache
from zlib import crc32

import numpy as np
from jaxtyping import UInt32, UInt64

# What is written without spaces counts by the letter.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\u0e00-\u0e7f]|[^\W_]+")
_SHINGLE = 2


def words(text: str) -> list[str]:
    """The words of a text, without case, signs and forms of letters; of Chinese, Japanese, Korean and Thai, letters."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def shingles(text: str) -> UInt32[np.ndarray, " n"]:
    """The set of a text's words and of its pairs of neighbouring words, each as a number of 32 bits, in order."""
    said = [*words(text)]
    runs = (" ".join(said[at : at + size]) for size in (1, _SHINGLE) for at in range(len(said) - size + 1))
    return np.unique(np.array([crc32(run.encode()) for run in runs], dtype=np.uint32))


def likeness(one: UInt32[np.ndarray, " n"], other: UInt32[np.ndarray, " m"]) -> float:
    """The Jaccard index of two sets of shingles: 1 for equal ones, also if both are empty."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    either = len(one) + len(other) - both
    return both / either if either else 1.0


def signature(shingles: UInt32[np.ndarray, " n"], hashes: int = 128) -> UInt32[np.ndarray, " h"]:
    """The MinHash signature of a set: of two sets, the share of equal numbers is about their Jaccard index.

    Args:
        shingles: The set; of an empty one all numbers are equal.
        hashes: Length of the signature.
    """
    factors, offsets = _functions(hashes)
    # Multiplication modulo 2^64, of which the upper half counts (Dietzfelbinger, 1996).
    mixed = (factors[:, None] * shingles.astype(np.uint64) + offsets[:, None]) >> np.uint64(32)
    return np.asarray(mixed.min(1, initial=2**32 - 1), dtype=np.uint32)


@cache
def _functions(hashes: int) -> tuple[UInt64[np.ndarray, " h"], UInt64[np.ndarray, " h"]]:
    factors, offsets = np.random.default_rng(0).integers(0, 2**64 - 1, (2, hashes), dtype=np.uint64)
    return factors | np.uint64(1), offsets
