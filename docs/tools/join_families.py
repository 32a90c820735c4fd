"""Writes the table of LLM families that carry joins in `docs/joins.md`, each tried at tiny size with tiny joins.

Run: `python docs/tools/join_families.py`, as `make joins` does; with `--check` it only says what would change.
"""

import argparse
import re
import sys
import warnings
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import transformers
from llm_families import RELEASED, families
from transformers import PreTrainedModel

from modalink.kinds import config_class, kinds
from modalink.llms import Fit, carried, probe
from modalink.roles import JoinConfig

PAGE = Path(__file__).parents[1] / "joins.md"
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"
CARRIED = "carried"
_GENERAL = ((r"^\w+Layer has matrices", "its layers have matrices"), (r"linear layers \(.*?\)", "linear layers"))


def main() -> int:
    """Try all families, and write the table or say how it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the table would change")
    check = parser.parse_args().check
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    text = PAGE.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    written = f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"
    if check:
        for line in sorted(set(written.splitlines()) ^ set(text.splitlines())):
            print(line)
        return int(written != text)
    PAGE.write_text(written, "utf-8")
    return 0


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
    sys.exit(main())
