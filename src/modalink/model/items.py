"""Media made ready: one item each."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from modalink.errors import MediumError
from modalink.model.sampled import SampledMedium
from modalink.ragged import Layout, Ragged
from modalink.roles import MediumHandle, Preprocessor


@dataclass(frozen=True)
class Item:
    """One preprocessed medium.

    Args:
        layout: How its units lie.
        digest: SHA-256 of what decides its values: names the item in feature caches.
        load: Gives its units `[u ...]`, what its encoder (or generator) reads.
        tokens: How many places of the text stand for it; 0 for a target.
        caption: Text that describes it, if known.
        text: Token ids of what is said beside it, for an input projector that reads them.
        words: Token ids of its caption, for an input projector that learns captions.
        loss: Whether training learns from it; of a target, to make it.
        shown: Where an objective asks for it, of a target: the same medium as its modality's encoder reads it; of what
            is read: its caption, as a medium of its own.
        sampled: Media that the policy made in a target's place, where a stage learns from those.
        exists: Whether it is there; a target that is yet to be made has no units, and its `load` says so.
    """

    layout: Layout
    digest: str
    load: Callable[[], Tensor] = field(compare=False)
    tokens: int = 0
    caption: str | None = None
    text: tuple[int, ...] = ()
    words: tuple[int, ...] = ()
    loss: bool = True
    shown: "Item | None" = None
    sampled: tuple[SampledMedium, ...] = ()
    exists: bool = True

    def loaded(self) -> Self:
        """The same item, its units in memory, as far as it exists."""
        if not self.exists:
            return self
        values = self.load()
        return replace(self, load=lambda: values)

    @classmethod
    def of(
        cls,
        values: Tensor,
        layout: Layout | None = None,
        *,
        tokens: int = 0,
        caption: str | None = None,
        text: tuple[int, ...] = (),
        words: tuple[int, ...] = (),
        loss: bool = True,
    ) -> Self:
        """An item of units that are there already; its digest is that of their values."""
        content = repr((values.dtype, tuple(values.shape))).encode()
        content += values.contiguous().view(torch.uint8).numpy().tobytes()
        digest = hashlib.sha256(content).hexdigest()
        return cls(layout or Layout.of_units(len(values)), digest, lambda: values, tokens, caption, text, words, loss)

    @classmethod
    def to_make(cls, sample: str, modality: str, caption: str | None, *, loss: bool = True) -> Self:
        """A target that is yet to be made.

        Args:
            sample: The sample that asks for it, for errors.
            modality: Its modality.
            caption: Text that describes what shall be made.
            loss: Whether training learns to make it.
        """
        load = _Unmade(sample, modality)
        return cls(Layout.of_units(1), _UNMADE, load, caption=caption, loss=loss, exists=False)


_UNMADE = hashlib.sha256(b"yet to be made").hexdigest()


@dataclass(frozen=True)
class _Unmade:
    """Says of a target that is yet to be made that nothing can be learned from its medium."""

    sample: str
    modality: str

    def __call__(self) -> Tensor:
        raise MediumError(
            self.sample,
            "unmade",
            f"found a request for {self.modality} without a medium, and an objective that learns one; give its record "
            "the reply with the medium, or leave the objective out",
        )


@dataclass(frozen=True)
class Shown:
    """What a stage's objectives want to be shown beside the samples, see `Item.shown`.

    Args:
        targets: Media that shall be made, as encoders read them.
        captions: The modality as which captions of media are read; None: not at all.
    """

    targets: bool = False
    captions: str | None = None


@dataclass(frozen=True)
class Reading:
    """What it takes to load an item: an opened medium, and its preprocessing.

    Args:
        handle: The medium.
        preprocess: Turns it into units.
        sample: The sample that holds it, for errors.
    """

    handle: MediumHandle
    preprocess: Preprocessor
    sample: str

    def __call__(self) -> Tensor:
        """The units `[u ...]`.

        Raises:
            MediumError: It cannot be decoded; the sample is named.
        """
        with named_after(self.sample):
            return self.preprocess.units(self.handle)


@dataclass(frozen=True)
class Described:
    """Those of a batch's items that have captions to be learned.

    Args:
        places: Which they are.
        samples: Which sample of the batch each of them belongs to.
        texts: Token ids of their captions.
    """

    places: tuple[int, ...]
    samples: tuple[int, ...]
    texts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, items: Sequence[Item], samples: Sequence[int]) -> Self:
        """Those of some items, each of them of one of the samples."""
        places = tuple(place for place, item in enumerate(items) if item.words and item.loss)
        return cls(places, tuple(samples[i] for i in places), tuple(items[i].words for i in places))

    @property
    def words(self) -> Ragged:
        """The token ids, one caption after the other."""
        return _ids(self.texts)


@contextmanager
def named_after(sample: str) -> Iterator[None]:
    """Puts a sample's name before the errors of its media."""
    try:
        yield
    except MediumError as error:
        detail = str(error).removeprefix(f"{error.name}: ")
        raise MediumError(f"{sample}: {error.name}", error.reason, detail) from error


def ragged(items: Sequence[Item]) -> Ragged:
    """The units of items, joined."""
    return Ragged.of([item.load() for item in items], [item.layout for item in items])


def texts(items: Sequence[Item]) -> Ragged | None:
    """Token ids of what is said beside each item; None where nothing is."""
    if not any(item.text for item in items):
        return None
    return _ids([item.text for item in items])


def _ids(texts: Sequence[tuple[int, ...]]) -> Ragged:
    rows = [torch.tensor(text, dtype=torch.long) for text in texts]
    return Ragged(torch.cat(rows), tuple(map(len, rows)), tuple(Layout.of_units(max(1, len(row))) for row in rows))
