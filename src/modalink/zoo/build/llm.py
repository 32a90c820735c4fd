"""Trains the tiny language model: dialogues about the tiny world, in words and in superposed words.

It learns to talk about pictures first, then about everything: clips, sounds, point clouds, several of them together.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from modalink.tiny_world.asking import Question, pick
from modalink.tiny_world.dialogues import Dialogue, interview, sample_across, sample_dialogue
from modalink.tiny_world.language import questions
from modalink.tiny_world.scenes import Scene, sample_scene
from modalink.tiny_world.worlds import Shown
from modalink.zoo.build import cards
from modalink.zoo.build.llm_batches import collate
from modalink.zoo.build.llm_measures import measure, measure_all
from modalink.zoo.build.llm_student import LENGTH, Student, loss
from modalink.zoo.build.loop import Metrics, Schedule, Trainer
from modalink.zoo.build.options import Options
from modalink.zoo.build.superposed import LAYOUTS
from modalink.zoo.build.tokenizers import chat_tokenizer

SCHEDULE = Schedule(steps=4400, lr=2e-3, batch=64, warmup=60, evaluate_every=300)
"""Of pictures alone, in which binding is learned."""
SCHEDULE_ALL = Schedule(steps=4800, lr=1.2e-3, batch=48, warmup=60, evaluate_every=600, seed=1)
"""Of everything."""
SUBJECTS = {"image": 0.34, "video": 0.12, "audio": 0.10, "points": 0.06, "across": 0.38}
"""Shares of what the dialogues of the second schedule are about."""
_TOLD = 0.3
"""Share of captions and drawings among what concerns pictures in the second schedule; they are forgotten first."""
_COUNTED = 0.2
"""Share of counts among what concerns several modalities, beside their own fifth; they are learned last."""
_HARD = 0.4
_HARD_KINDS = ("count", "relation", "existence", "comparison")
_RARE = ("the same color?", "the same shape?")


def _practice(rng: np.random.Generator) -> Dialogue:
    """A conversation to learn from; many are questions of the kinds that weigh two or three objects."""
    if rng.random() > _HARD:
        return sample_dialogue("train", rng)
    scene, asked = _hard_questions(rng)
    return interview(Shown.of("image", scene, rng), asked)


def _practice_all(rng: np.random.Generator) -> Dialogue:
    """A conversation about anything to learn from."""
    subject = str(rng.choice(list(SUBJECTS), p=list(SUBJECTS.values())))
    if subject == "across" and rng.random() < _COUNTED:
        return sample_across("train", rng, ["as many"])
    if subject != "image":
        return sample_dialogue("train", rng, subject=subject)
    return sample_dialogue("train", rng, pick(rng, ("caption", "drawing"))) if rng.random() < _TOLD else _practice(rng)


def _hard_questions(rng: np.random.Generator) -> tuple[Scene, list[Question]]:
    """Questions about a scene that weigh its objects; half of the scenes are of those with a rare comparison."""
    rare = rng.random() < 0.5
    while True:
        scene = sample_scene(int(rng.integers(2**31)), "train")
        asked = [question for _ in range(2) for question in questions(scene, rng, _HARD_KINDS)]
        if not rare or any(question.text.endswith(_RARE) for question in asked):
            return scene, asked


def _tokenizer(options: Options) -> PreTrainedTokenizerFast:
    """The tokenizer of the run in progress: a checkpoint's token numbers outlive changes of the text they came from."""
    folder = options.work / "llm" / "tokenizer"
    if not folder.exists():
        chat_tokenizer(LENGTH).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def build(options: Options) -> Metrics:
    """Train the language model, on pictures and then on everything, and write it with its tokenizer."""
    tokenizer = _tokenizer(options)
    torch.manual_seed(SCHEDULE.seed)
    student = Student(tokenizer)
    _train(student, tokenizer, options, SCHEDULE, "llm", _practice, measure)
    validation = _train(student, tokenizer, options, SCHEDULE_ALL, "llm_all", _practice_all, measure_all)
    test = measure_all(student.eval(), tokenizer, "test", options.count(2000))
    cards.write(options, "llm", "llm", SCHEDULE_ALL.scaled(options.steps_scale), student.llm, validation, test)
    return validation


def _train(
    student: Student,
    tokenizer: PreTrainedTokenizerFast,
    options: Options,
    schedule: Schedule,
    folder: str,
    practice: Callable[[np.random.Generator], Dialogue],
    evaluate: Callable[[Student, PreTrainedTokenizerFast, str, int], Metrics],
) -> Metrics:
    schedule = schedule.scaled(options.steps_scale)
    trainer = Trainer(student, schedule, options.work / folder)

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([1000 + schedule.seed, step])
        layout = {0: LAYOUTS[0], 2: LAYOUTS[1]}.get(step % 5, 0)
        talks = [practice(rng) for _ in range(schedule.batch)]
        return loss(student, collate(talks, tokenizer, rng, layout))

    def publish() -> None:
        tokenizer.save_pretrained(options.out / "llm")
        cards.save_bf16(student.llm, options.out / "llm")

    return trainer.run(step_loss, lambda: evaluate(student, tokenizer, "validation", options.count(400)), publish)
