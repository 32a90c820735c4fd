"""LLaVA-Bench in the wild: 60 open questions on 24 images; a judge scores the model beside a text-only GPT-4."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from modalink.errors import DataError, OptionError, brief
from modalink.scoring.annotations import rows_if_there, text_of
from modalink.scoring.benchmark import (
    Grade,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
    plain_replies,
    ungraded,
)
from modalink.scoring.bootstrap import Sums
from modalink.scoring.judge_model import Request
from modalink.scoring.judged import JudgeOptions, answer_of, ask_runs, check_readable, judge_notes, needed_judge
from modalink.scoring.predictions import IDS, REPLIES, Prediction, row_id
from modalink.scoring.rows import read_rows

SYSTEM = "You are a helpful and precise assistant for checking the quality of the answer."
# The judge's instructions are part of the rule: the score moves with their wording.
RULE = (
    "We would like to request your feedback on the performance of two AI assistants in response to the user "
    "question displayed "
    "above. The user asks the question on observing an image. For your reference, the visual content in the image "
    "is represented "
    "with a few sentences describing the image. \n"
    "Please rate the helpfulness, relevance, accuracy, level of details of their responses. Each assistant receives "
    "an overall "
    "score on a scale of 1 to 10, where a higher score indicates better overall performance.\n"
    "Please first output a single line containing only two values indicating the scores for Assistant 1 and 2, "
    "respectively. The "
    "two scores are separated by a space.\n"
    "In the subsequent line, please provide a comprehensive explanation of your evaluation, avoiding any potential "
    "bias and "
    "ensuring that the order in which the responses were presented does not affect your judgment."
)
FAILED = (-1.0, -1.0)


def parse(review: str) -> tuple[float, float]:
    """The two scores of a review's first line; -1 and -1, which go into the mean, where it has not exactly two."""
    parts = review.split("\n")[0].replace(",", " ").split(" ")
    try:
        scores = (float(parts[0]), float(parts[1])) if len(parts) == 2 else FAILED
    except ValueError:
        return FAILED
    return scores if all(map(math.isfinite, scores)) else FAILED


def _questions(path: Path, options: JudgeOptions) -> Iterator[Question]:
    """The questions, with the caption and GPT-4's answer where their files lie beside."""
    folder, file = (path, path / "questions.jsonl") if path.is_dir() else (path.parent, path)
    described = rows_if_there(folder / "context.jsonl")
    contexts = {str(r.fields.get("image")): r.fields.get("caption", "") for r in described}
    references = {row_id(r, IDS): text_of(r.fields, "text") for r in rows_if_there(folder / "answers_gpt4.jsonl")}
    for row in read_rows(file):
        key, image = row_id(row, IDS), text_of(row.fields, "image")
        caption = contexts.get(image, "")
        context = "\n".join(map(str, caption)) if isinstance(caption, list) else str(caption)
        category = text_of(row.fields, "category").removeprefix("llava_bench_")
        yield Question(
            key,
            (context, references.get(key)),
            text_of(row.fields, "text"),
            image,
            groups=(("category", category),),
        )


def _replies(path: Path, options: JudgeOptions) -> Iterator[Prediction]:
    return plain_replies(path, options, IDS, (*REPLIES, "content"))


def _request(item: GradedQuestion, run: int) -> Request:
    answer, answer_id = answer_of(item)
    return Request(item.question.id, _content(item), SYSTEM, run, 0, 0.2, 1024, answer, answer_id)


def _content(item: GradedQuestion) -> str:
    (context, reference), answer = item.question.gold, item.grade.answer
    return (
        f"[Context]\n{context}\n\n[Question]\n{item.question.text}\n\n[Assistant 1]\n{reference}\n\n[End of "
        f"Assistant 1]\n\n"
        f"[Assistant 2]\n{answer}\n\n[End of Assistant 2]\n\n[System]\n{RULE}\n\n"
    )


