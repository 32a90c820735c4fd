"""`modalink ask`: one question, one answer."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from modalink.cli.media import takes_media
from modalink.cli.options import Best, Device, Threads
from modalink.conversation import Medium
from modalink.inference import asked, load


@takes_media
def ask(
    run: Annotated[str, typer.Argument(help="A run folder, or a hub id of a saved system.")],
    question: Annotated[str, typer.Argument(help="What to ask, or what to draw.")],
    *,
    media: list[Medium],
    out: Annotated[
        Path, typer.Option("--out", file_okay=False, help="Folder for the media that the answer makes.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="The answer as a JSON object.")] = False,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0, help="0: the likeliest words; higher: freer.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Share of the probability to draw from.")] = 1.0,
    beams: Annotated[int, typer.Option(min=1, help="Answers to follow side by side.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of words and media.")] = 0,
    guidance: Annotated[float | None, typer.Option(min=0, help="Classifier-free guidance of the media.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps of the media.")] = None,
    best: Best = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Ask a trained run one question; media that it makes are written beside.

    \b
    modalink ask runs/demo "What is left of the cube?" --image a.png
    modalink ask runs/demo "What is left of the cube?" --media image=a.png
    modalink ask runs/demo "Draw a small red circle." --out drawings
    """
    answer = load(run, best=best, device=device, threads=threads).chat(
        asked(question, media), max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, beams=beams,
        seed=seed, guidance=guidance, steps=steps,
    )  # fmt: skip
    paths = answer.save_media(out)
    made = [(modality, str(path)) for (modality, _), path in zip(answer.media, paths, strict=True)]
    if as_json:
        files = [{"modality": modality, "path": path} for modality, path in made]
        print(json.dumps({"text": answer.text, "complete": answer.complete, "media": files}, ensure_ascii=False))
        return
    for line in ([answer.text] if answer.text else []) + [f"{modality}: {path}" for modality, path in made]:
        print(line)
    if not answer.complete:
        print(f"note: the answer was cut at {max_new_tokens} tokens; see --max-new-tokens", file=sys.stderr)
