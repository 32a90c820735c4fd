"""Questions about videos with one word as right answer: by equality, or by the judge of Video-ChatGPT."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modalink.errors import DataError
from modalink.scoring.benchmarks._base import (
    Asking,
    Grade,
    Item,
    ItemBenchmark,
    Options,
    Question,
    Summary,
    field_of,
    group_means,
    mean_summary,
)
from modalink.scoring.benchmarks._judged import JudgeOptions, ask_runs, needed_judge
from modalink.scoring.benchmarks._vqa import short_prompt
from modalink.scoring.bootstrap import Sums
from modalink.scoring.judge_model import Reply, Request, recorded
from modalink.scoring.metrics.match import caseless, exact
from modalink.scoring.predictions import IDS, as_text, row_id
from modalink.scoring.rows import read_rows

SYSTEM = (
    "You are an intelligent chatbot designed for evaluating the correctness of generative outputs for "
    "question-answer pairs. "
    "Your task is to compare the predicted answer with the correct answer and determine if they match meaningfully. "
    "Here's how "
    "you can accomplish the task:------##INSTRUCTIONS: - Focus on the meaningful match between the predicted answer "
    "and the "
    "correct answer.\n- Consider synonyms or paraphrases as valid matches.\n- Evaluate the correctness of the "
    "prediction compared "
    "to the answer."
)
PROMPT = (
    "Please evaluate the following video-based question-answer pair:\n\nQuestion: {question}\nCorrect Answer: "
    "{answer}\n"
    "Predicted Answer: {prediction}\n\nProvide your evaluation only as a yes/no and score where the score is an "
    "integer value "
    "between 0 and 5, with 5 indicating the highest meaningful match. Please generate the response in the form of a "
    "Python "
    "dictionary string with keys 'pred' and 'score', where value of 'pred' is  a string of 'yes' or 'no' and value "
    "of 'score' is "
    "in INTEGER, not STRING.DO NOT PROVIDE ANY OTHER OUTPUT TEXT OR EXPLANATION. Only provide the Python dictionary "
    "string. For "
    "example, your response should look like this: {{'pred': 'yes', 'score': 4.8}}."
)


class VideoQaOptions(Options):
    """Options of video questions scored by equality."""

    match: Literal["exact", "caseless"] = "exact"
    """Character by character, as the official scorers, or but for case and outer space."""


def questions(path: Path, options: Options) -> Iterator[Question]:
    """The questions of an answer file, or of `test_a.json` in a folder beside `test_q.json`."""
    path = path / "test_a.json" if path.is_dir() else path
    beside = path.with_name(path.name.replace("_a.json", "_q.json"))
    texts = {row_id(r, IDS): r.fields for r in read_rows(beside)} if beside != path and beside.is_file() else {}
    for row in read_rows(path):
        key = row_id(row, IDS)
        fields = {**texts.get(key, {}), **row.fields}
        gold, text = str(field_of(fields, ("answer",), row.where, "the right answer")), str(fields.get("question", ""))
        kind = (("type", str(fields["type"])),) if "type" in fields else ()
        word = (("question", text.split()[0].lower()),) if text.strip() and not kind else ()
        yield Question(
            key, gold, text, str(fields.get("video_name", fields.get("video_id", ""))), groups=(*kind, *word)
        )


def _grade_exact(question: Question, reply: Any, where: str, options: VideoQaOptions) -> Grade:
    text = as_text(reply, where)
    return Grade(float((exact if options.match == "exact" else caseless)(text, question.gold)), text)


def parse(reply: str) -> tuple[str, int] | None:
    """Verdict and score of a judge's reply: the Python dictionary between its first braces; None where there is none.

    The verdict is yes where the word has `yes` in it, else no where it has `no` (so `unknown` is no), else as it is.
    Fractions of the score are cut off, as in the official scripts.
    """
    try:
        found = ast.literal_eval("{" + reply.split("{")[1].split("}")[0] + "}")
        verdict, score = found["pred"].lower(), int(found["score"])
    except (
        IndexError,
        SyntaxError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
        MemoryError,
    ):
        return None
    return ("yes" if "yes" in verdict else "no" if "no" in verdict else verdict), score


def _recorded(path: Path) -> Iterator[Reply]:
    """Replies of a record, or of Video-ChatGPT's combined file {id: [{pred, score}, {q, a, pred}]}."""
    if path.suffix != ".json":
        yield from recorded(path)
        return
    for row in read_rows(path):
        value = row.fields.get("value")
        if row.key is None or not isinstance(value, list) or not value or not isinstance(value[0], dict):
            raise DataError(
                f"{row.where}: needed Video-ChatGPT's {{id: [{{pred, score}}, ...]}}, or JSON lines {{id, reply}}"
            )
        yield Reply(row.key, repr(value[0]))


