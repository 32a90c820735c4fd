"""The first samples of a source: their turns, their media, and the prompt with what is learned of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modalink import modalities
from modalink.conversation import Conversation, Medium, Turn
from modalink.data.reading import in_order
from modalink.data.source import SourceConfig
from modalink.errors import DataError, MediumError, PromptError
from modalink.model import IGNORED, ModalinkProcessor
from modalink.planning.sample import pieces


@dataclass(frozen=True)
class ShownMedium:
    """A medium of a turn."""

    label: str
    """Modality, size, and what it is called; or what is wrong with it."""
    element: str = ""
    """What the page shows of it."""


@dataclass(frozen=True)
class ShownTurn:
    """What one speaker says."""

    role: str
    learned: bool
    content: list[str | ShownMedium]


@dataclass(frozen=True)
class ShownSample:
    """One record of a source.

    Args:
        id: Its name.
        turns: What is said; empty where the record cannot be read.
        prompt: Texts of the prompt, and whether each is learned; empty where it cannot be made.
        counts: Tokens: all, learned, cut.
        error: Why it would be left out of training.
    """

    id: str
    turns: list[ShownTurn]
    prompt: list[tuple[str, bool]]
    counts: tuple[int, int, int] = (0, 0, 0)
    error: str | None = None
    faults: tuple[str, ...] = ()
    """What checks found in it."""


def preview(
    config: SourceConfig, processor: ModalinkProcessor | None, *, count: int, max_tokens: int | None = None
) -> Iterator[ShownSample]:
    """The first samples of a source, in its own order.

    Args:
        config: The source.
        processor: Makes the prompts; None leaves them out.
        count: How many samples.
        max_tokens: Longest sequence.

    Raises:
        DataError: The source cannot be opened, or holds nothing.
    """
    for index, found in enumerate(in_order(config, count)):
        if isinstance(found, DataError):
            yield ShownSample(f"sample {index}", [], [], error=str(found))
        else:
            yield shown(found, processor, max_tokens, config.template)


def page(name: str, samples: list[ShownSample]) -> str:
    """Samples as a page of HTML, in one file."""
    pages = Environment(
        loader=PackageLoader("modalink.planning", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    content = pages.get_template("preview.html.jinja").render(name=name, samples=samples)
    # Names of files may hold bytes that are no UTF-8, as half a surrogate pair.
    return content.encode("utf-8", "backslashreplace").decode("utf-8")


def shown(
    conversation: Conversation,
    processor: ModalinkProcessor | None,
    max_tokens: int | None = None,
    template: str | None = None,
) -> ShownSample:
    """One sample as a page shows it; arguments as for `preview`, `template` its source's."""
    turns = [_turn(turn) for turn in conversation.turns]
    if processor is None:
        return ShownSample(conversation.id, turns, [])
    try:
        prepared = processor.prepare(conversation, max_tokens=max_tokens, template=template)
    except (DataError, PromptError) as error:
        return ShownSample(conversation.id, turns, [], error=str(error))
    learned = sum(label != IGNORED for label in prepared.labels)
    counts = (len(prepared.input_ids), learned, prepared.cut)
    nothing = None if learned else "nothing of it is learned"
    return ShownSample(conversation.id, turns, pieces(prepared, processor), counts, nothing)


def _turn(turn: Turn) -> ShownTurn:
    content = [_medium(piece) if isinstance(piece, Medium) else piece.text for piece in turn.content]
    return ShownTurn(turn.role, turn.loss and turn.role == "assistant", content)


def _medium(medium: Medium) -> ShownMedium:
    if medium.modality not in modalities.names():
        return ShownMedium(f"{medium.modality}: no such modality here")
    try:
        handle = modalities.get(medium.modality).open(medium.source)
        label = f"{medium.modality} {handle.extent}, {handle.label}"
        return ShownMedium(label, Markup(modalities.preview(medium.modality, handle.read()).html(label)))
    except MediumError as error:
        return ShownMedium(f"{medium.modality}: {error}")
