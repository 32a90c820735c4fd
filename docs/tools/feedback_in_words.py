"""Measures what feedback in words teaches, and writes the table of docs/feedback-in-words.md.

Run: `python docs/tools/feedback_in_words.py [SEED ...]`, seeds 0, 1 and 2 by default. A small reader of the tiny world
learns a little; that is the state in which all begin. Then there are records as DRESS has them: a question about a
picture, an answer, right or wrong, with a rating and a critique, and advice with a better answer. Three readers learn
from the same records for as many steps: `plain` the answers as they are, `conditioned` each under its rating and
critique, `refining` also the better answers behind the advice. All are asked held-out questions. Runs are kept in
`runs/words/`, and go on where they were stopped.
"""

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from marked import Marked
from PIL import Image

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world.shares import Share
from modalink.inference.loading import load_system
from modalink.model import System
from modalink.recipe import Recipe, load
from modalink.tiny_world import render
from modalink.tiny_world.asking import Question
from modalink.tiny_world.scene_questions import SceneQuestion, normalise_answer, sample_scene_questions
from modalink.training.train import train

ROOT = Path(__file__).parents[2]
TABLE = Marked(ROOT / "docs" / "feedback-in-words.md", "<!-- words: begin -->", "<!-- words: end -->")
FOLDER = ROOT / "runs" / "words"
RECORDS, WRONG, SAME, ASKED = 6000, 0.6, 0.8, 900
"""How many records, how many of them have a wrong answer, how many of these are mistaken always alike (a colour always
for the same other one), how many questions are asked."""
BEGINNING, STEPS, BATCH = 60, 400, 32
BEST, WORST = 4, 1
KINDS = ("colour", "shape", "count", "position", "relation", "what is at")
"""Questions with more than two answers, so that a critique does not say the right one."""
CONDITION = "\n(An answer with the rating {rating} of 4. {critique})"
PRAISE = CONDITION.format(rating=BEST, critique="It is right.")
AGAIN = "Look again."


@dataclass(frozen=True)
class Way:
    """A way to learn from the records.

    Args:
        source: Settings of the source beside its path.
        file: Which records it reads.
        praised: Whether it is asked for a praised answer.
    """

    source: dict[str, Any]
    file: str
    praised: bool


WAYS = {
    "plain": Way({"condition": None}, "answers", praised=False),
    "conditioned": Way({"condition": CONDITION}, "answers", praised=True),
    "refining": Way({"condition": CONDITION}, "dialogues", praised=True),
}


def main(seeds: Sequence[int]) -> None:
    """Make the records, train, ask, and write the table."""
    write_records()
    rows: dict[tuple[str, str], list[Share]] = {}
    for seed in seeds:
        begun = train(beginning(seed), FOLDER / f"beginning-{seed}")
        for name, way in WAYS.items():
            run = train(learning(begun, name, way, seed), FOLDER / f"{name}-{seed}")
            for row, share in measured(load_system(run), way).items():
                rows.setdefault((name, row), []).append(share)
                print(name, seed, row, share, flush=True)
    TABLE.write(table(rows))


def beginning(seed: int) -> Recipe:
    """A reader that has learned a little."""
    stage = {
        "name": "beginning",
        "train": {"inputs.image.projector": {"lr": 3e-3}},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "tiny_world", "count": 4000, "tasks": ["caption", "vqa"]}],
        "batch": BATCH,
        "steps": BEGINNING,
        "precision": "float32",
    }
    return _reader([stage], seed)


def learning(begun: Path, name: str, way: Way, seed: int) -> Recipe:
    """The same reader, to learn from the records in one way."""
    records = {"source": "feedback", "path": str(FOLDER / f"{way.file}.jsonl"), "media": str(FOLDER / "pictures")}
    stage = {
        "name": name,
        "init": {"from": str(begun), "groups": ["inputs.image.projector"]},
        "train": {"inputs.image.projector": {"lr": 1e-3}, "llm.lora": {"lr": 2e-3}},
        "objectives": [{"kind": "language"}],
        "data": [records | way.source],
        "batch": BATCH,
        "steps": STEPS,
        "precision": "float32",
    }
    return _reader([stage], seed)


def _reader(stages: list[dict[str, Any]], seed: int) -> Recipe:
    changes = {"name": "words", "outputs": {}, "stages": stages, "provenance": {}, "seed": seed}
    return Recipe.model_validate(load("demo").to_dict() | changes)


