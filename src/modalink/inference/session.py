"""Asking a system: conversations in, text and media out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from modalink import modalities
from modalink.conversation import REGION_MARKER, Content, Conversation, Medium, Region, Text, Turn
from modalink.errors import GenerationError, ModalinkError, OptionError, UnknownNameError
from modalink.inference.answer import Answer
from modalink.inference.engine import Engine
from modalink.inference.request import Begun, Completion, Request, Watch
from modalink.inference.sampling import Sampling
from modalink.model import System

Messages = Conversation | Sequence[Mapping[str, Any]]
KEPT = 2**28
"""Bytes of encoder outputs that a session keeps, so that media of earlier turns are not encoded again."""
UNWATCHED = Watch()


class Session:
    """Answers questions about media, and makes media, with one system.

    A session remembers nothing: an answer holds its whole conversation, to go on with. In the turns after, what an
    answer made is read by the encoder of its modality, where the system has one and can read it.

    Args:
        system: A composed or loaded system.

    Example:
        session = modalink.load("runs/demo")
        answer = session.ask("What is left of the cube?", image="a.png")
        session.ask("And behind it?", after=answer.conversation)
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.engine = Engine(system, keeps=KEPT)

    @property
    def reads(self) -> tuple[str, ...]:
        """Modalities that it reads."""
        return tuple(self.system.spec.inputs)

    @property
    def makes(self) -> tuple[str, ...]:
        """Modalities that it makes."""
        return tuple(self.system.spec.outputs)

    def ask(
        self,
        question: str,
        *,
        after: Conversation | None = None,
        regions: Sequence[Region] = (),
        watch: Watch = UNWATCHED,
        **given: Any,
    ) -> Answer:
        """Answer one question.

        Args:
            question: The user's words.
            after: The conversation that it goes on with, for example an earlier answer's.
            regions: Places in the last picture, which fill the markers `<bbox>` of the words.
            watch: Who looks on while media are made, and may stop that.
            given: Media by modality, one or a list (`image="a.png"`), and options of `Sampling` (`temperature=0.7`).

        Raises:
            MediumError: A medium cannot be read.
            PromptError: The system does not read a medium's modality, or the words cannot become a prompt.
            GenerationError: No answer can be made.
            OptionError: An option has no such value.
            UnknownNameError: An argument is neither a modality nor an option.
        """
        known = modalities.names()
        media = [Medium(m, source) for m, sources in given.items() if m in known for source in _listed(sources)]
        options = {name: value for name, value in given.items() if name not in known}
        return self.chat(asked(question, media, after, regions), watch=watch, **options)

    def chat(self, messages: Messages, *, watch: Watch = UNWATCHED, **options: Any) -> Answer:
        """Answer the last turn of a conversation, or of its chat messages; options and errors as for `ask`.

        Args:
            messages: The conversation.
            watch: Who looks on while media are made, and may stop that.
            options: Of `Sampling`.
        """
        conversation, sampling = _conversation(messages), _sampling(options)
        if (found := self._found(conversation)) is not None:
            return self._answer(conversation, found)
        (completion,) = self.engine.generate([self._request(conversation, sampling, watch)])
        return self._answer(conversation, completion)

    def stream(self, messages: Messages, *, watch: Watch = UNWATCHED, **options: Any) -> "Stream":
        """As `chat`, giving the text piece by piece while it is drawn."""
        conversation, sampling = _conversation(messages), _sampling(options)
        return Stream(lambda: self._stream(conversation, sampling, watch))

    def _stream(self, conversation: Conversation, sampling: Sampling, watch: Watch) -> Iterator[str | Begun | Answer]:
        if (found := self._found(conversation)) is not None:
            yield found.text
            yield self._answer(conversation, found)
            return
        for piece in self.engine.stream(self._request(conversation, sampling, watch)):
            yield self._answer(conversation, piece) if isinstance(piece, Completion) else piece

    def _found(self, conversation: Conversation) -> Completion | None:
        """An entry of the retriever's index that is the answer itself."""
        found = None if self.system.retrieving is None else self.system.retrieving.answer(conversation)
        if found is None:
            return None
        media = [Medium(modality, modalities.get(modality).read(path)) for modality, path in found.media]
        return Completion(text=found.text, content=(Text(found.text), *media))

    def _request(self, conversation: Conversation, sampling: Sampling, watch: Watch) -> Request:
        return Request(self.system.prepare(conversation, reply=True), sampling, watch=watch)

    def _answer(self, conversation: Conversation, completion: Completion) -> Answer:
        notes = [*completion.missing]
        content = tuple(self._read_from_now_on(piece, notes) for piece in completion.content)
        parsed = self.system.processor.regions.read(completion.text, conversation)
        return Answer(
            text=completion.text,
            media=[(medium.modality, medium.source) for medium in completion.media],
            conversation=Conversation((*conversation.turns, Turn("assistant", content)), conversation.id),
            complete=completion.finish_reason == "stop",
            regions=parsed.regions,
            unread=parsed.unread,
            made=completion.made,
            notes=tuple(notes),
        )

    def _read_from_now_on(self, piece: Content, notes: list[str]) -> Content:
        """A medium that was made as the turns after have it: read, where its encoder can; else its signal tokens."""
        asked = {*self.makes} - {*self.system.spec.worded}  # what says the reply's own words need not be read again
        if not isinstance(piece, Medium) or piece.modality not in asked.intersection(self.reads):
            return piece
        try:
            self.system.processor.check_readable(piece.modality, piece.source)
        except ModalinkError as error:
            notes.append(f"{piece.modality} that was made cannot be read, and stands as its signal tokens: {error}")
            return piece
        return replace(piece, use="both")


