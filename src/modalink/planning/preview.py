"""The first samples of a source: their turns, their media, and the prompt with what is learned of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modalink import modalities
from modalink.conversation import Conversation, Medium, Turn
from modalink.data.preference import Preference
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
class ShownReply:
    """One of several replies to the same prompt, or one that was judged alone."""

    title: str
    """Which it is, and what is known of its worth."""
    turns: list[ShownTurn]
    """What it says; of the first, which stands in the sample itself, none."""


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
    replies: tuple[ShownReply, ...] = ()
    """Of judged replies each, the best first."""


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
    sample = ShownSample(conversation.id, [*map(_turn, conversation.turns)], [], replies=tuple(_replies(conversation)))
    if processor is None:
        return sample
    try:
        prepared = processor.prepare(conversation, max_tokens=max_tokens, template=template)
    except (DataError, PromptError) as error:
        return replace(sample, error=str(error))
    learned = sum(label != IGNORED for label in prepared.labels)
    counts = (len(prepared.input_ids), learned, prepared.cut)
    nothing = None if learned else "nothing of it is learned"
    return replace(sample, prompt=pieces(prepared, processor), counts=counts, error=nothing)


def _replies(conversation: Conversation) -> Iterator[ShownReply]:
    """The replies of a preference; of one about other media its prompt, too."""
    if not isinstance(conversation, Preference):
        return
    judged = zip(conversation.sides, conversation.conversations(), strict=True)
    for number, (side, (whole, judgement)) in enumerate(judged, start=1):
        known = [] if judgement.label is None else ["good" if judgement.label else "bad"]
        known += [] if judgement.score is None else [f"score {judgement.score:g}"]
        known += [judgement.variant] if judgement.variant else []
        said = whole.turns if side.media is not None else side.reply
        title = f"reply {number} of {len(conversation.sides)}" + (", which stands above" if number == 1 else "")
        title += f": {', '.join(known)}" if known else ""
        yield ShownReply(title, [*map(_turn, said)] if number > 1 else [])


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
