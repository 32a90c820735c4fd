"""`modalink data check`: what is wrong with data."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from modalink import files, yaml_files
from modalink.cli.sources import is_recipe, processor_of, sources_of
from modalink.data.source import SourceConfig
from modalink.data_quality.check import CheckConfig, Context
from modalink.data_quality.checking import Checked, default_checks
from modalink.data_quality.checking import check as look
from modalink.data_quality.page import faulty_page
from modalink.errors import OptionError, UnknownNameError
from modalink.kinds import kinds
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.recipe.errors import Problems
from modalink.recipe.kind_field import Kinds

CHECKS = Kinds(CheckConfig.room, named=True)
_SHOWN_FACTS = 8

SourceName = Annotated[str, typer.Argument(help="A file, a folder or a pattern of data; or a recipe.")]
SourceSettings = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings of the source, or of the recipe.")
]
Reader = Annotated[
    str | None, typer.Option("--recipe", help="Whose tokenizer, template and limits read a file of data.")
]
StageName = Annotated[str | None, typer.Option("--stage", help="The recipe's stage; by default the first.")]
Llm = Annotated[str | None, typer.Option("--llm", help="Checkpoint whose tokenizer counts tokens.")]
Against = Annotated[
    list[Path] | None, typer.Option("--against", help="Pictures and tables of a benchmark that must not be in it.")
]
Checks = Annotated[
    list[str] | None, typer.Option("--check", help="A check, or '{kind: lengths, most: 2048}'; by default most.")
]
Also = Annotated[
    list[str] | None, typer.Option("--also", help="A check beside those that are made by default; as --check.")
]
Without = Annotated[list[str] | None, typer.Option("--without", help="A check that is left out.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Look at the first records only.")]


class Told(NamedTuple):
    """What the command line says about one source.

    Args:
        config: The source.
        context: What checks may use.
    """

    config: SourceConfig
    context: Context


def check(
    source: SourceName,
    settings: SourceSettings = None,
    *,
    recipe: Reader = None,
    stage: StageName = None,
    llm: Llm = None,
    checks: Checks = None,
    also: Also = None,
    without: Without = None,
    against: Against = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", dir_okay=False, help="Keeps long measurements, to resume them.")
    ] = None,
    limit: Limit = None,
    html: Annotated[Path | None, typer.Option("--html", dir_okay=False, help="Write a page of faulty samples.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All faults as a JSON line for each source.")] = False,
) -> None:
    """Find what is wrong with data: broken records and media, empty sides, duplicates, leaks, test items, and more.

    It exits with 1 where it finds faults. Nothing is changed; `modalink data filter` writes what is good.

    \b
    modalink data check chats.jsonl
    modalink data check chats.jsonl --recipe my.yaml --against benchmarks/gqa --html faults.html
    modalink data check my.yaml --stage instruct --check duplicates --check "{kind: lengths, least: 2}"
    """
    wanted = chosen_checks(checks or [], also or [], without or [])
    found: list[Checked] = []
    sources = told(source, settings or [], recipe, stage, llm, against or [], scores)
    for number, (config, context) in enumerate(sources, start=1):
        with watching(f"checking {config.name}", quiet=as_json) as on_sample:
            found.append(look(config, wanted, context, limit=limit, on_sample=on_sample))
        if as_json:
            print(json.dumps(found[-1].to_dict(), ensure_ascii=False))
        else:
            _print(found[-1])
        if html is not None:
            target = html if len(sources) == 1 else html.with_stem(f"{html.stem}-{number}")
            files.write(target, faulty_page(config, found[-1], context))
            print(f"page {target}", file=sys.stderr if as_json else sys.stdout)
    raise typer.Exit(int(any(one.faulty for one in found)))


def told(
    source: str,
    settings: list[str],
    recipe: str | None,
    stage: str | None,
    llm: str | None,
    against: Sequence[Path],
    scores: Path | None = None,
) -> list[Told]:
    """The sources that are meant, each with what checks may use of it.

    Raises:
        OptionError: A setting is none of the source's.
    """
    sources, chosen = sources_of(source, settings, recipe or "demo", stage)
    processor = processor_of(chosen) if recipe is not None or is_recipe(source) else None
    tokenizer = None if processor is None else processor.tokenizer
    if llm is not None:
        tokenizer = PretrainedLlmConfig(checkpoint=llm).tokenizer()
    given = Context(processor, tokenizer, against=tuple(against), scores=scores)
    return [
        Told(config, replace(given, max_tokens=None if processor is None else limit, template=config.template))
        for config, limit in sources
    ]


def chosen_checks(named: Sequence[str], also: Sequence[str], without: Sequence[str]) -> list[CheckConfig]:
    """The checks that are named, or those that are made by default and others beside them, without some.

    Raises:
        OptionError: The settings of a check cannot be.
        UnknownNameError: There is no such check.
    """
    beside = [parsed_check(text) for text in also]
    replaced = {config.kind for config in beside}
    given = [parsed_check(text) for text in named] or [c for c in default_checks() if c.kind not in replaced]
    found = [*given, *beside]
    for name in without:
        if name not in kinds(CheckConfig.room):
            raise UnknownNameError("check", name, kinds(CheckConfig.room))
    return [config for config in found if config.kind not in without]


def parsed_check(text: str) -> CheckConfig:
    """A check by its name, or by a mapping of its kind and settings."""
    value = yaml_files.parse(text, f"--check {text}", OptionError).data
    try:
        config = CHECKS.parse(value)
    except Problems as error:
        raise OptionError(f"--check {text}: {error}") from None
    assert isinstance(config, CheckConfig)
    return config


@contextmanager
def watching(text: str, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Shows on a terminal how many samples were looked at."""
    console = Console(stderr=True, highlight=False, quiet=quiet)
    with console.status(text) as status:
        yield lambda count: status.update(f"{text}: {count:,}") if count % 100 == 0 else None


def _print(checked: Checked) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{checked.source}: {checked.samples:,} samples", markup=False, style="bold")
    table = Table()
    table.add_column("check")
    table.add_column("faults", justify="right")
    table.add_column("what", overflow="fold")
    table.add_column("first", overflow="fold")
    for name, faults in checked.faults.items():
        reasons = ", ".join(f"{count} {reason}" for reason, count in checked.counts(name).items())
        first = f"{faults[0].sample}: {faults[0].detail}" if faults else ""
        table.add_row(name, f"{len(faults):,}", reasons, _escaped(first), style="" if faults else "dim")
    console.print(table)
    for facts in checked.facts.values():
        for name, value in facts.items():
            console.print(f"{name}: {fact(value)}", markup=False)
    for name, why in checked.left_out.items():
        console.print(f"not checked: {name}, which needs {why}", markup=False, style="dim")
    faulty = len(checked.faulty)
    share = f"{faulty:,} of {checked.samples:,} samples have faults" if faulty else "no faults were found"
    console.print(share, markup=False, style="red" if faulty else "green")


def fact(value: Any) -> str:
    """What was counted or measured, on a line."""
    if isinstance(value, Mapping):
        few = [f"{name} {fact(one)}" for name, one in list(value.items())[:_SHOWN_FACTS]]
        return ", ".join(few + ["..."] * (len(value) > _SHOWN_FACTS)) or "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return text[:160].replace("[", "\\[")
