"""MMBench: questions with options, asked once for every rotation of the options; all must be answered rightly.

Rolls of a question have its index plus a multiple of a million. The text of a reply decides by option letter, then by
option text, then by a judge where one is given; what nobody decides is wrong, and is counted as a parse failure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modalink.errors import DataError, brief, shown
from modalink.scoring.annotations import field_of, groups_of, option_columns, text_of, whole_number
from modalink.scoring.benchmark import Grade, GradedQuestion, Question, QuestionBenchmark, Setup, Summary, plain_replies
from modalink.scoring.bootstrap import means
from modalink.scoring.judge_model import JudgeModel, Request
from modalink.scoring.judged import JudgeOptions, check_readable, judge_notes, judge_of
from modalink.scoring.metrics.choice import LETTERS, choose
from modalink.scoring.predictions import Prediction, as_text, row_id
from modalink.scoring.prompts import LETTER, lettered
from modalink.scoring.rows import read_rows

MILLION = 1_000_000
IDS = ("index", "question_id", "id")

_JUDGE = """You match an answer with the options of a single-choice question.
Say which option is most similar to the answer; say Z if the meaning of all options differs much from the answer.
Output a single uppercase character, one of the options' letters or Z.
Example 1:
Question: What is the main object in the image?
Options: A. teddy bear B. rabbit C. cat D. dog
Answer: a cute teddy bear
Your output: A
Example 2:
Question: What is the main object in the image?
Options: A. teddy bear B. rabbit C. cat D. dog
Answer: Spider
Your output: Z
Example 3:
Question: {question}
Options: {options}
Answer: {answer}
Your output: """


class MmbenchOptions(JudgeOptions):
    """Options of MMBench; a judge is asked only for what the text rules leave open."""

    protocol: Literal["circular", "first", "all"] = "circular"
    """The score: questions right in every roll, questions right in the first roll, or rows."""
    verbose_answers: bool = True
    """Whether "the answer is X" counts, as in VLMEvalKit since 2024."""
    split: str = ""
    """Split of the table that is scored; all when empty."""


def questions(path: Path, options: MmbenchOptions) -> Iterator[Question]:
    """The rows of the table, each roll a question."""
    pictures: dict[str, str] = {}
    for row in read_rows(path):
        fields = row.fields
        key = row_id(row, IDS)
        answer = field_of(fields, ("answer",), row.where, "the right letter")
        whole_number(key, row.where, "index")
        if not isinstance(answer, str) or len(answer) != 1 or answer not in LETTERS:
            raise DataError(f"{row.where}: found {shown(answer)} as answer, needed a letter")
        hint = str(fields.get("hint") or "")
        text = f"{hint}\n{fields.get('question', '')}" if hint not in ("", "nan") else text_of(fields, "question")
        groups = groups_of(fields, "split", "l2-category", "category")
        scored = options.split in ("", fields.get("split"))
        yield Question(
            key, answer, text, _picture(fields, pictures), choices=option_columns(fields), groups=groups, scored=scored
        )


def _picture(fields: Mapping[str, Any], pictures: dict[str, str]) -> str:
    """The picture as data URL; a row may name the row that holds it, or have none."""
    cell = str(fields.get("image") or "")
    if cell in pictures:
        return pictures[cell]
    pictures[text_of(fields, "index")] = url = f"data:;base64,{cell}" if cell not in ("", "nan") else ""
    return url


def replies(path: Path, options: MmbenchOptions) -> Iterator[Prediction]:
    """The replies of an upload file or of rows with the index as id."""
    yield from plain_replies(path, options, IDS, ("prediction", "text", "response", "reply", "value"))


def _choices(question: Question) -> dict[str, str]:
    return {letter: text for letter, text in zip(LETTERS, question.choices, strict=False) if text}


def grade(question: Question, reply: Any, where: str, options: MmbenchOptions) -> Grade:
    """What the text rules find; the reply is kept for a judge where they find nothing."""
    text = as_text(reply, where)
    choice = choose(text, _choices(question), options.verbose_answers)
    return Grade(float(choice == question.gold), choice or "", choice is not None, None if choice else text)


def summarise(items: list[GradedQuestion], options: MmbenchOptions) -> Summary:
    """Circular accuracy beside the accuracies of first rolls and of rows."""
    notes = _ask_judge(items, options)
    rolls: dict[int, list[GradedQuestion]] = {}
    for item in items:
        rolls.setdefault(int(item.question.id) % MILLION, []).append(item)
    first = {
        index: next((i for i in members if int(i.question.id) < MILLION), members[0])
        for index, members in rolls.items()
    }
    by_protocol = {
        "circular": {index: float(min(i.grade.score for i in members)) for index, members in rolls.items()},
        "first": {index: item.grade.score for index, item in first.items()},
        "all": {int(item.question.id): item.grade.score for item in items},
    }
    metrics = {f"{name}_accuracy": 100 * sum(hits.values()) / len(hits) for name, hits in by_protocol.items()}
    hits = by_protocol[options.protocol]
    groups: dict[str, list[float]] = {}
    for index, hit in hits.items():
        for family, member in first[index % MILLION].question.groups:
            groups.setdefault(f"{family}/{member}", []).append(hit)
    metrics |= {name: 100 * sum(members) / len(members) for name, members in groups.items()} | {
        "rows": float(len(items))
    }
    if len(items) == len(rolls):
        notes.append(
            "one roll a question: circular and vanilla accuracy are the same, and not comparable with circular ones"
        )
    sample = means(np.array(list(hits.values())), 100.0)
    return Summary(metrics[f"{options.protocol}_accuracy"], metrics, sample, notes, items, len(hits))


def _ask_judge(items: list[GradedQuestion], options: MmbenchOptions) -> list[str]:
    """Let the judge decide the open items, if there is one; what it cannot decide in three tries stays wrong."""
    open_items = [item for item in items if not item.grade.parsed and item.grade.detail is not None]
    judge = judge_of(options)
    if not open_items or judge is None:
        return (
            [f"{len(open_items)} replies chose no option by the text rules and no judge was given: wrong"]
            if open_items
            else []
        )
    read: list[tuple[str, str | None]] = []
    undecided = open_items
    for attempt in range(3):
        verdicts = judge.ask([_request(item, attempt) for item in undecided])
        if attempt == 0:
            _check_replied(judge, undecided, verdicts, options)
        for item, verdict in zip(undecided, verdicts, strict=True):
            if verdict is not None:
                choice = choose(verdict, _choices(item.question), options.verbose_answers)
                read.append((verdict, choice))
                item.grade = Grade(float(choice == item.question.gold), choice) if choice else item.grade
        undecided = [item for item in undecided if not item.grade.parsed]
    check_readable(judge, [[text] for text, _ in read], [[choice] for _, choice in read], "an option's letter, or Z")
    decided = len(open_items) - len(undecided)
    return judge_notes(judge, 1, f"it decided {decided} of {len(open_items)} replies that the text rules left open")


def _check_replied(
    judge: JudgeModel, items: list[GradedQuestion], verdicts: list[str | None], options: MmbenchOptions
) -> None:
    lost = [item.question.id for item, verdict in zip(items, verdicts, strict=True) if verdict is None]
    if lost and (options.missing != "skip" or len(lost) == len(items)):
        raise DataError(
            f"{judge.origin}: found no judge's reply for {len(lost)} of {len(items)} replies that chose no option "
            f"({', '.join(map(brief, lost[:3]))}, ...); give --option judge=ADDRESS to ask for them, or --partial to "
            "count them as wrong"
        )


def _request(item: GradedQuestion, attempt: int) -> Request:
    answer, answer_id = str(item.grade.detail), item.grade.answer_id
    prompt = _judge_prompt(item)
    return Request(item.question.id, prompt, attempt=attempt, max_tokens=16, answer=answer, answer_id=answer_id)


def _judge_prompt(item: GradedQuestion) -> str:
    options = " ".join(f"{letter}. {text}" for letter, text in _choices(item.question).items())
    return _JUDGE.format(question=item.question.text, options=options, answer=item.grade.detail)


def prompt(question: Question) -> str:
    """LLaVA's prompt: hint, question, options, and the line that asks for a letter."""
    return f"{question.text}\n{lettered(question.choices)}\n{LETTER}"


