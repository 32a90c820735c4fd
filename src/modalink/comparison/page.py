"""The results of a comparison as Markdown, with their plot beside them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from modalink.comparison.design import Comparison
from modalink.comparison.plot import plot
from modalink.comparison.results import Pair, Reached, Results, Row
from modalink.recipe.evaluation import SOURCES
from modalink.runs.folder import write_text

PAGE, PLOT = "comparison.md", "comparison.svg"
LEVEL = 0.05
_MOST_PAIRS = 15
_TESTS = {"mcnemar": "McNemar's exact test", "randomisation": "approximate randomisation"}


def write_pages(results: Results, out: Path) -> Path:
    """Write the results beside the runs.

    Returns:
        The Markdown file.
    """
    write_text(out / PLOT, str(plot(ranked(results), list(results.comparison.benchmarks))))
    write_text(out / PAGE, f"# {results.comparison.name}\n\n" + markdown(results, PLOT))
    return out / PAGE


def markdown(results: Results, picture: str) -> str:
    """The results: how it was made, a table of designs, the plot, a table of pairs.

    Args:
        results: What the comparison came to.
        picture: Where the plot is, as a link.
    """
    comparison = results.comparison
    words = [text for text in (comparison.question, comparison.claim and f"Claimed: {comparison.claim}") if text]
    blocks = [
        *words,
        setting(comparison),
        "\n".join(_table(results)),
        f"![accuracy of each design with its interval]({picture})",
        "\n".join(_pair_table(results)),
        *_footnotes(results),
    ]
    return "\n\n".join(blocks) + "\n"


def ranked(results: Results) -> list[Row]:
    """The designs, by the first benchmark, the best first."""
    first = next(iter(results.comparison.benchmarks))
    return sorted(results.rows, key=lambda row: -row.reached[first].value)


def setting(comparison: Comparison) -> str:
    """What all designs share, in words."""
    budget = f"{comparison.steps} steps" if comparison.steps else f"{comparison.seconds:g} s of training"
    rates = "learning rates of their own"
    if comparison.rates is not None:
        rates = f"learning rates {comparison.rates.links:g} (links) and {comparison.rates.parts:g} (parts)"
    asked = ", ".join(
        f"{heading}: {choice.name}" + (f" {_plain(choice.options)}" if choice.options else "")
        for heading, choice in comparison.benchmarks.items()
    )
    size = "Every part at tiny size. " if comparison.tiny else ""
    seeds = "seed" if len(comparison.seeds) == 1 else "seeds"
    return (
        f"{size}Each design: {budget} of {comparison.batch} conversations, {seeds} "
        f"{', '.join(map(str, comparison.seeds))}, {rates}. Data: "
        f"{'; '.join(f'`{_short(source)}`' for source in comparison.data)}. Questions: {asked}."
    )


def _short(source: Any) -> str:
    """A source's settings that differ from its defaults."""
    config = source
    given = {key: value for key, value in SOURCES.dump(config).items() if key in config.model_fields_set}
    return _plain({"source": config.kind, **given})


def _plain(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).split("\n")[0]


def _table(results: Results) -> Iterator[str]:
    headings = list(results.comparison.benchmarks)
    shares = [cell for heading in headings for cell in (f"{heading}, %", "95 % interval", "by seed")]
    cells = [*shares, "tokens per medium", "trained", "steps", "training", "peak memory"]
    yield "| design | " + " | ".join(cells) + " |"
    yield "| --- |" + " ---: |" * len(cells)
    for row in ranked(results):
        reached = [cell for heading in headings for cell in _cells(row.reached[heading])]
        memory = "unknown" if row.memory_bytes is None else f"{row.memory_bytes / 2**20:,.0f} MiB"
        trained = f"{row.trainable_share:.2%} ({row.trainable_parameters:,})"
        steps = " + ".join(map(str, row.steps))
        cells = [f"{row.tokens_per_item:g}", trained, steps, f"{row.training_seconds:.1f} s", memory]
        yield f"| {row.name} | " + " | ".join([*reached, *cells]) + " |"


def _cells(reached: Reached) -> tuple[str, str, str]:
    low, high = reached.interval
    seeds = " ".join(f"{100 * value:.1f}" for value in reached.by_seed)
    return f"{100 * reached.value:.1f}", f"{100 * low:.1f} to {100 * high:.1f}", seeds


def _pair_table(results: Results) -> Iterator[str]:
    pairs = _chosen(results)
    yield "| questions | designs | difference | 95 % interval | by seed | p | p, corrected | |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
    for pair in pairs:
        between = pair.difference
        low, high = between.interval
        seeds = " ".join(f"{100 * value:+.1f}" for value in between.by_seed)
        differs = "differ" if pair.corrected_p < LEVEL else "not told apart"
        yield (
            f"| {pair.benchmark} | {pair.left} − {pair.right} | {100 * between.value:+.1f} | {100 * low:+.1f} to "
            f"{100 * high:+.1f} | {seeds} | {_p(between.p_value)} | {_p(pair.corrected_p)} | {differs} |"
        )


def _chosen(results: Results) -> list[Pair]:
    """All pairs, or where they are many those of the best design of each benchmark."""
    if len(results.pairs) <= _MOST_PAIRS:
        return results.pairs
    best = {
        heading: max(results.rows, key=lambda row: row.reached[heading].value).name
        for heading in results.comparison.benchmarks
    }
    return [pair for pair in results.pairs if best[pair.benchmark] in (pair.left, pair.right)]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _footnotes(results: Results) -> Iterator[str]:
    count = len(results.pairs)
    test = _TESTS[results.pairs[0].difference.test]
    shown = "" if count <= _MOST_PAIRS else " Shown are the pairs of the best design; `comparison.json` has all."
    yield (
        f"Intervals resample seeds and questions. p: {test} over the same questions, whether these trained systems "
        f"differ on others of the kind; corrected by Holm for all pairs of the same questions ({count} in all).{shown} "
        "Whether other seeds would differ alike, the columns by seed show. Memory is what training takes above the "
        "process itself."
    )
    changes = [row for row in results.rows if row.changes]
    if changes:
        yield "Of their recipes they change:\n\n" + "\n".join(
            f"- {row.name} ({row.recipe}): {_listed(row.changes)}" for row in changes
        )
    notes = [f"- {row.name}: {text}" for row in results.rows for text in row.notes]
    if notes:
        yield "Made the same in all:\n\n" + "\n".join(notes)


def _listed(changes: Sequence[str]) -> str:
    return ", ".join(f"`{change}`" for change in changes)