class Stream:
    """Pieces of an answer's text as they are drawn; the whole answer stands in `answer` after the last one."""

    def __init__(self, start: Callable[[], Iterator[str | Begun | Answer]]) -> None:
        self._start = start
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer:
        """The whole answer.

        Raises:
            GenerationError: The stream was not read to its end.
        """
        if self._answer is None:
            raise GenerationError("the answer is not complete yet: read the stream to its end first")
        return self._answer

    def __iter__(self) -> Iterator[str]:
        return (piece for piece in self.pieces() if isinstance(piece, str))

    def pieces(self) -> Iterator[str | Begun]:
        """The same pieces, and between them where media stand."""
        for piece in self._start():
            if isinstance(piece, Answer):
                self._answer = piece
            else:
                yield piece


def asked(
    question: str,
    media: Sequence[Medium] = (),
    after: Conversation | None = None,
    regions: Sequence[Region] = (),
) -> Conversation:
    """A conversation that ends with a question: its media, then its words.

    Args:
        question: The words.
        media: What they are about.
        after: What the conversation goes on with.
        regions: Places in the last picture; they fill the markers `<bbox>` of the words, in order.

    Raises:
        OptionError: There are regions, and not as many markers.
    """
    markers = question.count(REGION_MARKER)
    if regions and markers != len(regions):
        raise OptionError(
            f"found {len(regions)} regions and {markers} {REGION_MARKER} in the question, needed as many: "
            f'for example "What is in {REGION_MARKER}?"'
        )
    turns = Conversation((Turn("user", (*media, Text(question))),)).filled(regions).turns
    return Conversation(turns) if after is None else Conversation((*after.turns, *turns), after.id)


def _conversation(messages: Messages) -> Conversation:
    return messages if isinstance(messages, Conversation) else Conversation.from_messages(messages)


def _listed(given: Any) -> list[Any]:
    return [] if given is None else list(given) if isinstance(given, list | tuple) else [given]


def _sampling(options: dict[str, Any]) -> Sampling:
    known = {*Sampling.model_fields}
    if unknown := sorted(options.keys() - known):
        raise UnknownNameError("option of an answer", unknown[0], known | {*modalities.names()})
    return Sampling.checked(**options)
