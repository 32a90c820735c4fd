"""`modalink data mix`: in what ratio sources teach most, found by short runs."""

import math
from typing import Annotated, Any

import typer

from modalink.cli.comparing import described, finished, source, takes_comparison
from modalink.comparison.mixing import designs, usual
from modalink.errors import OptionError


@takes_comparison
def mix(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that ships.")],
    *,
    data: Annotated[
        list[str],
        typer.Option("--data", help="A source: `{source: llava_json, path: FILE}`; two or more times."),
    ],
    ratio: Annotated[
        list[str] | None,
        typer.Option(
            "--ratio",
            metavar="A:B",
            help="Shares of the sources' samples, in their order; may be repeated. By default each source alone, all "
            "alike, and three times as much of each.",
        ),
    ] = None,
    compared: dict[str, Any],
) -> None:
    """Train a recipe on several mixtures of the same sources, as briefly as you say, and tell which teaches most.

    Each ratio is a design of a comparison, as `modalink compare` makes them: same recipe, seeds, budget, questions and
    tests of differences. Killed and started again, it resumes.

    \b
    modalink data mix llava-1.5 --tiny --data "{source: tiny_world, tasks: [caption]}" \\
        --data "{source: tiny_world, tasks: [vqa], seed: 1}" --ratio 1:0 --ratio 1:3 --steps 100 --out runs/mix
    modalink data mix my.yaml --data "{source: messages, path: a.jsonl}" --data "{source: text, path: b.txt}" \\
        --benchmark gqa --benchmark-data gqa --budget 30m --seeds 0,1,2 --out runs/mix
    """
    sources = [source(text) for text in data]
    ratios = [_ratio(text) for text in ratio] if ratio else usual(len(sources))
    finished(described(designs(recipe, sources, ratios), sources, compared, name="mix"), compared)


def _ratio(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(share) for share in text.split(":"))
    except ValueError:
        shares = ()
    if not shares or not all(math.isfinite(share) for share in shares):
        raise OptionError(f"--ratio: found {text!r:.80}, needed numbers with colons between them, for example 3:1")
    return shares
