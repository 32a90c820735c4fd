"""How the samples of a step become forward passes: how many in each, in which order, with which filler."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from modalink.model import System
from modalink.model.batch import Batch
from modalink.model.prepared import Prepared
from modalink.recipe import Stage
from modalink.training import parallel
from modalink.training.filler import Fillers
from modalink.training.statistics import mismatched
from modalink.training.terms import Terms

_NOWHERE = -1
"""The place in the step of a sample that is not of it."""


@dataclass(frozen=True)
class MicroBatch:
    """Samples of one forward pass; a filler may stand behind them.

    Args:
        batch: They as a batch.
        positions: Place of each side of each of them in the whole step; the sides of a sample have one.
        samples: They, without the filler.
    """

    batch: Batch
    positions: list[int]
    samples: Sequence[Prepared] = ()


@dataclass
class Division:
    """Divides the samples of a step into micro-batches; all processes ask at once.

    Args:
        system: Its model says whether samples are packed, and its processor makes batches and fillers.
        stage: Says how many samples or tokens a micro-batch holds.
        terms: Say which samples may stand in one.
    """

    system: System
    stage: Stage
    terms: Terms

    def __post_init__(self) -> None:
        self.fillers = Fillers(self.system.processor)

    def of(self, samples: Sequence[Prepared]) -> list[MicroBatch]:
        """This process's share of a step's samples in forward passes, as many as on every other process."""
        positions = parallel.positions(len(samples))
        samples, order = self.matched(samples, positions), self.terms.order(samples)
        return self.cut([samples[i] for i in order], [positions[i] for i in order])

    def cut(self, samples: Sequence[Prepared], positions: Iterable[int]) -> list[MicroBatch]:
        """Samples that are in order, with their places in the whole step, as micro-batches."""
        return self.parts(self.divided(samples), positions)

    def matched(self, samples: Sequence[Prepared], positions: Sequence[int]) -> Sequence[Prepared]:
        """Samples with what an objective compares them with of other samples of the step; all processes ask at once.

        Args:
            samples: This process's samples.
            positions: Their places in the whole step.
        """
        if not any(objective.mismatches for objective in self.terms.objectives.values()):
            return samples
        return mismatched(samples, positions, max_tokens=self.stage.max_tokens)

    def parts(self, chunks: Sequence[Sequence[Prepared]], positions: Iterable[int]) -> list[MicroBatch]:
        """Runs of samples as micro-batches, as many as on every other process, which calls this too.

        Args:
            chunks: The samples of each, packed where the LLM can read that; none at all is possible.
            positions: Those of their samples, one behind the other.
        """
        places = iter(positions)
        made = []
        for number, filler in enumerate(self.fillers.complete(chunks)):
            own = [*chunks[number]] if number < len(chunks) else []
            at = [*islice(places, len(own)), *[_NOWHERE] * len(filler)]
            positions = [place for place, sample in zip(at, [*own, *filler], strict=True) for _ in sample.sides]
            made.append(MicroBatch(self.system.batch([*own, *filler]), positions, own))
        return made

    def divided(self, samples: Sequence[Prepared]) -> list[Sequence[Prepared]]:
        """Samples in runs of `micro_batch`, or of as many as `micro_tokens` allows; all in one where neither is set.

        Where data sets are weighed, a run holds samples of one of them.
        """
        return [chunk for own in self.terms.runs(samples) for chunk in self._divided(own)]

    def _divided(self, samples: Sequence[Prepared]) -> list[Sequence[Prepared]]:
        limit = self.stage.micro_tokens
        if limit is None:
            size = self.stage.micro_batch or max(1, len(samples))
            return [samples[start : start + size] for start in range(0, len(samples), size)]
        chunks: list[list[Prepared]] = []
        for sample in samples:
            if chunks and self.tokens([*chunks[-1], sample]) <= limit:
                chunks[-1].append(sample)
            else:
                chunks.append([sample])
        return [*chunks]

    def tokens(self, samples: Sequence[Prepared]) -> int:
        """What samples take in one forward pass: the sum of their tokens packed, rows of the longest one padded."""
        lengths = [len(side.input_ids) for sample in samples for side in sample.sides]
        return sum(lengths) if self.system.model.packs else max(lengths) * len(lengths)
