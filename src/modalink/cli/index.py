"""`modalink index`: what a retriever finds in."""

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from modalink import files, modalities, yaml_files
from modalink.cli.media import takes_media
from modalink.cli.options import Device, Threads
from modalink.cli.progress import Answering, answering
from modalink.cli.sources import sources_of
from modalink.conversation import Medium
from modalink.errors import OptionError
from modalink.inference.indexing import build_index
from modalink.model import System, compose_without_llm
from modalink.model.device import use
from modalink.model.retrieving import embedding
from modalink.recipe import Recipe, load
from modalink.recipe.errors import Problems
from modalink.recipe.kind_field import Kinds
from modalink.roles.retriever import Found, Query, RetrieverConfig
from modalink.settings import run_settings

index = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

By = Annotated[
    str, typer.Option("--by", help="What finds: `encoder`, `words`, or a mapping of a kind and its settings, in YAML.")
]
Modality = Annotated[str | None, typer.Option("--modality", help="The media by which is found, image by default.")]
Tiny = Annotated[bool, typer.Option("--tiny", help="The recipe with every part at tiny size.")]
RecipeOption = Annotated[str, typer.Option("--recipe", help="Whose encoder finds: a recipe, or RUN/recipe.yaml.")]


@index.callback()
def _group() -> None:
    """Build an index of data for a recipe's `retrieval`, or search one."""


@index.command("build")
def build(
    source: Annotated[str, typer.Argument(help="A file, a folder or a pattern of data.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings of the source.")] = None,
    *,
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder of the index; it must not be there yet.")],
    recipe: RecipeOption = "demo",
    by: By = "encoder",
    modality: Modality = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Take the first samples only.")] = None,
    tiny: Tiny = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Build an index: an entry for each sample, with its media and what is answered in it.

    Media are copied into it. An encoder that finds must be the one of the recipe that uses the index; towers of words
    and media are their own. Stopped, the same command resumes.

    \b
    modalink index build photos source=pairs captions=captions.csv --recipe my.yaml --out runs/index
    modalink index build facts.jsonl --by words --out runs/facts
    modalink index build photos source=folder --by "{kind: towers, checkpoint: openai/clip-vit-base-patch32}" \\
        --out runs/photos
    """
    chosen = load(recipe, tiny=tiny)
    config = _retriever(by, modality, out)
    (given, _), *more_sources = sources_of(source, settings or [], recipe, None)[0]
    if more_sources:
        raise OptionError(
            f"{source}: found {1 + len(more_sources)} sources of a recipe, needed one; name its data and their settings"
        )
    system = _system(chosen, device, threads) if config.embeds() is not None else None
    with answering(Console(stderr=True, highlight=False), f"{out}: indexing", "samples taken") as line:
        done = build_index(given, config, system, limit=limit, on_taken=partial(_tell, line))
    if done.resumed:
        print(f"resumed after {done.resumed} samples")
    for why in done.left_out[:20]:
        print(f"left out: {why}")
    more = f", {len(done.left_out)} samples left out" if done.left_out else ""
    print(f"{out}: {len(done.index)} entries{more}")
    print(f"  in a recipe: retrieval: {{retriever: {{{_line(config)}}}}}")


@index.command("search")
@takes_media
def search(
    folder: Annotated[str, typer.Argument(metavar="INDEX", help="Folder of the index.")],
    words: Annotated[str, typer.Argument(help="What is said.")] = "",
    *,
    media: list[Medium],
    recipe: RecipeOption = "demo",
    by: By = "encoder",
    modality: Modality = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Entries to show.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    tiny: Tiny = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Show the entries that lie nearest, the nearest first.

    \b
    modalink index search runs/index --image a.png --recipe my.yaml
    modalink index search runs/facts "how tall is the tower?" --by words
    """
    config = _retriever(by, modality, files.named(folder, OptionError))
    _demand(config.looks_at(), {medium.modality for medium in media} | ({"words"} if words.strip() else set()))
    system = _system(load(recipe, tiny=tiny), device, threads) if config.embeds() is not None else None
    retriever = config.build(None if system is None else embedding(config, system.model, system.processor))
    query = Query(words, tuple((m.modality, modalities.get(m.modality).open(m.source)) for m in media))
    for found in retriever.search(query, count):
        print(_as_json(found) if as_json else _shown(found))


def _retriever(by: str, modality: str | None, folder: Path) -> RetrieverConfig:
    """The retriever that is named or described, over a folder.

    Raises:
        OptionError: Its settings cannot be.
    """
    value = yaml_files.parse(by, f"--by {by}", OptionError).data
    given = dict(value) if isinstance(value, dict) else {"kind": value}
    given |= {"index": str(folder)} | ({} if modality is None else {"modality": modality})
    try:
        config = Kinds(RetrieverConfig.room).parse(given)
    except Problems as error:
        raise OptionError(f"--by {by}: {error}") from None
    assert isinstance(config, RetrieverConfig)
    return config


def _demand(looks_at: Collection[str], given: Collection[str]) -> None:
    """Demand something that a retriever looks at."""
    if not looks_at or not {*looks_at}.isdisjoint(given):
        return
    if looks_at == {"words"}:
        raise OptionError("found no words to look for, needed some behind the index")
    media = " or ".join(f"--{modality} FILE" for modality in sorted({*looks_at} - {"words"}))
    words = "words behind the index, or " if "words" in looks_at else ""
    raise OptionError(f"found nothing to look at, needed {words}{media}; or find by --by words")


def _tell(line: Answering, taken: int, number: int | None) -> None:
    if number is None:
        line.say(f"{taken} samples taken")
    else:
        line.tell(taken, number)


def _system(recipe: Recipe, device: str | None, threads: int | None) -> System:
    place = use(run_settings(device=device, threads=threads))
    system = compose_without_llm(recipe.model_copy(update={"retrieval": None}))
    for encoder in system.model.model.encoders.values():
        encoder.to(place)
    return system


def _line(config: RetrieverConfig) -> str:
    said = {"kind": config.kind} | config.model_dump(mode="json", exclude_defaults=True)
    return ", ".join(f"{key}: {value}" for key, value in said.items())


def _shown(found: Found) -> str:
    files = "".join(f"\n      {modality}: {path}" for modality, path in found.media)
    return f"{found.score:.3f} {found.source}: {' '.join(found.text.split())}{files}"


def _as_json(found: Found) -> str:
    media = [{"modality": modality, "path": str(path)} for modality, path in found.media]
    fields = {"score": found.score, "source": found.source, "text": found.text, "media": media}
    return json.dumps({"number": found.number, **fields}, ensure_ascii=False)