def rule_of(options: MmbenchOptions) -> str:
    """The rule with its protocol."""
    names = {"circular": "right in every roll", "first": "first roll only (vanilla)", "all": "every row by itself"}
    fate = "go to the judge" if options.judged else "are wrong"
    return f"accuracy, {names[options.protocol]}; VLMEvalKit's option matching, undecided replies {fate}"


def _prompt_cn(question: Question) -> str:
    return f"{question.text}\n{lettered(question.choices)}\n请直接回答选项字母。"


_MMBENCH = QuestionBenchmark(
    title="MMBench",
    rule=rule_of,
    source="Liu et al. 2023; open-compass/VLMEvalKit, multiple_choice.py and matching_util.py; prompt of "
    "haotian-liu/LLaVA",
    unit="percent",
    annotations="mmbench_dev_20230712.tsv and the like: index, question, hint, A to D, answer, category, l2-category",
    predictions="upload .xlsx with index and prediction (its answer column serves as annotation), or rows "
    "{question_id, text}",
    options=MmbenchOptions,
    questions=questions,
    replies=replies,
    grade=grade,
    summarise=summarise,
    setup=Setup(files=("mmbench_dev_2*.tsv", "MMBench_DEV_EN*.tsv"), reply_field="prediction"),
    prompt=prompt,
    self_contained=True,
)

BENCHMARKS = {
    "mmbench": _MMBENCH,
    "mmbench_cn": replace(
        _MMBENCH,
        title="MMBench-CN",
        annotations="mmbench_dev_cn_20231003.tsv, with the columns of MMBench",
        setup=Setup(files=("mmbench_dev_cn_*.tsv", "MMBench_DEV_CN*.tsv"), reply_field="prediction"),
        prompt=_prompt_cn,
    ),
}
