"""What the tiny language model answers rightly, in words and in superposed words."""

import numpy as np
from transformers import PreTrainedTokenizerFast

from modalink.tiny_world.across import ACROSS_KINDS
from modalink.tiny_world.dialogues import Dialogue, interview, sample_across, sample_dialogue
from modalink.tiny_world.language import QUESTION_KINDS
from modalink.tiny_world.scenes import SPLITS
from modalink.tiny_world.worlds import WORLDS, Shown
from modalink.zoo.build.llm_batches import collate
from modalink.zoo.build.llm_student import Student
from modalink.zoo.build.loop import Metrics, autocast
from modalink.zoo.build.superposed import LAYOUTS


def exact(
    student: Student, dialogues: list[Dialogue], tokenizer: PreTrainedTokenizerFast, layout: int = 0
) -> list[bool]:
    """Say of dialogues of one turn whether the greedy reply is the wanted one, token for token."""
    right: list[bool] = []
    for first in range(0, len(dialogues), 100):
        batch = collate(dialogues[first : first + 100], tokenizer, np.random.default_rng(first), layout)
        with autocast():
            logits = student(batch).said
        wanted = batch.labels[:, 1:] >= 0
        wrong = logits.argmax(-1) != batch.labels[:, 1:][wanted]
        missed = set(batch.owners[:, 1:][wanted][wrong].tolist())
        right += [number not in missed for number in range(len(dialogues[first : first + 100]))]
    return right


def measure(student: Student, tokenizer: PreTrainedTokenizerFast, split: str, count: int) -> Metrics:
    """Exact replies about pictures, one question a dialogue: in words, superposed, by kind, captions and drawings."""
    rng = np.random.default_rng([SPLITS.index(split), 99])
    asked, kinds = zip(*(_ask(split, rng) for _ in range(count)), strict=True)
    right = exact(student, list(asked), tokenizer)
    found = {"questions": _share(right)}
    found |= {f"questions_{side}x{side}": _share(exact(student, list(asked), tokenizer, side)) for side in LAYOUTS}
    for kind in ("caption", "drawing"):
        talks = [sample_dialogue(split, rng, kind) for _ in range(count // 4)]
        found[kind] = _share(exact(student, talks, tokenizer))
    return found | {
        f"questions: {kind}": _share([r for r, k in zip(right, kinds, strict=True) if k == kind])
        for kind in QUESTION_KINDS
        if kind in kinds
    }


def measure_all(student: Student, tokenizer: PreTrainedTokenizerFast, split: str, count: int) -> Metrics:
    """Exact replies about everything: what `measure` gives, and of the other subjects in words and superposed."""
    found = measure(student, tokenizer, split, count)
    rng = np.random.default_rng([SPLITS.index(split), 98])
    for name in WORLDS.keys() - {"image"}:
        talks = [_ask(split, rng, name)[0] for _ in range(count // 2)]
        found |= _in_words_and_superposed(student, tokenizer, name, talks)
        described = [sample_dialogue(split, rng, "caption", name) for _ in range(count // 8)]
        found[f"{name} captions"] = _share(exact(student, described, tokenizer, LAYOUTS[1]))
    for kind in ACROSS_KINDS:
        talks = [sample_across(split, rng, [kind]) for _ in range(count // 4)]
        found |= _in_words_and_superposed(student, tokenizer, kind, talks)
    return found


def _in_words_and_superposed(
    student: Student, tokenizer: PreTrainedTokenizerFast, name: str, talks: list[Dialogue]
) -> Metrics:
    return {
        name: _share(exact(student, talks, tokenizer)),
        f"{name} superposed": _share(exact(student, talks, tokenizer, LAYOUTS[1])),
    }


def _ask(split: str, rng: np.random.Generator, modality: str = "image") -> tuple[Dialogue, str]:
    """One question about one thing, and the question's kind."""
    world = WORLDS[modality]
    thing = world.sample(int(rng.integers(2**31)), split)
    question = world.questions(thing, rng)[0]
    return interview(Shown.of(modality, thing, rng), [question]), question.kind


def _share(right: list[bool]) -> float:
    return sum(right) / max(1, len(right))
