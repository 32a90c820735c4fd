"""`modalink data make`: instructions out of captions, boxes and media."""

import json
from typing import Annotated

import typer

from modalink import yaml_files
from modalink.cli.data_check import Limit, SourceName, SourceSettings, StageName, watching
from modalink.cli.data_convert import LedgerFile, Out, parsed_writer, print_left_out
from modalink.cli.options import run_option
from modalink.cli.sources import one_source_of
from modalink.data.output import read_back
from modalink.data_making.maker import MakerConfig
from modalink.data_making.making import OwnRun, make
from modalink.errors import OptionError
from modalink.inference import load
from modalink.recipe.errors import Problems
from modalink.recipe.kind_field import Kinds
from modalink.scoring.judge_model import Endpoint

_MAKERS = Kinds(MakerConfig.room, named=True)


def make_(
    source: SourceName,
    settings: SourceSettings = None,
    *,
    kind: Annotated[str, typer.Option("--kind", help="What is made, or '{kind: conversation, most: 4}'.")],
    out: Out,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Address of an OpenAI-compatible server.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model's name there.")] = None,
    run: Annotated[str | None, run_option("A trained run that is asked instead.")] = None,
    to: Annotated[str, typer.Option("--to", help="The format, as for `data convert`.")] = "messages",
    retries: Annotated[int, typer.Option("--retries", min=0, help="How often a wrong reply is asked for again.")] = 2,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Replies that are asked for at a time.")] = 8,
    stage: StageName = None,
    ledger: LedgerFile = None,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="What became of it as a JSON line.")] = False,
) -> None:
    """Make instructions of what samples tell of their media, by a language model or by templates.

    Each reply is checked, and asked for again where it is not what was wanted; in the end it stands in a ledger.
    What was said is kept beside --out: stopped, the same command resumes. Data go to --endpoint alone.

    \b
    modalink data make photos source=pairs --kind conversation --out made.jsonl \\
        --endpoint http://localhost:8000/v1 --model qwen3
    modalink data make photos source=pairs --kind "{kind: templates, each: 3}" --out made.jsonl
    """
    config = one_source_of(source, settings, stage)
    maker, writer = parsed_maker(kind), parsed_writer(to)
    asked = asked_of(endpoint, model, run)
    with watching(f"making {maker.kind}", quiet=as_json) as on_sample:
        found = make(
            config, maker, asked, writer, out,
            ledger=ledger, retries=retries, workers=workers, limit=limit, on_sample=on_sample,
        )  # fmt: skip
    if as_json:
        result = {"samples": found.samples, "written": found.written, "left_out": found.left_out}
        print(json.dumps(result | {"ledger": str(found.ledger), "out": str(out)}, ensure_ascii=False))
        return
    count = f"{found.written:,} conversations of {found.samples:,} samples"
    print(f"{out}: {count}; a recipe reads them by {read_back(writer, out)}")
    if found.left_out:
        print_left_out(found.left_out, found.ledger)


def asked_of(endpoint: str | None, model: str | None, run: str | None) -> Endpoint | None:
    """Who is asked; None for nobody.

    Raises:
        OptionError: An address without a model, or both an address and a run.
    """
    if endpoint is not None and run is not None:
        raise OptionError("found --endpoint and --run, needed one of them")
    if (endpoint is None) != (model is None):
        raise OptionError("found one of --endpoint and --model, needed both")
    if run is not None:
        return OwnRun(url=run, model=run, session=load(run, generators=False))
    return None if endpoint is None else Endpoint(endpoint, str(model))


def parsed_maker(text: str) -> MakerConfig:
    """A maker by its name, or by a mapping of its kind and settings.

    Raises:
        OptionError: Its settings cannot be.
        UnknownNameError: There is no such maker.
    """
    try:
        config = _MAKERS.parse(yaml_files.parse(text, f"--kind {text}", OptionError).data)
    except Problems as error:
        raise OptionError(f"--kind {text}: {error}") from None
    assert isinstance(config, MakerConfig)
    return config
