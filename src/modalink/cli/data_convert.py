"""`modalink data convert`: data in another format."""

import json
from pathlib import Path
from typing import Annotated

import typer

from modalink import yaml_files
from modalink.cli.data_check import Limit, SourceName, SourceSettings, StageName, watching
from modalink.cli.sources import one_source_of
from modalink.data.converting import convert as convert_source
from modalink.data.output import read_back
from modalink.data.writer import WriterConfig
from modalink.errors import OptionError
from modalink.recipe.errors import Problems
from modalink.recipe.kind_field import Kinds

_WRITERS = Kinds(WriterConfig.room, named=True)

Out = Annotated[Path, typer.Option("--out", dir_okay=False, help="The file: .jsonl, .json, .csv or .tsv.")]
LedgerFile = Annotated[
    Path | None, typer.Option("--ledger", dir_okay=False, help="Who is left out, and why; by default beside --out.")
]
Keep = Annotated[list[str] | None, typer.Option("--keep", help="A column of the records that is kept as it is.")]


def convert(
    source: SourceName,
    settings: SourceSettings = None,
    *,
    to: Annotated[str, typer.Option("--to", help="A format, or '{kind: pairs, direction: draw}'.")],
    out: Out,
    stage: StageName = None,
    keep: Keep = None,
    ledger: LedgerFile = None,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="What became of it as a JSON line.")] = False,
) -> None:
    """Write data in another format; each record is read back, and counts only if it says the same.

    What a format has no form for stands in the ledger, with the reason. It exits with 1 where something was left out.

    \b
    modalink data convert mix.json source=llava_json --to messages --out mix.jsonl
    modalink data convert chats.jsonl --to llava --out chats.json --keep license
    modalink data convert chats.jsonl --to "{kind: pairs, any_request: true}" --out captions.csv
    """
    config = one_source_of(source, settings, stage)
    writer = parsed_writer(to)
    with watching(f"converting {config.name}", quiet=as_json) as on_sample:
        found = convert_source(config, writer, out, ledger=ledger, keep=keep or [], limit=limit, on_sample=on_sample)
    left_out = sum(found.left_out.values())
    if as_json:
        result = {"written": found.written, "left_out": found.left_out, "ledger": str(found.ledger), "out": str(out)}
        print(json.dumps(result, ensure_ascii=False))
    else:
        print(f"{out}: {found.written:,} samples; a recipe reads them by {read_back(writer, out)}")
        if left_out:
            print_left_out(found.left_out, found.ledger)
    raise typer.Exit(int(left_out > 0))


def print_left_out(left_out: dict[str, int], ledger: Path) -> None:
    """Say what was left out, and where that stands."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    print(f"left out: {reasons}; see {ledger}")


def parsed_writer(text: str) -> WriterConfig:
    """A format by its name, or by a mapping of its kind and settings.

    Raises:
        OptionError: Its settings cannot be.
        UnknownNameError: There is no such format.
    """
    try:
        config = _WRITERS.parse(yaml_files.parse(text, f"--to {text}", OptionError).data)
    except Problems as error:
        raise OptionError(f"--to {text}: {error}") from None
    assert isinstance(config, WriterConfig)
    return config
