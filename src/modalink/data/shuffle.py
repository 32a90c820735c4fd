"""A shuffled order without a list of it."""

import hashlib

_ROUNDS = 6
_MIN_HALF_BITS = 3
_WORD = 2**64 - 1


class Permutation:
    """A bijection of `range(size)` that looks random, evaluated place by place in constant memory.

    A balanced Feistel network over the next even power of two; places that fall outside walk on until they are inside.

    Args:
        size: How many numbers are shuffled.
        seed: Names the order: equal seeds give equal orders on every machine.

    Source: Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002, sections 3 and 4.
    """

    def __init__(self, size: int, seed: str) -> None:
        self._size = size
        self._bits = max(_MIN_HALF_BITS, (max(1, size - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._bits) - 1
        digest = hashlib.sha512(seed.encode()).digest()
        self._keys = [int.from_bytes(digest[8 * i : 8 * i + 8], "little") for i in range(_ROUNDS)]

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: int) -> int:
        if not 0 <= place < self._size:
            raise IndexError(f"found place {place}, needed one from 0 to {self._size - 1}")
        while True:
            place = self._step(place)
            if place < self._size:
                return place

    def _step(self, place: int) -> int:
        left, right = place >> self._bits, place & self._mask
        for key in self._keys:
            # The finaliser of SplitMix64: each bit of the result hangs on all bits of the word.
            word = right ^ key
            word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
            word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _WORD
            left, right = right, left ^ ((word ^ (word >> 31)) & self._mask)
        return left << self._bits | right
