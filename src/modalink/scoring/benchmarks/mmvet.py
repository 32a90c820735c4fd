"""MM-Vet: 218 open questions that need several abilities at once, graded by a judge from 0 to 1."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from modalink.errors import DataError
from modalink.scoring.annotations import field_of, list_of, text_of
from modalink.scoring.benchmark import Grade, GradedQuestion, Question, QuestionBenchmark, Setup, Summary, ungraded
from modalink.scoring.bootstrap import means
from modalink.scoring.judge_model import JudgeModel, Request, Verdict
from modalink.scoring.judged import JudgeOptions, answer_of, ask_runs, check_readable, judge_notes, needed_judge
from modalink.scoring.predictions import IDS, row_id
from modalink.scoring.rows import Row, read_rows

ATTEMPTS = 5
"""Replies that are read before a grade is 0: the first, and four to the repeated request."""
AGAIN = "\nPredict the correctness of the answer (digit): "

_MEME = (
    "Can you explain this meme? | This meme is poking fun at the fact that the names of the countries Iceland and "
    "Greenland are "
    "misleading. Despite its name, Iceland is known for its beautiful green landscapes, while Greenland is mostly "
    "covered in ice "
    "and snow. The meme is saying that the person has trust issues because the names of these countries do not "
    "accurately "
    "represent their landscapes. | "
)
# The judge's instructions are part of the rule: the score moves with their wording.
PROMPT = (
    "Compare the ground truth and prediction from AI models, to give a correctness score for the prediction. <AND> "
    "in the ground "
    "truth means it is totally right only when all elements in the ground truth are present in the prediction, and "
    "<OR> means it "
    "is totally right when any one element in the ground truth is present in the prediction. The correctness score "
    "is 0.0 (totally "
    "wrong), 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, or 1.0 (totally right). Just complete the last space of "
    "the correctness "
    "score.\n\nQuestion | Ground truth | Prediction | Correctness\n--- | --- | --- | ---\n"
    "What is x in the equation? | -1 <AND> -5 | x = 3 | 0.0\n"
    "What is x in the equation? | -1 <AND> -5 | x = -1 | 0.5\n"
    "What is x in the equation? | -1 <AND> -5 | x = -5 | 0.5\n"
    "What is x in the equation? | -1 <AND> -5 | x = -5 or 5 | 0.5\n"
    "What is x in the equation? | -1 <AND> -5 | x = -1 or x = -5 | 1.0\n"
    f"{_MEME}The meme talks about Iceland and Greenland. It's pointing out that despite their names, Iceland is not "
    f"very icy and "
    "Greenland isn't very green. | 0.4\n"
    f"{_MEME}The meme is using humor to point out the misleading nature of Iceland's and Greenland's names. Iceland, "
    f"despite its "
    "name, has lush green landscapes while Greenland is mostly covered in ice and snow. The text 'This is why I "
    "have trust issues' "
    "is a playful way to suggest that these contradictions can lead to distrust or confusion. The humor in this "
    "meme is derived "
    "from the unexpected contrast between the names of the countries and their actual physical characteristics. | 1.0\n"
)


def parse(reply: str) -> float | None:
    """The grade before a reply's first space, None unless it is a number from 0 to 1."""
    try:
        grade = float(reply.split(" ")[0].strip())
    except ValueError:
        return None
    return grade if 0 <= grade <= 1 else None


def _questions(path: Path, options: JudgeOptions) -> Iterator[Question]:
    path = path / "mm-vet.json" if path.is_dir() else path
    for row in read_rows(path):
        abilities = sorted({str(ability) for ability in list_of(row.fields, "capability", row.where)})
        groups = (
            *(("capability", a) for a in abilities),
            *([("integration", "_".join(abilities))] if abilities else []),
        )
        gold = str(field_of(row.fields, ("answer",), row.where, "the right answer"))
        yield Question(
            row_id(row, IDS),
            gold,
            text_of(row.fields, "question"),
            text_of(row.fields, "imagename"),
            groups=groups,
        )