def write_records() -> None:
    """Write what is learned: answers of which most are wrong, with what is said of them, and with better ones."""
    pictures = FOLDER / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    asked = _asked("train", RECORDS)
    answers = {kind: sorted({one.question.answer for one in asked if one.question.kind == kind}) for kind in KINDS}
    draw = random.Random(0)
    alone, together = [], []
    for number, one in enumerate(asked):
        path = pictures / f"{number}.png"
        if not path.exists():
            Image.fromarray(render(one.scene)).save(path)
        wrong = draw.random() < WRONG
        said = _round(one.question, _mistaken(one.question, answers, draw) if wrong else one.question.answer)
        better = {"user": "", "model": one.question.answer, **_judged(one.question, one.question.answer)}
        alone.append({"image_id": path.name, "interaction": [said]})
        together.append({"image_id": path.name, "interaction": [said, better] if wrong else [said]})
    for name, records in (("answers", alone), ("dialogues", together)):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (FOLDER / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _mistaken(question: Question, answers: dict[str, list[str]], draw: random.Random) -> str:
    """A wrong answer: mostly the one that always stands for the right one, else any."""
    others = answers[question.kind]
    following = others[(others.index(question.answer) + 1) % len(others)]
    if draw.random() < SAME:
        return following
    return draw.choice([answer for answer in others if answer != question.answer])


def _round(question: Question, answer: str) -> dict[str, Any]:
    return {"user": question.text, "model": answer, **_judged(question, answer)}


def _judged(question: Question, answer: str) -> dict[str, Any]:
    if answer == question.answer:
        return {"rating": BEST, "critique": "It is right.", "refinement": ""}
    return {"rating": WORST, "critique": "It is wrong.", "refinement": advice(answer)}


def advice(answer: str) -> str:
    """What is said of a wrong answer."""
    return f"It is not {answer}. {AGAIN}"


def _asked(split: str, count: int) -> list[SceneQuestion]:
    found = (one for one in sample_scene_questions(split, 3 * count, seed=7))
    return [one for one in found if one.question.kind in KINDS][:count]


def measured(system: System, way: Way) -> dict[str, Share]:
    """How many held-out answers are right: the first ones, and of the wrong ones those that follow."""
    asked = _asked("test", ASKED)
    first = _said(system, [_conversation(one, way) for one in asked])
    wrong = [(one, text) for one, text in zip(asked, first, strict=True) if not _is_right(one, text)]
    found = {"first answers": Share(len(asked) - len(wrong), len(asked), len(asked))}
    for row, follow in (("after advice", advice), ("after `Look again.`", lambda _: AGAIN)):
        said = _said(system, [_conversation(one, way, text, follow(text)) for one, text in wrong])
        right = sum(_is_right(one, text) for (one, _), text in zip(wrong, said, strict=True))
        found[row] = Share(right, len(wrong), len(wrong))
    return found


def _conversation(one: SceneQuestion, way: Way, answer: str = "", further: str = "") -> Conversation:
    praise = PRAISE if way.praised else ""
    picture = Medium("image", Image.fromarray(render(one.scene)))
    # As the records have it: the condition of a wrong first answer stands behind its question, that of praise behind
    # what follows.
    condition = CONDITION.format(rating=WORST, critique="It is wrong.") if way.praised and further else praise
    turns = [Turn("user", (picture, Text(f"\n{one.question.text}{condition}")))]
    if further:
        turns += [Turn("assistant", (Text(answer),)), Turn("user", (Text(f"{further}{praise}"),))]
    return Conversation(tuple(turns))


def _said(system: System, conversations: list[Conversation]) -> list[str]:
    return [reply.text.strip() for reply in replies(system, conversations, max_new_tokens=16)]


def _is_right(one: SceneQuestion, text: str) -> bool:
    return normalise_answer(text) == normalise_answer(one.question.answer)


def table(rows: dict[tuple[str, str], list[Share]]) -> str:
    """A row for each way, mean and seeds of each number."""
    columns = list(dict.fromkeys(row for _, row in rows))
    lines = ["| learned | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for name in WAYS:
        cells = []
        for column in columns:
            values = [100 * share.value for share in rows[name, column]]
            seeds = ", ".join(f"{value:.1f}" for value in values)
            cells.append(f"{np.mean(values):.1f} % ({seeds})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [0, 1, 2])
