"""What turns a medium into the units that an encoder (or generator) reads."""

from abc import ABC, abstractmethod
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from modalink.ragged import Layout
from modalink.roles.modality import MediumHandle

Window = tuple[float, float, float, float]
"""Left, top, right and bottom of what is seen of a picture, in its pixels; beyond its edges where it is padded."""


class Preprocessor(ABC):
    """Turns one medium into units of one shape; picklable, no weights."""

    def layout(self, medium: Any) -> Layout:
        """How the medium's units will lie, from its size or duration alone; one unit, if not overridden."""
        return Layout.of_units(1)

    def window_of(self, size: tuple[int, int]) -> Window:
        """What the encoder sees of a picture; all of it, as where it is stretched, if not overridden.

        Args:
            size: The picture's width and height in pixels.

        Returns:
            A smaller rectangle where the picture is cropped, a larger one where it is padded. `[left, right]` and
            `[top, bottom]` are what coordinates from 0 to 1 mean to an LLM that knows nothing but what it sees.
        """
        return 0.0, 0.0, float(size[0]), float(size[1])

    @abstractmethod
    def __call__(self, medium: Any) -> Float[Tensor, "u ..."]:
        """The units of one medium, as many as its layout says."""

    def units(self, handle: MediumHandle) -> Float[Tensor, "u ..."]:
        """The units of an opened medium, the same ones; where a part of it is enough, that part alone is decoded.

        Decodes all of it, if not overridden.

        Raises:
            MediumError: It cannot be decoded.
        """
        return self(handle.read())

    def seeded(self, seed: int) -> "Preprocessor":
        """The same, with what training draws of a medium (frames, crops) fixed by a seed; itself, if it draws nothing.

        Without a seed nothing is drawn. `to_dict` does not tell the seed: the digest of each item does.
        """
        return self

    def among(self, count: int) -> "Preprocessor":
        """The same for a medium that is one of so many of its modality in a conversation; itself, if it is no other.

        As with a seed, `to_dict` does not tell it: the digest of each item does.
        """
        return self

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data: part of every feature-cache key."""


class ReadsPixels(ABC):
    """The ability of a preprocessor whose units have gradients to the picture, for rewards that are followed."""

    @abstractmethod
    def of_pixels(self, pixels: Float[Tensor, "i 3 h w"]) -> Float[Tensor, "i u c y x"]:
        """The units of pictures with colours from 0 to 1: those of `__call__`, but for how a resizing rounds.

        Raises:
            PartError: What it does has no gradients.
        """


class SquarePreprocessor(Preprocessor):
    """Makes one square of every image; larger pictures can be cut into such squares, see `kind: tiles`."""

    side: int
    """Side of the square in pixels."""
    resample: Image.Resampling = Image.Resampling.BICUBIC
    """How images are scaled."""

    def exact(self, square: Image.Image) -> Float[Tensor, "1 c h w"]:
        """The unit of an image that is such a square already: neither scaled nor cropped; as any, if not overridden."""
        return self(square)

    def padded(self) -> "SquarePreprocessor":
        """The same for whole images that are filled up to squares first, not stretched or cropped; itself, if not
        overridden."""
        return self
