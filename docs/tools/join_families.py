"""Writes the table of LLM families that carry joins in `docs/joins.md`, each tried at tiny size with tiny joins.

Run: `python docs/tools/join_families.py`, as `make joins` does; with `--check` it only says what would change.
"""

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import transformers
from llm_families import RELEASED, families
from marked import Marked
from transformers import PreTrainedModel

from modalink.kinds import config_class, kinds
from modalink.llms import Fit, carried, probe
from modalink.roles import JoinConfig

TABLE = Marked(Path(__file__).parents[1] / "joins.md", "<!-- families: begin -->", "<!-- families: end -->")
CARRIED = "carried"
_GENERAL = ((r"^\w+Layer has matrices", "its layers have matrices"), (r"linear layers \(.*?\)", "linear layers"))


def in_layers() -> list[JoinConfig]:
    """The joins that not every family can carry."""
    found = [config_class(JoinConfig.room, kind) for kind in sorted(kinds(JoinConfig.room))]
    return [config() for config in found if issubclass(config, JoinConfig) and config.in_layers]


def table() -> str:
    """A row for all families of one outcome, those that carry every join first."""
    joins = in_layers()
    outcomes = [(row, name) for name, row in rows(joins)]
    outcomes.sort(key=lambda found: ([outcome != CARRIED for outcome in found[0]], found))
    lines = [f"| families | {' | '.join(f'`{join.kind}`' for join in joins)} |", "| --- |" + " --- |" * len(joins)]
    for outcome, same in groupby(outcomes, key=lambda found: found[0]):
        lines.append(f"| {', '.join(f'`{name}`' for _, name in same)} | {' | '.join(outcome)} |")
    return "\n".join(lines)


def rows(joins: list[JoinConfig]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each family that can be an LLM here, and what becomes of each join in it."""
    for family in sorted(set(families()), key=lambda family: family.__name__):
        try:
            config = family.config_class(**RELEASED.get(family.__name__, {}))
            fit = probe(family, config)
        except Exception:  # whatever a class's own defaults raise: it stands in the table of LLMs, as refused
            continue
        if fit.verdict != "refused":
            yield family.__name__, tuple(_outcome(family, config, fit, join) for join in joins)


def _outcome(family: type[PreTrainedModel], config: transformers.PreTrainedConfig, fit: Fit, join: JoinConfig) -> str:
    reason = carried(family, config, fit, join)
    if not reason:
        return CARRIED
    # Without names that differ from family to family, so that families with one reason stand in one row.
    for pattern, general in _GENERAL:
        reason = re.sub(pattern, general, reason)
    return reason.replace(family.__name__, "it").replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(TABLE.command(table, __doc__))
