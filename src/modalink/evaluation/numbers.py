"""A benchmark as a function from a system to numbers by name, for those who measure again and again."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modalink import files
from modalink.errors import OptionError
from modalink.evaluation import runner
from modalink.evaluation.dataset import Dataset, of_questions, open_dataset
from modalink.evaluation.evaluators import Evaluator, evaluator_of
from modalink.model import System
from modalink.recipe import BenchmarkChoice
from modalink.scoring import registry


@dataclass(frozen=True)
class OpenedBenchmark:
    """A benchmark whose files are found and whose options are right.

    Args:
        name: Its name.
        asked: What it asks, in words.
        measure: Puts it to a system: name of a number -> the number.
    """

    name: str
    asked: str
    measure: Callable[[System], dict[str, float]]


def open_benchmark(chosen: BenchmarkChoice, reads: Collection[str]) -> OpenedBenchmark:
    """Find all that a benchmark needs, so that nothing is missing when it is put to a system.

    Args:
        chosen: The benchmark with its files and options.
        reads: Modalities that the system reads.

    Raises:
        DataError: Files are missing or damaged, or the system does not read what is shown.
        OptionError: The benchmark asks a model no questions, needs a judge, or an option has a wrong value.
        UnknownNameError: It has no such option.
    """
    evaluator = evaluator_of(chosen.name)
    if evaluator is not None:
        return _by_itself(chosen, evaluator)
    data = None if chosen.data is None else files.named(chosen.data, OptionError)
    dataset = of_questions(open_dataset(chosen.name, data, split=chosen.split, options=chosen.options))
    if dataset.benchmark.setup.judged and not (dataset.given.get("judge") or dataset.given.get("replies")):
        raise OptionError(
            f"{chosen.name}: a judge scores its answers; needed options: {{judge: URL, judge_model: NAME}}"
        )
    questions, _ = dataset.prepared_questions(reads, chosen.limit)
    return OpenedBenchmark(
        chosen.name, f"{len(questions):,} questions", lambda system: _scores(system, dataset, chosen.limit)
    )


def _by_itself(chosen: BenchmarkChoice, evaluator: Evaluator) -> OpenedBenchmark:
    if chosen.data is not None:
        raise OptionError(f"{chosen.name} makes its own questions: it takes split, limit and options, and no data")
    given: dict[str, Any] = {key: value for key in ("split", "limit") if (value := getattr(chosen, key))}
    options = registry.checked(evaluator.options, chosen.name, given | chosen.options)

    def measure(system: System) -> dict[str, float]:
        headline = next(iter(evaluator.evaluate(system, options, lambda task: None).tables().values()), [])
        return {measured.name.lower().replace(" ", "_"): measured.value for measured in headline}

    return OpenedBenchmark(chosen.name, "questions of its own", measure)


def _scores(system: System, dataset: Dataset, limit: int | None) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        report = runner.evaluate(system, dataset, out=Path(folder), limit=limit).report
    assert report is not None
    return {"score": report.score, **report.metrics}
