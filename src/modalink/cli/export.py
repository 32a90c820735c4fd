"""`modalink export`: a trained run as a folder that others load."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from modalink.cli.options import Best
from modalink.interop.export import Target
from modalink.interop.export import export as export_run
from modalink.interop.options import ExportOptions


def export(
    run: Annotated[str, typer.Argument(help="A run folder, or a hub id of a saved system.")],
    *,
    to: Annotated[
        Target,
        typer.Option(
            "--to",
            help="`llava`: transformers' LLaVA or LLaVA-NeXT, which servers know; `hf`: the run's own artefact.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder to write, new or empty.")],
    lora: Annotated[
        Literal["merged", "beside"],
        typer.Option("--lora", help="LoRA merged into the LLM, or beside it as an adapter folder of peft."),
    ] = "merged",
    self_contained: Annotated[
        bool, typer.Option("--self-contained", help="With --to hf: copy untouched parts into the folder.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Load what was written, and compare its logits with the run's.")
    ] = True,
    shard: Annotated[str, typer.Option("--shard", help="Largest weight file, such as 5GB.")] = "5GB",
    best: Best = False,
    as_json: Annotated[bool, typer.Option("--json", help="Where it lies as a JSON object.")] = False,
) -> None:
    """Write a trained run as a folder that others load, with a model card.

    A run of an image encoder, linear maps and a causal LM becomes LLaVA, for vLLM, SGLang and transformers. What LLaVA
    cannot hold is refused, part by part.

    \b
    modalink export runs/mine --to llava --out exports/mine
    modalink export runs/mine --to llava --lora beside --out exports/mine
    modalink export runs/mine --to hf --self-contained --out exports/mine
    """
    options = ExportOptions(lora=lora, self_contained=self_contained, check=check, shard=shard)
    folder = export_run(run, out, to=to, best=best, options=options)
    if as_json:
        written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        print(json.dumps({"folder": str(folder), "to": to, "files": written}))
    else:
        print(f"wrote {folder}; its README.md says how it is loaded")
