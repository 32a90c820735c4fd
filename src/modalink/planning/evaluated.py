"""What a stage will be measured by while it learns."""

from collections.abc import Iterator

from modalink.evaluation.numbers import open_benchmark
from modalink.planning.sample import opened
from modalink.recipe import Evaluation, Recipe


def evaluated(evaluation: Evaluation, recipe: Recipe) -> Iterator[str]:
    """Open all that an evaluation needs, and say what it is.

    Raises:
        DataError: Data of the loss or of a benchmark are missing or damaged.
        OptionError: A benchmark cannot be put to such a system.
    """
    yield f"every {evaluation.every:,} steps, and after the last"
    for config in evaluation.data:
        yield from opened(config)
    if evaluation.data:
        yield f"the loss of the same {evaluation.samples:,} of them each time, or of all if there are fewer"
    for chosen in evaluation.benchmarks:
        yield f"benchmark {chosen.name}: {open_benchmark(chosen, tuple(recipe.inputs)).asked}"
    if evaluation.keep_best is not None:
        word = {"min": "least", "max": "greatest"}[evaluation.keep_best.mode]
        yield f"keeps the weights with the {word} {evaluation.keep_best.metric}"
