"""The terms of a step's loss: each objective over all samples, or over each data set by itself where sets are weighed.

With weights w of sets the loss of a step is the sum over sets of w * mean over the set, all of them in one update: the
gradients of a batch of each set are accumulated. Source: Flamingo (arXiv 2204.14198, section 2.4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from modalink.model.batch import Batch
from modalink.model.prepared import Prepared
from modalink.recipe import Stage


@dataclass(frozen=True)
class Terms:
    """What a stage's loss is the sum of.

    Args:
        objectives: The stage's objectives by name.
        sets: The weight of each of its data sets; None where these are one.
    """

    objectives: Mapping[str, Any]
    sets: tuple[float, ...] | None

    @classmethod
    def of(cls, stage: Stage, objectives: Mapping[str, Any]) -> "Terms":
        """Those of a stage: sets are apart where one of its sources has a `loss_weight`."""
        given = [source.loss_weight for source in stage.data]
        weighed = any(weight is not None for weight in given)
        return cls(objectives, tuple(1.0 if w is None else w for w in given) if weighed else None)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term."""
        if self.sets is None:
            return {name: objective.weight for name, objective in self.objectives.items()}
        each = [(number, weight) for number, weight in enumerate(self.sets)]
        return {f"{name}.{n}": one.weight * weight for name, one in self.objectives.items() for n, weight in each}

    def name(self, objective: str, batch: Batch) -> str:
        """The term to which an objective's loss of a batch belongs: `language`, or of the second set `language.1`."""
        return objective if self.sets is None else f"{objective}.{batch.source}"

    def counts(self, batches: Sequence[Batch]) -> dict[str, int]:
        """Units of each term in these batches."""
        found = dict.fromkeys(self.weights, 0)
        for batch in batches:
            for name, objective in self.objectives.items():
                if units := objective.count(batch):
                    found[self.name(name, batch)] += units
        return found

    def order(self, samples: Sequence[Prepared]) -> list[int]:
        """The places of samples, those of a set one behind the other where sets are apart."""
        places = range(len(samples))
        return [*places] if self.sets is None else sorted(places, key=lambda place: samples[place].source)

    def runs(self, samples: Sequence[Prepared]) -> list[Sequence[Prepared]]:
        """Samples that may stand in one batch: all, or those of a set."""
        if self.sets is None:
            return [samples]
        return [[*own] for _, own in groupby(samples, key=lambda sample: sample.source)]
