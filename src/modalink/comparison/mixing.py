"""Mixtures of data as designs: one recipe, the same sources, in other ratios."""

from collections.abc import Mapping, Sequence
from typing import Any

from modalink.errors import OptionError

MOST = 24
"""Most ratios that are tried at once."""


def usual(sources: int) -> list[tuple[float, ...]]:
    """The ratios that are tried where none are said: each source alone, all alike, and three times as much of each."""
    alone = [tuple(float(i == j) for j in range(sources)) for i in range(sources)]
    more = [tuple(3.0 if i == j else 1.0 for j in range(sources)) for i in range(sources)]
    return [*alone, (1.0,) * sources, *more]


def designs(
    recipe: str, sources: Sequence[Mapping[str, Any]], ratios: Sequence[Sequence[float]]
) -> list[dict[str, Any]]:
    """A design for each ratio; a source that has no share in one is left out of it.

    Args:
        recipe: The recipe file, or the name of one that ships.
        sources: Settings of the sources.
        ratios: Shares of samples, one a source.

    Raises:
        OptionError: There are fewer than two sources or ratios, too many, a ratio of another length, without any
            share, or one that is said twice.
    """
    if len(sources) < 2:
        raise OptionError(f"found {len(sources)} sources, needed two at least to mix")
    if not 2 <= len(ratios) <= MOST:
        raise OptionError(f"found {len(ratios)} ratios, needed 2 to {MOST}")
    found: dict[str, dict[str, Any]] = {}
    for ratio in ratios:
        said = ":".join(f"{share:g}" for share in ratio)
        if len(ratio) != len(sources) or min(ratio) < 0 or not any(ratio):
            raise OptionError(
                f"found the ratio {said} of {len(sources)} sources, needed as many shares, none below 0 and one above"
            )
        name = "mix-" + "-".join(f"{share:g}".replace(".", "_") for share in ratio)
        if name in found:
            raise OptionError(f"found the ratio {said} twice, needed each once")
        data = [{**source, "weight": share} for source, share in zip(sources, ratio, strict=True) if share]
        found[name] = {"name": name, "recipe": recipe, "data": data}
    return list(found.values())
