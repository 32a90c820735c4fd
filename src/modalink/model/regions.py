"""Regions of pictures in a conversation: written for the LLM, and read in its replies."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from modalink import modalities
from modalink.conversation import Area, Content, Conversation, Medium, Region, Text, Turn, Use
from modalink.errors import PromptError
from modalink.modalities.image import ImageHandle
from modalink.model.items import named_after
from modalink.prompts import Codec, Parsed, Picture
from modalink.roles import Preprocessor

_BEYOND_PX = 2
"""Pixels by which annotators' boxes end behind the edge."""


@dataclass(frozen=True)
class Regions:
    """A system's coordinate codec with the preprocessors that tell what is seen of a picture.

    Args:
        codec: The codec; None where the recipe names none.
        readers: What each modality goes through.
        use: What the system does with a medium of a turn, of a conversation of a name.
    """

    codec: Codec | None
    readers: Mapping[str, Preprocessor]
    use: Callable[[str, Turn, Medium], Use]

    def written(self, conversation: Conversation) -> Conversation:
        """A conversation with its regions as text.

        Raises:
            MediumError: A picture cannot be read.
            PromptError: The recipe names no codec, or it cannot write a region.
        """
        if not any(isinstance(piece, Region) for turn in conversation.turns for piece in turn.content):
            return conversation
        if self.codec is None:
            raise PromptError(
                f"{conversation.id}: found a region of a picture, and no coordinate codec that writes it; name the one "
                "of this LLM in the recipe, for example `prompt: {coordinates: llava-1.5}`"
            )
        pictures: list[Picture | None] = []  # opened where a region needs them
        media = self._pictures(conversation)

        def content(turn: Turn) -> Iterator[Content]:
            for piece in turn.content:
                if isinstance(piece, Medium) and self._is_picture(conversation.id, turn, piece):
                    pictures.append(None)
                if not isinstance(piece, Region):
                    yield piece
                    continue
                index = len(pictures) - 1 if piece.image is None else piece.image
                if not 0 <= index < len(pictures):
                    which = (
                        "a picture before it" if piece.image is None else f"one of {len(pictures)} before it, from 0"
                    )
                    raise PromptError(f"{conversation.id}: found a region of image {piece.image}, needed {which}")
                picture = pictures[index] = pictures[index] or self._picture(media, index, conversation.id)
                yield Text(self._text(piece, picture, conversation.id))

        turns = tuple(replace(turn, content=tuple(content(turn))) for turn in conversation.turns)
        return replace(conversation, turns=turns)

    def read(self, reply: str, conversation: Conversation) -> Parsed:
        """The regions of a reply, in pixels of the last picture of a conversation; nothing without codec or picture.

        Raises:
            MediumError: The picture cannot be read.
        """
        media = self._pictures(conversation)
        if self.codec is None or not media:
            return Parsed()
        return self.codec.parse(reply, self._picture(media, -1, conversation.id))

    def _pictures(self, conversation: Conversation) -> list[Medium]:
        return [medium for turn, medium in conversation.media() if self._is_picture(conversation.id, turn, medium)]

    def _is_picture(self, sample: str, turn: Turn, medium: Medium) -> bool:
        """Whether a medium is a picture that is read."""
        return modalities.get(medium.modality).fits({"image"}) and self.use(sample, turn, medium) != "made"

    def _picture(self, media: list[Medium], index: int, sample: str) -> Picture:
        medium = media[index]
        reader = self.readers[medium.modality].among(sum(other.modality == medium.modality for other in media))
        with named_after(sample):
            handle = modalities.get(medium.modality).open(medium.source)
            width, height = handle.size if isinstance(handle, ImageHandle) else handle.read().size
        return Picture(width, height, reader.window_of((width, height)))

    def _text(self, region: Region, picture: Picture, sample: str) -> str:
        assert self.codec is not None
        sides = (picture.width, picture.height)
        scale, beyond = (sides, 0) if region.shares else ((1.0, 1.0), _BEYOND_PX)
        areas: list[Area] = []
        for area in region.areas:
            placed = [number * scale[index % 2] for index, number in enumerate(area)]
            if any(place > sides[index % 2] + beyond for index, place in enumerate(placed)):
                size = f"{picture.width:g} x {picture.height:g} px"
                raise PromptError(f"{sample}: found the area {list(area)} beyond the picture of {size}")
            areas.append(tuple(min(place, sides[index % 2]) for index, place in enumerate(placed)))
        try:
            return self.codec.write(areas, picture, region.phrase)
        except PromptError as error:
            raise PromptError(f"{sample}: {error}") from None
