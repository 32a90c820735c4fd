"""`modalink index`: what a retriever finds in."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from modalink import files, modalities
from modalink.cli.media import takes_media
from modalink.cli.options import Device, Threads
from modalink.cli.sources import sources_of
from modalink.conversation import Medium
from modalink.errors import OptionError
from modalink.inference.indexing import build_index
from modalink.kinds import parse
from modalink.model import System, compose_without_llm
from modalink.model.device import use
from modalink.model.retrieving import embedding
from modalink.recipe import Recipe, load
from modalink.roles.retriever import Found, Query, RetrieverConfig
from modalink.settings import run_settings

index = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

By = Annotated[
    Literal["encoder", "words"], typer.Option("--by", help="What finds: an encoder of the recipe, or the words alone.")
]
Modality = Annotated[str, typer.Option("--modality", help="The input whose encoder finds.")]
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
    modality: Modality = "image",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Take the first samples only.")] = None,
    tiny: Tiny = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Build an index: an entry for each sample, with its media and what is answered in it.

    Media are copied into it. The encoder that finds must be the one of the recipe that uses the index.

    \b
    modalink index build photos source=pairs captions=captions.csv --recipe my.yaml --out runs/index
    modalink index build facts.jsonl --by words --out runs/facts
    """
    chosen = load(recipe, tiny=tiny)
    config = _retriever(by, modality, out)
    (given, _), *more_sources = sources_of(source, settings or [], recipe, None)[0]
    if more_sources:
        raise OptionError(
            f"{source}: found {1 + len(more_sources)} sources of a recipe, needed one; name its data and their settings"
        )
    system = _system(chosen, device, threads) if by == "encoder" else None
    done = build_index(given, config, system, limit=limit)
    for line in done.left_out[:20]:
        print(f"left out: {line}")
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
    modality: Modality = "image",
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
    if by == "encoder" and not any(medium.modality == modality for medium in media):
        raise OptionError(f"found nothing to look at, needed --{modality} FILE; or find by --by words")
    if by == "words" and not words:
        raise OptionError("found no words to look for, needed some behind the index")
    system = _system(load(recipe, tiny=tiny), device, threads) if by == "encoder" else None
    retriever = config.build(None if system is None else embedding(config, system.model, system.processor))
    query = Query(words, tuple((m.modality, modalities.get(m.modality).open(m.source)) for m in media))
    for found in retriever.search(query, count):
        print(_as_json(found) if as_json else _shown(found))


def _retriever(by: str, modality: str, folder: Path) -> RetrieverConfig:
    given = {"kind": by, "index": str(folder)} | ({"modality": modality} if by == "encoder" else {})
    config = parse(RetrieverConfig.room, given)
    assert isinstance(config, RetrieverConfig)
    return config


def _system(recipe: Recipe, device: str | None, threads: int | None) -> System:
    place = use(run_settings(device=device, threads=threads))
    system = compose_without_llm(recipe.model_copy(update={"retrieval": None}))
    for encoder in system.model.model.encoders.values():
        encoder.to(place)
    return system


def _line(config: RetrieverConfig) -> str:
    return ", ".join(f"{key}: {value}" for key, value in config.model_dump(mode="json").items())


def _shown(found: Found) -> str:
    files = "".join(f"\n      {modality}: {path}" for modality, path in found.media)
    return f"{found.score:.3f} {found.source}: {' '.join(found.text.split())}{files}"


def _as_json(found: Found) -> str:
    media = [{"modality": modality, "path": str(path)} for modality, path in found.media]
    fields = {"score": found.score, "source": found.source, "text": found.text, "media": media}
    return json.dumps({"number": found.number, **fields}, ensure_ascii=False)
