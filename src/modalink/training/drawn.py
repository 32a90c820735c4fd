"""Replies that were drawn as samples to learn from, with the probabilities that they had."""

from collections.abc import Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch

from modalink.inference.endings import longest
from modalink.inference.engine import Engine
from modalink.inference.sampling import Sampling
from modalink.model import System
from modalink.model.precision import autocast
from modalink.model.prepared import IGNORED, Prepared
from modalink.model.sampled import Drawing, Sampled
from modalink.model.sides import Judgement, spans
from modalink.training import parallel
from modalink.training.forward import forward
from modalink.training.policy_gradient import drawn_logprobs
from modalink.training.reference import Start
from modalink.training.rollouts import Group, Reply
from modalink.training.step import Learner


def drawing(system: System, sampling: Sampling) -> Drawing:
    """How the engine draws from a system's LLM."""
    never = tuple(Engine(system).silent.never.tolist())
    return Drawing(sampling.temperature, never, sampling.max_new_tokens, sampling.max_media)


def sample_of(system: System, group: Group, how: Drawing, *, learns_cut: bool = True) -> Prepared | None:
    """A prompt with its replies as one sample; None where the worth of none is known.

    Args:
        system: The system that drew them.
        group: The prompt with its replies; those whose worth is not known are left out.
        how: How they were drawn.
        learns_cut: Whether replies that were cut at their longest length count.
    """
    known = [reply for reply in group.replies if reply.reward is not None]
    by_worth = sorted(range(len(known)), key=lambda i: -(known[i].reward or 0.0))
    ranks = {place: rank for rank, place in enumerate(by_worth)}
    sides = [
        side_of(system, group.prompt, reply, how, rank=ranks[i], counts=learns_cut or reply.complete)
        for i, reply in enumerate(known)
    ]
    return replace(sides[0], alternatives=tuple(sides[1:])) if sides else None


def side_of(
    system: System, prompt: Prepared, reply: Reply, how: Drawing, *, rank: int = 0, counts: bool = True
) -> Prepared:
    """A reply behind its prompt: every token that was chosen is labelled, and those that had to follow are not."""
    ids = [*reply.ids]
    runs = system.model.config.signals
    whole, before = system.model.config.is_encoder_decoder, len(prompt.input_ids)
    labels, signals = list(ids), {m: [*own] for m, own in prompt.signals.items()}
    barred: list[tuple[int, int]] = []
    most = longest(system, 1 if whole else before, how.longest)
    place = labelled = begun = 0
    while place < len(ids):
        room = 0 if begun >= how.most_media else most - place
        barred += [(labelled, run[0]) for run in runs.values() if run and len(run) > room]
        found = next(((m, run) for m, run in runs.items() if run and ids[place] == run[0]), None)
        taken = 1
        if found is not None:
            modality, run = found
            taken, begun = len(run), begun + 1
            start = place if whole else before + place
            signals.setdefault(modality, []).append([start + offset for offset in range(taken)])
            labels[place + 1 : place + taken] = [IGNORED] * (taken - 1)
        place, labelled = place + taken, labelled + 1
    return replace(
        prompt,
        input_ids=prompt.input_ids if whole else [*prompt.input_ids, *ids],
        labels=labels if whole else [*[IGNORED] * before, *labels],
        signals=signals,
        judgement=Judgement(rank, reply.reward),
        asked=None,
        sampled=Sampled(how, tuple(barred), counts=counts),
    )


@dataclass(frozen=True)
class Numbers:
    """Numbers of each labelled token of every side of some samples, one row a side.

    Args:
        logprobs: Log-probabilities; rows of nothing where they were not asked.
        values: What the value head expects; rows of nothing where it was not asked.
    """

    logprobs: list[list[float]]
    values: list[list[float]]


@torch.no_grad()
def numbers_of(
    learner: Learner,
    samples: Sequence[Prepared],
    needs: Set[Literal["logits", "values"]] = frozenset({"logits"}),
    start: Start | None = None,
) -> Numbers:
    """What the system says of replies, by the passes that learn from them.

    Not those of the engine: in bfloat16 a pass of many tokens and one for each differ by several hundredths.

    Args:
        learner: The stage's learner.
        samples: Samples that were drawn; all processes ask this together.
        needs: What is asked: `logits` for log-probabilities, `values` for those of the value head.
        start: The state whose numbers these are; by default that of now.
    """
    order = learner.terms.order(samples)
    places = [parallel.positions(len(samples))[i] for i in order]
    found: list[tuple[list[float], list[float]]] = []
    with nullcontext() if start is None else start.in_place(), autocast(learner.dtype, learner.device):
        for part in learner.division.cut([samples[i] for i in order], places):
            batch = learner.encoders.encoded(part.batch).to(learner.device)
            output = forward(learner.system.model, batch, {*needs})
            logits = output.logits if "logits" in needs else None
            logprobs = [] if logits is None else drawn_logprobs(logits, batch.wanted, batch.sides).tolist()
            expected = [] if output.values is None else output.values.tolist()
            own = sum(len(sample.sides) for sample in part.samples)
            found += [(logprobs[begin:end], expected[begin:end]) for begin, end in [*spans(batch.sides)][:own]]
    sizes = iter([len(samples[i].sides) for i in order])
    rows, by_place = iter(found), {}
    for i in order:
        by_place[i] = [next(rows) for _ in range(next(sizes))]
    ordered = [row for i in range(len(samples)) for row in by_place[i]]
    return Numbers([logprobs for logprobs, _ in ordered], [expected for _, expected in ordered])
