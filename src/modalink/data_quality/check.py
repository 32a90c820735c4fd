"""What a check is: settings that begin to look at a source, sample by sample, and tell which samples have faults."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from modalink.data_quality.sample import Sample
from modalink.kinds import KindConfig
from modalink.model import ModalinkProcessor


@dataclass(frozen=True)
class Fault:
    """What a check found in a sample.

    Args:
        number: The sample's number in its source.
        sample: Its name.
        reason: Short key, for example `near_duplicate`.
        detail: What was found, in a sentence.
    """

    number: int
    sample: str
    reason: str
    detail: str

    @classmethod
    def of(cls, sample: Sample, reason: str, detail: str) -> "Fault":
        """A fault of a sample."""
        return cls(sample.number, sample.id, reason, detail)


@dataclass(frozen=True)
class Context:
    """What checks may use.

    Args:
        processor: Makes prompts and labels as training would; None where no recipe was told.
        tokenizer: Counts tokens; None where neither a recipe nor an LLM was told.
        max_tokens: Longest sequence of the stage; None where nothing is cut.
        template: Prompt template of the source, where it has one of its own.
        against: Files and folders of benchmarks that must not be in the data.
        scores: File in which checks that measure for long keep what they have, and find it again; None keeps nothing.
        source: What the source is called that is looked at.
        earlier: The same check of the sources before it, where samples are compared with those of all of them.
        memory: Name of a check -> what `earlier` is for the source that comes next; one for all sources of a mixture.
    """

    processor: ModalinkProcessor | None = None
    tokenizer: Any = None
    max_tokens: int | None = None
    template: str | None = None
    against: Sequence[Path] = ()
    scores: Path | None = None
    source: str = ""
    earlier: Sequence[Any] = ()
    memory: dict[str, list[Any]] = field(default_factory=dict)


class Check(ABC):
    """Looks at the samples of one source, each once and in order."""

    remembers: ClassVar[bool] = False
    """Whether samples of sources behind are compared with those that it has seen, see `Context.earlier`."""

    @abstractmethod
    def look(self, sample: Sample) -> Iterable[Fault]:
        """Look at the next sample; its faults, or none where only the end can tell."""

    def finish(self) -> Iterable[Fault]:
        """Faults that only all samples together show."""
        return ()

    def facts(self) -> dict[str, Any]:
        """What was counted or measured, as JSON data, after the last sample."""
        return {}


class CheckConfig(KindConfig):
    """Base of the settings of checks."""

    room: ClassVar[str] = "modalink.data_quality.checks"
    by_default: ClassVar[bool] = True
    """Whether `modalink data check` makes it where no check is named."""

    def lacks(self, context: Context) -> str:
        """What it would need and has not, in words; empty where it can begin."""
        return ""

    @abstractmethod
    def begin(self, context: Context) -> Check:
        """The check of one source.

        Raises:
            DataError: What it compares with cannot be read.
        """
