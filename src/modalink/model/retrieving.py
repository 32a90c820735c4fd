"""What a recipe's retriever finds, put before the question; training leaves the sample itself out."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from modalink import modalities, tensor_files
from modalink.conversation import Content, Conversation, Medium, Region, Text, Turn
from modalink.errors import PartError
from modalink.model.modeling import ModalinkForConditionalGeneration
from modalink.model.processing import ModalinkProcessor
from modalink.ragged import Ragged
from modalink.recipe import RetrievalSpec, SystemSpec
from modalink.roles import MediumHandle
from modalink.roles.retriever import Found, Pool, Query, Retriever, RetrieverConfig


class Embedding:
    """Media as unit vectors, by the frozen encoder of a modality; see `roles.retriever.EmbedsMedia`.

    Args:
        model: The model that holds the encoder.
        processor: What media go through before it.
        modality: What it reads.
    """

    def __init__(self, model: ModalinkForConditionalGeneration, processor: ModalinkProcessor, modality: str) -> None:
        self._model, self._read, self._modality = model, processor.readers[modality], modality
        encoder = processor.spec.encoder(modality)
        # Without defaults: an index outlives a setting that a later version adds.
        parts = {
            "weights": tensor_files.weights_digest(model.model.encoder(modality)),
            "settings": {"kind": encoder.kind} | encoder.model_dump(mode="json", exclude_defaults=True),
            "preprocessor": self._read.to_dict(),
        }
        self.sha256 = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @torch.no_grad()
    def __call__(self, media: Sequence[MediumHandle], pool: Pool) -> Float[Tensor, "n d"]:
        """One vector of length 1 for each medium: the mean, or the largest values, of its tokens.

        Raises:
            MediumError: A medium cannot be read.
        """
        layouts = [self._read.layout(handle) for handle in media]
        units = Ragged.of([self._read.units(handle) for handle in media], layouts)
        weight = next(self._model.model.encoder(self._modality).parameters(), units.values)
        tokens = self._model.encode(self._modality, units.to(weight.device))
        each = [item.float().mean(0) if pool == "mean" else item.float().amax(0) for item in tokens]
        return torch.nn.functional.normalize(torch.stack(each), dim=-1).cpu()


def embedding(
    config: RetrieverConfig, model: ModalinkForConditionalGeneration, processor: ModalinkProcessor
) -> Embedding | None:
    """The encoder that a retriever finds by; None where it needs none.

    Raises:
        PartError: The model reads no such modality.
    """
    modality = config.embeds()
    if modality is not None and modality not in processor.readers:
        reads = ", ".join(processor.readers) or "text only"
        raise PartError(
            f"retriever {config.kind}: found no encoder of {modality!r} to find by; the system reads {reads}"
        )
    return None if modality is None else Embedding(model, processor, modality)


@dataclass(frozen=True)
class LookedUp:
    """What was made of a conversation.

    Args:
        conversation: With what was found before its last question.
        neighbours: The vectors of what was found, the nearest first, and zeros behind them; None where nothing reads
            them.
    """

    conversation: Conversation
    neighbours: Float[Tensor, "n d"] | None = None


class Retrieving:
    """Finds what belongs to a conversation, and shows it.

    Args:
        spec: What is shown, and where.
        retriever: What finds.
        reads: The modalities that the system reads.
        beside: How many vectors of what is found output projectors read.
    """

    def __init__(self, spec: RetrievalSpec, retriever: Retriever, reads: Collection[str], beside: int = 0) -> None:
        self.spec, self.retriever, self._reads, self._beside = spec, retriever, frozenset(reads), beside
        self._known: dict[tuple[str, ...], list[Found]] = {}

    @classmethod
    def of(
        cls, spec: SystemSpec, model: ModalinkForConditionalGeneration, processor: ModalinkProcessor
    ) -> "Retrieving | None":
        """What a recipe wants to be looked up; None for nothing.

        Raises:
            PartError: The index is absent or damaged, or does not fit.
        """
        if spec.retrieval is None:
            return None
        retriever = spec.retrieval.retriever
        beside = max((made.states.neighbours for made in spec.outputs.values()), default=0)
        return cls(spec.retrieval, retriever.build(embedding(retriever, model, processor)), spec.inputs, beside)

    def shown(self, conversation: Conversation, *, learning: bool = False) -> Conversation:
        """The conversation with what was found before its last question; see `looked_up`."""
        return self.looked_up(conversation, learning=learning).conversation

    def looked_up(self, conversation: Conversation, *, learning: bool = False) -> LookedUp:
        """What was found for the last question of a conversation, before it and as vectors.

        Args:
            conversation: Turns of which one at least is the user's.
            learning: Whether training learns from it: then entries of the same source, with the same media or as near
                as a copy are left out, and what was found for a question is kept for the next epoch.

        Raises:
            MediumError: A medium of the conversation cannot be read.
        """
        place = _last_question(conversation)
        if place is None:
            return LookedUp(conversation)
        turn = conversation.turns[place]
        found = self._learned(conversation, turn) if learning else self.found(turn)
        return LookedUp(self._with(conversation, place, found), self._vectors(found))

    def _vectors(self, found: Sequence[Found]) -> Float[Tensor, "n d"] | None:
        if not self._beside or not found:
            return None
        vectors = self.retriever.vectors_of(found[: self._beside])
        return torch.nn.functional.pad(vectors, (0, 0, 0, self._beside - len(vectors)))

    def _with(self, conversation: Conversation, place: int, found: Sequence[Found]) -> Conversation:
        """A conversation with what was found before one of its turns; itself where nothing is to be shown."""
        if not found or self.spec.show == "nothing":
            return conversation
        new = [piece for number, one in enumerate(reversed(found), 1) for piece in self._pieces(one, number)]
        before, first = conversation.turns[:place], _pictures(conversation.turns[:place])
        after = [_renumbered(one, first, _pictures([Turn("user", tuple(new))])) for one in conversation.turns[place:]]
        after[0] = replace(after[0], content=(*new, *after[0].content))
        return Conversation((*before, *after), conversation.id)

    def found(self, turn: Turn, without: Collection[str] = (), below: float | None = None) -> list[Found]:
        """The entries nearest to a turn that are near enough, the nearest first.

        Args:
            turn: What is asked.
            without: Sources and digests of media whose entries are left out.
            below: Entries that are at least so near are left out, too.
        """
        media = tuple(
            (m.modality, modalities.get(m.modality).open(m.source)) for m in turn.content if isinstance(m, Medium)
        )
        query = Query(turn.text, media)
        count = self.spec.neighbours
        while True:
            # Copies may stand before what is wanted: more are looked at until enough are left.
            all_found = self.retriever.search(query, count, without)
            found = [one for one in all_found if below is None or one.score < below]
            if len(found) >= self.spec.neighbours or len(all_found) < count:
                break
            count *= 2
        return [one for one in found[: self.spec.neighbours] if one.score >= self.spec.at_least]

    def answer(self, conversation: Conversation) -> Found | None:
        """The entry that is the answer itself, where one is near enough."""
        place = _last_question(conversation)
        if self.spec.answer_at is None or place is None or place != len(conversation.turns) - 1:
            return None
        found = self.found(conversation.turns[place])
        return found[0] if found and found[0].score >= self.spec.answer_at else None

    def _learned(self, conversation: Conversation, turn: Turn) -> list[Found]:
        own = tuple(modalities.get(medium.modality).open(medium.source).digest for _, medium in conversation.media())
        key = (conversation.id, turn.text, *own)
        if key not in self._known:
            self._known[key] = self.found(turn, {conversation.id, *own}, self.spec.leave_out_at)
        return self._known[key]

    def _pieces(self, found: Found, number: int) -> Iterator[Content]:
        if self.spec.show != "text":
            for modality, path in found.media:
                if modality in self._reads:
                    yield Medium(modality, path, use="read")
        if self.spec.show != "media":
            yield Text(self.spec.text.format(number=number, source=found.source, text=found.text))


def _last_question(conversation: Conversation) -> int | None:
    """The place of the last turn that is the user's; None if there is none."""
    places = [place for place, turn in enumerate(conversation.turns) if turn.role == "user"]
    return places[-1] if places else None


def _pictures(turns: Sequence[Turn]) -> int:
    """How many pictures stand in turns, as regions count them."""
    return sum(1 for _, medium in Conversation((*turns,)).media() if modalities.get(medium.modality).fits({"image"}))


def _renumbered(turn: Turn, first: int, by: int) -> Turn:
    """A turn whose regions count pictures from `first` on by so many higher."""
    return replace(
        turn,
        content=tuple(
            replace(piece, image=piece.image + by)
            if isinstance(piece, Region) and piece.image is not None and piece.image >= first
            else piece
            for piece in turn.content
        ),
    )
