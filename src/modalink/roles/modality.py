"""The row that describes a modality, which is data; and a medium of it, opened."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from html import escape
from typing import Any


class MediumHandle(ABC):
    """One medium that was found and checked, and is decoded when it is read.

    A modality adds what can be known without decoding, and what can be read of a part: an image has a `height` and a
    `width`, a video a `duration_s` and `frames(times)`, a sound a `duration_s` and `samples(rate_hz)`.

    Args:
        label: What errors call it.
    """

    def __init__(self, label: str) -> None:
        self.label = label

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of its content, as stored or, of a decoded object, as read: equal only where all that is read is.

        Raises:
            MediumError: It went away or was changed since it was opened.
        """

    @property
    @abstractmethod
    def extent(self) -> str:
        """How large it is, for people: `640 x 480 px`, `3.2 s`."""

    @property
    def text(self) -> str:
        """What it shows, in words; of a modality that `tells`.

        Raises:
            MediumError: As `read`.
        """
        return ""

    @abstractmethod
    def read(self) -> Any:
        """Decode it.

        Raises:
            MediumError: It went away or was changed since it was opened, or cannot be decoded.
        """

    def whole(self) -> Any:
        """Decode it with all that a file can keep of it, also what nobody reads, such as each channel of a sound.

        Raises:
            MediumError: As `read`.
        """
        return self.read()


@dataclass(frozen=True)
class Preview:
    """What a page shows of a medium by itself: without a script, and without another file.

    Args:
        url: A data URL of a picture, still or moving, or of a sound; empty where there is none.
        words: What it says, where it is words.
        note: What was scaled down or left out for the page; empty where nothing was.
    """

    url: str = ""
    words: str = ""
    note: str = ""

    def html(self, alt: str) -> str:
        """As an element of a page; a URL that holds no picture and no sound itself is left out.

        Args:
            alt: What it is, for those who do not see it.
        """
        if self.url.startswith("data:audio/"):
            element = f'<audio controls src="{escape(self.url)}" title="{escape(alt)}"></audio>'
        elif self.url.startswith("data:image/"):
            element = f'<img src="{escape(self.url)}" alt="{escape(alt)}">'
        else:
            element = f"<q>{escape(self.words)}</q>" if self.words else ""
        return f'<span class="medium">{element}{f"<small>{escape(self.note)}</small>" if self.note else ""}</span>'


@dataclass(frozen=True, kw_only=True)
class ModalityRecord:
    """One row of the table of modalities: all that the rest of the house says about a modality or asks of it."""

    name: str
    """Key in recipes and conversations, option of commands, type of content blocks; for example `image`."""
    plural: str
    """Column in which data sets keep several of a record, for example `images`."""
    blocks: tuple[str, ...] = ()
    """Further types of content blocks that hold it in others' chat messages, for example OpenAI's `image_url`."""
    placeholder: str
    """Token that stands for one item in a prompt, for example `<image>`."""
    signal: str
    """Spelling of the signal tokens, for example `[IMG{}]`."""
    argument: str
    """Keyword under which the model's forward takes the preprocessed items, for example `pixel_values`."""
    like: str | None = None
    """The modality whose encoders and generators fit it too, since its media decode to the same."""
    tells: bool = False
    """Whether the `text` of a medium stands behind it wherever it is read, since its picture alone is not exact."""
    suffixes: tuple[str, ...]
    """File names that hold this modality."""
    written: str
    """Suffix of media that are made: of a format without loss, where there is one."""
    formats: tuple[str, ...] = ()
    """Suffixes of further formats that `write` writes, which may lose something."""
    describe: tuple[str, ...] = (
        "Describe the {modality} briefly.",
        "What does the {modality} show?",
        "Say in one sentence what this {modality} contains.",
        "Give a short caption for the {modality}.",
        "Sum up this {modality} in a few words.",
    )
    """Requests to describe one, in which `{modality}` is filled in."""
    make: tuple[str, ...] = (
        "Make this {modality}: {caption}",
        "Create the {modality} that this text describes: {caption}",
        "I would like a new {modality}. It shows: {caption}",
    )
    """Requests to make one, in which `{caption}` and `{modality}` are filled in."""
    from_text: Callable[[str], Any] | None = None
    """Makes a decoded medium of words; of a modality whose media are words."""
    open: Callable[..., MediumHandle]
    """Finds and checks one medium, given as path, bytes, data URL, decoded object or handle, without decoding it; takes
    what errors call it as `name`, and limits by keyword; raises `MediumError`."""
    write: Callable[[Any, Any], None]
    """Writes one decoded medium to a path."""
    preview: Callable[[Any], Preview] | None = None
    """What a page shows of a decoded medium, small enough to stand in it; of a modality that is `like` another one,
    what that one shows."""
    example: Callable[[int], Any]
    """Makes decoded example number i, always the same, of another size than its neighbours; for kits and checks."""

    def read(self, source: Any, name: str | None = None, **limits: Any) -> Any:
        """Open and decode one medium.

        Raises:
            MediumError: It cannot be opened or decoded.
        """
        return self.open(source, name, **limits).read()

    def keep(self, source: Any, path: Any) -> None:
        """Write one medium, of any source, with all that it holds.

        Raises:
            MediumError: It cannot be opened, decoded or written.
        """
        self.write(self.open(source).whole(), path)

    def fits(self, modalities: Collection[str]) -> bool:
        """Whether a part for these modalities is one for this modality."""
        return self.taken_for(modalities) is not None

    def taken_for(self, modalities: Collection[str]) -> str | None:
        """Which of these a part takes its media for: itself, or the one that it is `like`; None if neither is there."""
        return next((name for name in (self.name, self.like) if name is not None and name in modalities), None)

    @property
    def writes(self) -> tuple[str, ...]:
        """Suffixes of all formats that are written, the one without loss first."""
        return (self.written, *self.formats)

    @property
    def columns(self) -> tuple[str, str]:
        """Columns in which data sets keep media of a record: several, or one."""
        return self.plural, self.name
