"""What makes a stage's samples of conversations: one row of tokens, or one for each of several replies."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

from modalink.conversation import Conversation
from modalink.data.preference import Preference
from modalink.data.steps import Stepped
from modalink.errors import SampleError
from modalink.model import System
from modalink.model.collating import step_ends
from modalink.model.prepared import Prepared
from modalink.model.sampled import Asked
from modalink.model.sides import Judgement
from modalink.recipe import Stage
from modalink.rewards import asked_of
from modalink.training.freezing import show_of

Shown = Callable[[Conversation], Conversation]
"""How a stage shows conversations to the system."""


def preparing(system: System, stage: Stage) -> Callable[..., Prepared]:
    """What makes a stage's samples ready: the system, told what the stage wants of it.

    The replies of a preference, and what the stage's objectives compare them with, become one sample with its
    alternatives, so that nothing parts them. Of a stage that makes its samples by itself they are what is asked, and
    where it makes their media they are both; a prompt alone is given the reply that asks for a medium.
    """
    if stage.makes_samples:
        return partial(_asked, one=partial(system.prepare, learning=True, max_tokens=stage.max_tokens, reply=True))
    one = partial(system.prepare, learning=True, max_tokens=stage.max_tokens, show=show_of(stage))
    shown = partial(stage.shown, spec=system.spec)
    if stage.samples_media:
        return partial(_with_prompt, one=one, shown=shown)
    return partial(_prepared, one=one, shown=shown, objectives=stage.objectives)


def _prepared(
    conversation: Conversation,
    *,
    one: Callable[..., Prepared],
    shown: Shown,
    objectives: Sequence[Any],
    **options: Any,
) -> Prepared:
    if isinstance(conversation, Stepped):
        return _in_steps(one(shown(conversation), **options), conversation.worth)
    if not isinstance(conversation, Preference):
        return one(shown(conversation), **options)
    for objective in objectives:
        rng = random.Random(f"{options.get('seed')}/{conversation.id}/{objective.kind}")
        conversation = conversation.with_variants(objective.variants(conversation, rng))
    each = [replace(one(shown(said), **options), judgement=judged) for said, judged in conversation.conversations()]
    _demand_differences([side for side in each if side.judgement.variant is None])
    return replace(each[0], alternatives=tuple(each[1:]))


def _in_steps(sample: Prepared, worth: tuple[float | None, ...]) -> Prepared:
    """A reply in steps, with what each is worth.

    Raises:
        SampleError: Not every step has an end of its own, since text was cut, or ends have become one token.
    """
    if (ends := len(step_ends(sample.labels))) != len(worth):
        cut = f", {sample.cut} text tokens having been cut" if sample.cut else ""
        detail = f"found {ends} ends of {len(worth)} steps in its tokens{cut}; raise max_tokens, or choose a separator"
        raise SampleError(sample.id, "lost_steps", f"{detail} that the tokenizer keeps apart from words")
    return replace(sample, judgement=Judgement(steps=worth))


def _asked(conversation: Conversation, *, one: Callable[..., Prepared], **options: Any) -> Prepared:
    asked, facts = asked_of(conversation)
    return replace(one(asked, **options), asked=Asked(asked, facts))


def _with_prompt(conversation: Conversation, *, one: Callable[..., Prepared], shown: Shown, **options: Any) -> Prepared:
    return replace(one(shown(conversation), **options), asked=Asked(*asked_of(conversation)))


def _demand_differences(sides: list[Prepared]) -> None:
    for one, other in combinations(sides, 2):
        if _content(one) == _content(other):
            cut = f"; {one.cut} and {other.cut} text tokens of them were cut" if one.cut or other.cut else ""
            detail = f"two of its {len(sides)} replies are the same to the system, so that none is better{cut}"
            raise SampleError(sides[0].id, "equal_replies", detail)


def _content(side: Prepared) -> tuple[Any, ...]:
    """All that the model sees of a side."""
    items = [(m, item.digest) for kind in (side.media, side.targets) for m, own in kind.items() for item in own]
    return side.input_ids, side.labels, items
