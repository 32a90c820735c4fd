"""`modalink data`: what becomes of data, what is wrong with them, and what frozen parts make of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from modalink import files
from modalink.cli import data_check, data_convert, data_filter, data_make, data_mix, filling
from modalink.cli.options import Cache, Device, Threads
from modalink.cli.sources import processor_of, sources_of
from modalink.planning.preview import ShownSample, ShownTurn, page, preview
from modalink.recipe import load
from modalink.settings import run_settings
from modalink.training.caching.fill import fill
from modalink.training.interrupts import Interrupted

data = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
data.command("check")(data_check.check)
data.command("filter")(data_filter.filter_)
data.command("make")(data_make.make_)
data.command("convert")(data_convert.convert)
data.command("mix")(data_mix.mix)


@data.callback()
def _group() -> None:
    """Look at data, find their faults, filter, make, convert or mix them; or compute ahead what frozen parts give."""


@data.command("preview")
def preview_samples(
    source: Annotated[str, typer.Argument(help="A file, a folder or a pattern of data; or a recipe.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings of the source, or of the recipe.")
    ] = None,
    *,
    recipe: Annotated[str, typer.Option("--recipe", help="Whose tokenizer and template read a file of data.")] = "demo",
    stage: Annotated[str | None, typer.Option("--stage", help="The recipe's stage; by default the first.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Samples of each source.")] = 3,
    html: Annotated[Path | None, typer.Option("--html", dir_okay=False, help="Write a page instead.")] = None,
) -> None:
    """Show the first samples: turns, media with their sizes, and the prompt with what is learned of it.

    What is learned is green on a terminal and stands between double brackets elsewhere.

    \b
    modalink data preview chats.jsonl
    modalink data preview chats.jsonl place=first media=photos --recipe my.yaml
    modalink data preview photos source=pairs captions=captions.csv
    modalink data preview my.yaml --stage instruct --html preview.html
    """
    sources, chosen = sources_of(source, settings or [], recipe, stage)
    processor = processor_of(chosen)
    for config, limit in sources:
        samples = list(preview(config, processor, count=count, max_tokens=limit))
        if html is None:
            _print(config.name, samples)
        else:
            target = html if len(sources) == 1 else html.with_stem(f"{html.stem}-{sources.index((config, limit)) + 1}")
            files.write(target, page(config.name, samples))
            print(f"{target}: {len(samples)} sample{'' if len(samples) == 1 else 's'} of {config.name}")


@data.command("cache")
def fill_cache(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that ships.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings to change, as for training.")
    ] = None,
    *,
    stage: Annotated[list[str] | None, typer.Option("--stage", help="A stage, or several; by default all.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; by default one for each accelerator, or one.")
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option("--engine", help="Processes of this machine, or of a Ray cluster.")
    ] = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell how large it would be on disk.")] = False,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", file_okay=False, help="Folder of the ledgers; by default in the cache's.")
    ] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="The same system with every part at tiny size.")] = False,
    device: Device = None,
    threads: Threads = None,
    cache: Cache = None,
    cache_bytes: Annotated[
        str | None, typer.Option("--cache-bytes", help="Most bytes in the cache's folder, for example 50GB.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Each stage's totals as a JSON line.")] = False,
) -> None:
    """Compute ahead what frozen encoders and generators make of a recipe's data, for training to find.

    What is there stays: after a stop, or when data were added, the same command computes what is missing. Training
    finds it with the same --device, --threads (on a CPU) and cache.

    \b
    modalink data cache my.yaml --dry-run
    modalink data cache my.yaml --workers 4 --threads 1 --cache features
    modalink data cache my.yaml --stage pretrain --engine ray --cache /shared/features
    """
    chosen = load(recipe, overrides or [], tiny=tiny)
    settings = run_settings(device=device, threads=threads, cache=cache, cache_bytes=cache_bytes)
    try:
        with filling.show(as_json=as_json) as on_progress:
            found = fill(
                chosen, stages=stage, settings=settings, workers=workers, engine=engine, dry=dry_run, ledgers=ledger,
                on_progress=on_progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise Interrupted("stopped; what was computed is kept, and the same command computes the rest") from None
    for totals in found:
        print(filling.as_json(totals) if as_json else "\n".join(filling.lines(totals, dry=dry_run)))
    if not as_json:
        print(filling.last_line(found, settings, dry=dry_run))
    raise typer.Exit(int(any(totals.refusal for totals in found)))


def _print(name: str, samples: list[ShownSample]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(name, markup=False, style="bold")
    for sample in samples:
        console.print(f"\n{sample.id}", markup=False, style="bold")
        _print_turns(console, sample.turns)
        if sample.prompt:
            tokens, learned, cut = sample.counts
            console.print(f"{tokens} tokens, {learned} learned" + (f", {cut} cut" if cut else ""), style="dim")
            console.print(_coloured(sample.prompt, console.is_terminal))
        for reply in sample.replies:
            console.print(reply.title, markup=False, style="dim")
            _print_turns(console, reply.turns)
        if sample.error:
            console.print(f"left out: {sample.error}", markup=False, style="red")


def _print_turns(console: Console, turns: Sequence[ShownTurn]) -> None:
    for turn in turns:
        said = "".join(piece if isinstance(piece, str) else f"({piece.label})" for piece in turn.content)
        console.print(Text(f"{turn.role}: ", "cyan"), Text(said), sep="")


def _coloured(prompt: list[tuple[str, bool]], colours: bool) -> Text:
    shown = Text()
    for text, learned in prompt:
        shown.append(f"[[{text}]]" if learned and not colours else text, "green" if learned else "dim")
    return shown
