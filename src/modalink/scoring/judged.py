"""Benchmarks whose replies a language model judges."""

from collections.abc import Callable, Iterable
from pathlib import Path

from modalink.errors import DataError
from modalink.scoring.benchmark import BenchmarkOptions, GradedQuestion
from modalink.scoring.judge_model import Endpoint, JudgeModel, Request, Verdict, read_verdicts
from modalink.scoring.rows import Row


class JudgeOptions(BenchmarkOptions):
    """Where a judge's replies come from."""

    judge: str = ""
    """Address of an OpenAI-compatible server, such as http://localhost:8000/v1; its key is read from OPENAI_API_KEY."""
    judge_model: str = ""
    """Name of the judging model; the number depends on it, and must be told with it."""
    replies: str = ""
    """File of recorded replies, read first and added to; several, one a run, separated by commas."""
    runs: int = 1
    """How often the judge is asked about everything; the score is the mean."""

    @property
    def judged(self) -> bool:
        """Whether there is a judge."""
        return bool(self.judge or self.replies)


def judge_of(options: JudgeOptions, official: Callable[[Row], Iterable[Verdict]] | None = None) -> JudgeModel | None:
    """The judge that the options name, with what it said before; None where they name none.

    Raises:
        DataError: An address without a model, or a record that is missing and has no judge to fill it.
    """
    if not options.judged:
        return None
    if options.judge and not options.judge_model:
        raise DataError(f"judge {options.judge}: needed the name of its model too: --option judge_model=NAME")
    paths = [Path(name) for name in options.replies.split(",") if name]
    if options.judge and paths and paths[0].suffix != ".jsonl":
        raise DataError(f"replies {paths[0]}: new replies are added to it, so it needed to be a .jsonl file")
    judge = JudgeModel(
        Endpoint(options.judge, options.judge_model) if options.judge else None, paths[0] if paths else None
    )
    for number, path in enumerate(paths):
        if path.exists() or not options.judge:
            judge.add(Verdict(r.id, r.text, r.run or number, r.attempt, r.model) for r in read_verdicts(path, official))
    return judge


def needed_judge(options: JudgeOptions, official: Callable[[Row], Iterable[Verdict]] | None = None) -> JudgeModel:
    """The judge of a benchmark that has no score without one."""
    judge = judge_of(options, official)
    if judge is None:
        raise DataError(
            "this benchmark is scored by a judge, and none was given: --option judge=http://HOST/v1 --option "
            "judge_model=NAME, "
            "or --option replies=FILE with recorded replies"
        )
    return judge


def ask_runs(
    judge: JudgeModel,
    items: list[GradedQuestion],
    request: Callable[[GradedQuestion, int], Request],
    options: JudgeOptions,
) -> tuple[list[GradedQuestion], list[list[str]]]:
    """Ask the judge about every item, once a run.

    Returns:
        The items that have a reply in every run (all, unless `--partial` lets some be missing), and the replies by run.

    Raises:
        DataError: Some have none.
    """
    runs = max(options.runs, 1 + max((run for _, run, _ in judge.known), default=0))
    flat = iter(judge.ask([request(item, run) for item in items for run in range(runs)]))
    replies = [[next(flat) for _ in range(runs)] for _ in items]
    lost = [item.question.id for item, texts in zip(items, replies, strict=True) if None in texts]
    if lost and (options.missing == "error" or len(lost) == len(items)):
        raise DataError(
            f"found no judge's reply for {len(lost)} of {len(items)} items ({', '.join(lost[:3])}, ...) in {runs} "
            f"runs; give "
            "--option judge=ADDRESS to ask for them, or --partial to leave them out"
        )
    complete = [
        (item, [t for t in texts if t is not None])
        for item, texts in zip(items, replies, strict=True)
        if None not in texts
    ]
    return [item for item, _ in complete], [texts for _, texts in complete]