def _request(item: Item, run: int) -> Request:
    asked = PROMPT.format(question=item.question.text, answer=item.question.gold, prediction=item.grade.answer)
    return Request(item.question.id, asked, SYSTEM, run, max_tokens=64)


def _grade_later(question: Question, reply: Any, where: str, options: JudgeOptions) -> Grade:
    return Grade(0.0, as_text(reply, where))


def _summarise_judged(items: list[Item], options: JudgeOptions) -> Summary:
    judge = needed_judge(options, _recorded)
    items, replies = ask_runs(judge, items, _request, options)
    columns = np.zeros((len(items), 4))
    for i, (item, texts) in enumerate(zip(items, replies, strict=True)):
        found = [parse(text) for text in texts]
        verdicts = [verdict or ("no", 0) for verdict in found]
        yes, no, score = (
            sum(v == "yes" for v, _ in verdicts),
            sum(v == "no" for v, _ in verdicts),
            sum(s for _, s in verdicts),
        )
        columns[i] = yes, no, score, len(verdicts)
        item.grade = Grade(yes / len(verdicts), item.grade.answer, None not in found, {"verdicts": verdicts})
    sample = Sums(columns, _accuracy)
    metrics = {
        "accuracy": sample.value(),
        "score": float(columns[:, 2].sum() / columns[:, 3].sum()),
        **group_means(items, 100.0),
    }
    notes = [f"judge: {judge.name}; the number moves by points with the judge's version"]
    return Summary(metrics["accuracy"], metrics, sample, notes, items, len(items))


def _accuracy(sums: np.ndarray) -> np.ndarray:
    return 100 * sums[:, 0] / np.maximum(sums[:, 0] + sums[:, 1], 1)


def video_qa(
    title: str,
    source: str,
    annotations: str,
    predictions: str = "rows {question_id or id, answer}",
    files: tuple[str, ...] = ("test_qa.json",),
) -> ItemBenchmark:
    """Questions about videos, scored by equality."""
    return ItemBenchmark(
        title=title,
        rule=lambda o: (
            "accuracy, the reply equals the answer "
            + ("character by character" if o.match == "exact" else "but for case")
        ),
        source=source,
        unit="percent",
        annotations=annotations,
        predictions=predictions,
        options=VideoQaOptions,
        questions=questions,
        grade=_grade_exact,
        summarise=lambda items, options: mean_summary(items),
        asking=Asking(files=files, modality="video"),
        prompt=short_prompt,
    )


def video_qa_judge(
    title: str, source: str, annotations: str, files: tuple[str, ...] = ("test_qa.json",)
) -> ItemBenchmark:
    """Questions about videos, scored by Video-ChatGPT's judge."""
    return ItemBenchmark(
        title=f"{title}, judged",
        rule="judge's yes / (yes + no), and its mean score from 0 to 5; an unreadable verdict is no and 0",
        source=f"{source}; Maaz et al. 2023, evaluate_activitynet_qa.py of mbzuai-oryx/Video-ChatGPT; parser of "
        f"lmms-eval",
        unit="percent",
        annotations=annotations,
        predictions="rows {question_id or id, text}; judge's replies: JSON lines {id, reply}, or Video-ChatGPT's "
        "combined file",
        options=JudgeOptions,
        questions=questions,
        grade=_grade_later,
        summarise=_summarise_judged,
        asking=Asking(files=files, modality="video", max_new_tokens=1024, judged=True),
        prompt=lambda question: question.text,
        keeps_text=True,
    )