def _summarise(items: list[GradedQuestion], options: JudgeOptions) -> Summary:
    judge = needed_judge(options)
    if judge.endpoint and any(item.question.gold[1] is None for item in items):
        raise DataError(
            "the judge compares with GPT-4's answers: needed answers_gpt4.jsonl and context.jsonl beside the questions"
        )
    items, reviews = ask_runs(judge, items, _request, options)
    pairs = np.array([[parse(text or "") for text in texts] for texts in reviews])
    read = [[None if pair == FAILED else pair for pair in map(tuple, by_run)] for by_run in pairs.tolist()]
    check_readable(judge, reviews, read, "two numbers on its first line")
    runs = pairs.shape[1]
    for item, mine in zip(items, pairs, strict=True):
        readable = bool((mine[:, 0] >= 0).all())
        item.grade = Grade(float(mine[:, 1].mean()), item.grade.answer, readable, mine.tolist())
    metrics = _metrics(items, pairs)
    sample = Sums(pairs.reshape(len(items), -1), lambda sums: 100 * (sums[:, 1::2] / sums[:, ::2]).mean(1))
    notes = judge_notes(judge, runs, "the number moves with the judge's version")
    return Summary(metrics["all"], metrics, sample, notes, items, len(items))


def _metrics(items: list[GradedQuestion], pairs: np.ndarray) -> dict[str, float]:
    """100 · model / GPT-4 of means rounded to three decimals, rounded to one, for all and for each category."""
    categories = [item.question.groups[0][1] for item in items]
    masks = {"all": np.ones(len(items), bool)} | {
        c: np.array([c == other for other in categories]) for c in sorted(set(categories)) if c
    }
    metrics: dict[str, float] = {}
    by_run: list[float] = []
    for name, mask in masks.items():
        ratios = [_ratio(round(gpt4, 3), round(model, 3)) for gpt4, model in pairs[mask].mean(0).tolist()]
        metrics[name] = ratios[0] if len(ratios) == 1 else round(sum(ratios) / len(ratios), 1)
        by_run = by_run or ratios  # those of `all`, which comes first
    metrics["gpt4_score"], metrics["model_score"] = (round(10 * float(mean), 1) for mean in pairs.mean((0, 1)))
    gpt4, model = pairs.mean(0).T
    # The field's tables average the rounded scores of several runs.
    metrics |= {"all_unrounded": float((100 * model / gpt4).mean()), "mean_of_runs": sum(by_run) / len(by_run)}
    return metrics | {f"run/{number}": ratio for number, ratio in enumerate(by_run, 1)}


def _ratio(gpt4: float, model: float) -> float:
    if gpt4 == 0:
        raise DataError(
            "the judge's scores of GPT-4 average 0, so that nothing can be divided by them; are the reviews whole?"
        )
    return round(model / gpt4 * 100, 1)


def _when_missing(question: Question, options: JudgeOptions) -> Grade:
    raise OptionError(
        f"option missing=wrong: {brief(question.id)} has no prediction, and only a judge scores GPT-4's answer to it; "
        "give the model's empty reply as a prediction, or --partial"
    )


BENCHMARKS = {
    "llava_bench": QuestionBenchmark(
        title="LLaVA-Bench in the wild",
        rule="100 · mean judge score of the model / of GPT-4, unreadable reviews count -1 for both",
        source="Liu et al. 2023; haotian-liu/LLaVA, eval_gpt_review_bench.py, summarize_gpt_review.py, table/rule.json",
        unit="percent",
        annotations="folder with questions.jsonl, context.jsonl, answers_gpt4.jsonl; questions alone suffice with "
        "recorded replies",
        predictions="rows {question_id, text}; judge's replies: rows {question_id, content}",
        aliases=("llava_bench_in_the_wild", "llava_bench_wild", "llava_w"),
        options=JudgeOptions,
        questions=_questions,
        replies=_replies,
        grade=ungraded,
        when_missing=_when_missing,
        summarise=_summarise,
        keeps_text=True,
        setup=Setup(files=("questions.jsonl",), max_new_tokens=1024, judged=True),
    ),
}
