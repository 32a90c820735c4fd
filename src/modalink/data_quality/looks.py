"""Samples by what their media look like: pictures by their look, other media by their content."""

from collections.abc import Iterator

from modalink.data_quality.pictures import Look, Looks
from modalink.data_quality.sample import Sample

_Shown = tuple[Look | str, ...]


class MediaLooks:
    """Numbers of samples, found by media that look alike, one by one and as many.

    Args:
        bits: In how many bits of their perceptual hashes two pictures that look alike may differ.
        colour: By how much any part of their small copies may differ, of 255.
    """

    def __init__(self, bits: int, colour: int) -> None:
        self._bits, self._colour = bits, colour
        self._pictures = Looks(bits, colour)
        self._others: dict[str, list[int]] = {}
        self._shown: dict[int, _Shown] = {}

    def add(self, sample: Sample) -> None:
        """Add a sample; one whose media cannot be read is never found."""
        shown = shown_by(sample)
        if not shown:
            return
        self._shown[sample.number] = shown
        if isinstance(shown[0], Look):
            self._pictures.add(sample.number, shown[0])
        else:
            self._others.setdefault(shown[0], []).append(sample.number)

    def like(self, sample: Sample) -> Iterator[int]:
        """The numbers of samples whose media look like this one's, in the order in which they were added."""
        shown = shown_by(sample)
        if not shown:
            return
        first = shown[0]
        found = self._pictures.like(first) if isinstance(first, Look) else iter(self._others.get(first, ()))
        yield from (number for number in found if self._alike(shown, self._shown[number]))

    def _alike(self, ones: _Shown, others: _Shown) -> bool:
        return len(ones) == len(others) and all(map(self._is_like, ones, others))

    def _is_like(self, one: Look | str, other: Look | str) -> bool:
        if isinstance(one, Look) and isinstance(other, Look):
            return one.is_like(other, self._bits, self._colour)
        return one == other


def shown_by(sample: Sample) -> _Shown:
    """The looks of a sample's pictures and the digests of its other media; none where one cannot be read."""
    looks = [medium.look for medium in sample.media]
    return () if None in looks else tuple(look for look in looks if look is not None)
