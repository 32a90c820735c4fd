"""What losses of a step need to know of all of it: sums over all batches and processes, and mismatched replies."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from modalink.model.prepared import IGNORED, Prepared
from modalink.model.sides import Judgement
from modalink.training import parallel

MISMATCHED = "mismatched"


def totals(sums: Sequence[Mapping[str, Mapping[str, Tensor]]]) -> dict[str, dict[str, float]]:
    """Sums by objective and name, added over batches and over processes; all have the same names.

    Args:
        sums: Those of each batch.
    """
    names = [(objective, name) for objective, own in (sums[0] if sums else {}).items() for name in own]
    added = [sum(float(batch[objective][name]) for batch in sums) for objective, name in names]
    found: dict[str, dict[str, float]] = {}
    for (objective, name), total in zip(names, parallel.summed(added), strict=True):
        found.setdefault(objective, {})[name] = total
    return found


def mismatched(samples: Sequence[Prepared], positions: Sequence[int], *, max_tokens: int) -> list[Prepared]:
    """Samples, each with one alternative more: its prompt with the reply of the next sample of the step.

    The last one's next is the first, over all processes. A reply that holds media is left out, and with one sample
    there is no other.

    Args:
        samples: This process's samples.
        positions: Their places in the whole step.
        max_tokens: Longest sequence.
    """
    own = [(place, _reply(sample)) for place, sample in zip(positions, samples, strict=True)]
    replies: dict[int, list[int] | None] = dict(sorted(parallel.gathered(own)))
    places = [*replies]
    after = dict(zip(places, [*places[1:], *places[:1]], strict=True))
    found = []
    for place, sample in zip(positions, samples, strict=True):
        reply = replies[after[place]] if len(places) > 1 else None
        other = None if reply is None else _with_reply(sample, reply, max_tokens)
        found.append(sample if other is None else replace(sample, alternatives=(*sample.alternatives, other)))
    return found


def _start(sample: Prepared) -> int:
    return next((n for n, label in enumerate(sample.labels) if label != IGNORED), len(sample.labels))


def _reply(sample: Prepared) -> list[int] | None:
    """The tokens from the first label on; None where there is more than text."""
    if any(sample.targets.values()) or any(sample.signals.values()):
        return None
    start = _start(sample)
    if len(sample.labels) == len(sample.input_ids) and any(
        place >= start for runs in sample.places.values() for run in runs for place in run
    ):
        return None
    return [*sample.labels[start:]]


def _with_reply(sample: Prepared, reply: Sequence[int], max_tokens: int) -> Prepared | None:
    if _reply(sample) is None:
        return None
    changes: dict[str, Any] = {"judgement": Judgement(variant=MISMATCHED), "alternatives": ()}
    if len(sample.labels) != len(sample.input_ids):
        return replace(sample, labels=[*reply], **changes)
    start = _start(sample)
    kept = [label for label in reply if label != IGNORED][: max(1, max_tokens - start)]
    ids, labels = [*sample.input_ids[:start], *kept], [IGNORED] * start + kept
    return replace(sample, input_ids=ids, labels=labels, **changes)
