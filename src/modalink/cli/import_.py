"""`modalink import`: a released checkpoint becomes a run."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from modalink.cli.options import Device, Threads, run_option
from modalink.interop.importing import recipe_of
from modalink.runs.facts import read_manifest
from modalink.settings import run_settings
from modalink.training.train import train


def import_(
    source: Annotated[str, typer.Argument(help="A folder that transformers saved, or authors, or a hub id.")],
    *,
    run: Annotated[Path, run_option("Folder of the run.")],
    revision: Annotated[str | None, typer.Option("--revision", help="Commit or tag of a hub id.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the system; by default that of the checkpoint.")
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", help="Prompt template; by default the tokenizer's own.")
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option("--llm", help="The LLM of a checkpoint that holds none (OpenFlamingo)."),
    ] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", help="The encoder of one that holds none.")] = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was imported, as a JSON object.")] = False,
) -> None:
    """Make a run of a released checkpoint, which is asked, evaluated and trained on like any other.

    \b
    modalink import llava-hf/llava-1.5-7b-hf --run runs/llava
    modalink import ~/checkpoints/my-llava --run runs/mine --template vicuna-v1.1
    modalink import openflamingo/OpenFlamingo-4B-vitl-rpj3b --run runs/flamingo
    modalink import ~/checkpoints/my-flamingo --llm facebook/opt-1.3b --run runs/mine
    modalink ask runs/llava "What is this?" --image a.png
    """
    recipe = recipe_of(source, revision, name=name, template=template, llm=llm, encoder=encoder)
    train(recipe, run, settings=run_settings(device=device, threads=threads, track="off"))
    manifest = read_manifest(run / "manifest.json")
    found = {"run": str(run), "name": recipe.name, "prompt": recipe.prompt.template}
    found |= {key: manifest[key] for key in ("parts", "licence")}
    print(json.dumps(found, ensure_ascii=False) if as_json else _text(found))


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['name']} in {found['run']}, prompt template {found['prompt']}"]
    for part in found["parts"]:
        if "kind" in part:
            lines.append(f"  {part['part']:<24} {part['kind']:<12} {part['parameters']:>16,} parameters")
    lines.append(f"licence: {found['licence']}")
    return "\n".join([*lines, f'next: modalink ask {found["run"]} "What is this?" --image a.png'])
