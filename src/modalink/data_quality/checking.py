"""A source looked at by several checks in one pass."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from modalink import kinds
from modalink.data.reading import every, opened, record_of
from modalink.data.source import Source, SourceConfig, Stream
from modalink.data_quality.check import CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample


@dataclass(frozen=True)
class Checked:
    """What became of a source.

    Args:
        source: What it is called.
        samples: Records that were looked at.
        faults: Check -> its faults, in the order of the samples.
        facts: Check -> what it counted or measured.
        left_out: Check -> what it would need, of checks that were not made.
    """

    source: str
    samples: int
    faults: Mapping[str, Sequence[Fault]]
    facts: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]

    @property
    def faulty(self) -> dict[int, list[tuple[str, Fault]]]:
        """Number of a sample -> the checks that found something in it, each with its fault."""
        found: dict[int, list[tuple[str, Fault]]] = {}
        for check, faults in self.faults.items():
            for fault in faults:
                found.setdefault(fault.number, []).append((check, fault))
        return dict(sorted(found.items()))

    def counts(self, check: str) -> dict[str, int]:
        """Reason -> faults of a check, most frequent first."""
        return dict(Counter(fault.reason for fault in self.faults[check]).most_common())

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON data."""
        return {
            "source": self.source,
            "samples": self.samples,
            "faulty": len(self.faulty),
            "counts": {check: self.counts(check) for check in self.faults},
            "facts": dict(self.facts),
            "left_out": dict(self.left_out),
            "faults": [{"check": check, **asdict(f)} for found in self.faulty.values() for check, f in found],
        }


def default_checks() -> list[CheckConfig]:
    """The checks that are made where none is named, in the order of their names."""
    names = sorted(kinds.kinds(CheckConfig.room))
    made = [name for name in names if getattr(kinds.config_class(CheckConfig.room, name), "by_default", False)]
    return [config for name in made if isinstance(config := kinds.parse(CheckConfig.room, {"kind": name}), CheckConfig)]


def check(
    config: SourceConfig,
    checks: Sequence[CheckConfig],
    context: Context,
    *,
    limit: int | None = None,
    on_sample: Callable[[int], None] = lambda count: None,
) -> Checked:
    """Look at a source.

    Args:
        config: The source.
        checks: What is looked for.
        context: What the checks may use. Sources that are looked at one after the other with one `memory` are compared
            with each other by the checks that compare samples.
        limit: How many records at most; a stream needs it.
        on_sample: Told how many records were looked at.

    Raises:
        DataError: The source cannot be opened, or what a check compares with cannot be read.
        OptionError: It is a stream, and there is no limit.
    """
    source = opened(config, limit)
    named = kinds.named(checks)
    left_out = {name: why for name, one in named.items() if (why := one.lacks(context))}
    begun = {
        name: one.begin(replace(context, source=config.name, earlier=tuple(context.memory.get(name, ()))))
        for name, one in named.items()
        if name not in left_out
    }
    faults: dict[str, list[Fault]] = {name: [] for name in begun}
    number = -1
    for number, sample in enumerate(samples(source, limit)):
        for name, one in begun.items():
            faults[name] += one.look(sample)
        on_sample(number + 1)
    for name, one in begun.items():
        faults[name] = sorted([*faults[name], *one.finish()], key=lambda fault: fault.number)
        if one.remembers:
            context.memory.setdefault(name, []).append(one)
    facts = {name: found for name, one in begun.items() if (found := one.facts())}
    return Checked(config.name, number + 1, faults, facts, left_out)


def samples(source: Source | Stream, limit: int | None = None) -> Iterator[Sample]:
    """The records of an open source as samples."""
    for number, found in enumerate(islice(every(source), limit)):
        yield Sample(number, found, record_of(source, number))
