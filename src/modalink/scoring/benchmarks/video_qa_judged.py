"""Questions about videos, scored by the judge of Video-ChatGPT, who accepts an answer in other words."""

import ast
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from modalink.errors import DataError
from modalink.scoring.benchmark import Grade, GradedQuestion, QuestionBenchmark, Setup, Summary, ungraded
from modalink.scoring.benchmarks import video_qa
from modalink.scoring.bootstrap import Sums
from modalink.scoring.judge_model import Request, Verdict
from modalink.scoring.judged import JudgeOptions, answer_of, ask_runs, check_readable, judge_notes, needed_judge
from modalink.scoring.rows import Row

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


def parse(reply: str) -> tuple[str, int] | None:
    """Verdict and score of a judge's reply: the Python dictionary between its first braces; None where there is none.

    The verdict is yes where the word has `yes` in it, else no where it has `no` (so `unknown` is no), else as it is.
    Fractions of the score are cut off, as in the official scripts.
    """
    try:
        parsed = ast.literal_eval("{" + reply.split("{")[1].split("}")[0] + "}")
        verdict, score = parsed["pred"].lower(), int(parsed["score"])
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
    if not -(10**6) < score < 10**6:
        return None
    return ("yes" if "yes" in verdict else "no" if "no" in verdict else verdict), score


def _judged_before(row: Row) -> Iterator[Verdict]:
    """The reply of a row of Video-ChatGPT's combined file {id: [{pred, score}, {q, a, pred}]}."""
    value = row.fields.get("value")
    if row.key is None or not isinstance(value, list) or not value or not isinstance(value[0], dict):
        raise DataError(
            f"{row.where}: needed Video-ChatGPT's {{id: [{{pred, score}}, ...]}}, or JSON lines {{id, reply}}"
        )
    yield Verdict(row.key, repr(value[0]))


def _request(item: GradedQuestion, run: int) -> Request:
    asked = PROMPT.format(question=item.question.text, answer=item.question.gold, prediction=item.grade.answer)
    answer, answer_id = answer_of(item)
    return Request(item.question.id, asked, SYSTEM, run, max_tokens=64, answer=answer, answer_id=answer_id)


def _summarise_judged(items: list[GradedQuestion], options: JudgeOptions) -> Summary:
    judge = needed_judge(options, _judged_before)
    items, replies = ask_runs(judge, items, _request, options)
    columns = np.zeros((len(items), 4))
    table = [[None if text is None else parse(text) for text in texts] for texts in replies]
    check_readable(judge, replies, table, "a Python dictionary {'pred': 'yes' or 'no', 'score': 0 to 5}")
    for i, (item, parsed) in enumerate(zip(items, table, strict=True)):
        verdicts = [verdict or ("no", 0) for verdict in parsed]
        yes, no, score = (
            sum(v == "yes" for v, _ in verdicts),
            sum(v == "no" for v, _ in verdicts),
            sum(s for _, s in verdicts),
        )
        columns[i] = yes, no, score, len(verdicts)
        item.grade = Grade(yes / len(verdicts), item.grade.answer, None not in parsed, {"verdicts": verdicts})
    sample = Sums(columns, _accuracy)
    metrics = {
        "accuracy": sample.value(),
        "score": float(columns[:, 2].sum() / columns[:, 3].sum()),
        **_by_group(items, columns),
    }
    notes = judge_notes(judge, len(replies[0]), "the number moves by points with the judge's version")
    return Summary(metrics["accuracy"], metrics, sample, notes, items, len(items))


def _by_group(items: list[GradedQuestion], columns: np.ndarray) -> dict[str, float]:
    """The accuracy of each kind of question, by the same rule as that of all."""
    groups: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        for family, member in item.question.groups:
            groups.setdefault(f"{family}/{member}", []).append(i)
    return {name: float(_accuracy(columns[rows].sum(0, keepdims=True))[0]) for name, rows in groups.items()}


def _accuracy(sums: np.ndarray) -> np.ndarray:
    return 100 * sums[:, 0] / np.maximum(sums[:, 0] + sums[:, 1], 1)


def video_qa_judge(title: str, source: str, annotations: str, setup: Setup = video_qa.XU_SETUP) -> QuestionBenchmark:
    """Questions about videos, scored by Video-ChatGPT's judge."""
    return QuestionBenchmark(
        title=f"{title}, judged",
        rule="judge's yes / (yes + no), and its mean score from 0 to 5; an unreadable verdict is no and 0",
        source=f"{source}; Maaz et al. 2023, evaluate_activitynet_qa.py of mbzuai-oryx/Video-ChatGPT; parser of "
        f"lmms-eval",
        unit="percent",
        annotations=annotations,
        predictions="rows {question_id or id, text}; judge's replies: JSON lines {id, reply}, or Video-ChatGPT's "
        "combined file",
        options=JudgeOptions,
        questions=video_qa.questions,
        grade=ungraded,
        summarise=_summarise_judged,
        setup=replace(setup, max_new_tokens=1024, judged=True),
        prompt=lambda question: question.text,
        keeps_text=True,
    )


BENCHMARKS = {
    "activitynet_qa_judge": replace(
        video_qa_judge("ActivityNet-QA", "Yu et al. 2019", video_qa.ACTIVITYNET_FILES, video_qa.ACTIVITYNET_SETUP),
        questions=video_qa.activitynet_questions,
    ),
    "msrvtt_qa_judge": replace(
        video_qa_judge("MSRVTT-QA", "Xu et al. 2017", video_qa.XU_FILES), questions=video_qa.msrvtt_questions
    ),
    "msvd_qa_judge": replace(
        video_qa_judge("MSVD-QA", "Xu et al. 2017", video_qa.XU_FILES), questions=video_qa.msvd_questions
    ),
}