def _graded_before(row: Row) -> Iterator[Verdict]:
    """Replies of a row of the official grade file {id: {model: [...], content: [...], score: [...]}}."""
    contents, models = row.fields.get("content"), list_of(row.fields, "model", row.where)
    if row.key is None or not isinstance(contents, list):
        raise DataError(
            f"{row.where}: found no list of contents, needed the official grade file or JSON lines {{id, reply}}"
        )
    for run, content in enumerate(contents):
        yield Verdict(row.key, str(content), run, 0, str(models[run]) if run < len(models) else "")


def _request(item: GradedQuestion, run: int, attempt: int) -> Request:
    gold = item.question.gold.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    table = f"{PROMPT}\n" + " | ".join([item.question.text, gold, item.grade.answer, ""])
    # The first repetition is still asked at temperature 0.
    temperature = 0.5 * max(0, attempt - 1)
    return Request(item.question.id, table + AGAIN * (attempt > 0), "", run, attempt, temperature, 3, *answer_of(item))


def _repeat(item: GradedQuestion, run: int, reply: str, judge: JudgeModel) -> float | None:
    """The grade of a reply or, where it has none, of the replies to the repeated request."""
    grade, attempt = parse(reply), 1
    while grade is None and attempt < ATTEMPTS:
        [again] = judge.ask([_request(item, run, attempt)])
        grade = parse(again) if again is not None else None
        attempt += 1
    return grade


def _summarise(items: list[GradedQuestion], options: JudgeOptions) -> Summary:
    judge = needed_judge(options, _graded_before)
    items, replies = ask_runs(judge, items, lambda item, run: _request(item, run, 0), options)
    parsed = [
        [None if text is None else _repeat(item, run, text, judge) for run, text in enumerate(texts)]
        for item, texts in zip(items, replies, strict=True)
    ]
    check_readable(judge, replies, parsed, "a number from 0 to 1 at its start")
    table, runs = np.array([[grade or 0.0 for grade in grades] for grades in parsed]).T, len(parsed[0])
    for item, grades, scores in zip(items, parsed, table.T, strict=True):
        item.grade = Grade(float(scores.mean()), item.grade.answer, None not in grades, scores.tolist())
    totals = table.sum(1) / len(items) * 100
    metrics = {
        "total": round(float(totals.mean()), 1),
        "std": round(float(totals.std()), 1),
        "total_unrounded": float(totals.mean()),
    }
    metrics |= {f"run/{number}": round(total, 1) for number, total in enumerate(totals.tolist(), 1)}
    for group in dict.fromkeys(group for item in items for group in item.question.groups):
        mask = [group in item.question.groups for item in items]
        metrics["/".join(group)] = round(float((100 * table[:, mask].sum(1) / sum(mask)).mean()), 1)
    notes = judge_notes(judge, runs, "the paper takes five runs of gpt-4-0613")
    return Summary(metrics["total"], metrics, means(table.mean(0), 100.0), notes, items, len(items))


BENCHMARKS = {
    "mmvet": QuestionBenchmark(
        title="MM-Vet",
        rule="100 · mean judge grade in [0, 1]; a grade that stays unreadable after five attempts is 0",
        source="Yu et al. 2023; yuweihao/MM-Vet, mm-vet_evaluator.py",
        unit="percent",
        annotations="mm-vet.json: {id: {imagename, question, answer, capability}}",
        predictions="{id: text}; judge's replies: the official grade file, or JSON lines {id, run, reply}",
        aliases=("mm-vet",),
        options=JudgeOptions,
        questions=_questions,
        grade=ungraded,
        summarise=_summarise,
        keeps_text=True,
        setup=Setup(files=("mm-vet.json",), max_new_tokens=1024, judged=True),
    ),
}
