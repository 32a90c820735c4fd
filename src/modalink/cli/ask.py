"""`modalink ask`: one question, one answer."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from modalink.cli.media import takes_media, tells_media
from modalink.cli.options import Best, Device, Threads
from modalink.conversation import Medium, Region
from modalink.errors import OptionError
from modalink.inference import Answer, asked, load


@tells_media
@takes_media
def ask(
    run: Annotated[str, typer.Argument(help="A run folder, or a hub id of a saved system.")],
    question: Annotated[str, typer.Argument(help="What to ask, or what to draw.")],
    *,
    media: list[Medium],
    region: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="L,T,R,B",
            help="A box (or a point, X,Y) of the last picture, in its pixels, for a <bbox> of the question; may be "
            "repeated.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            file_okay=False,
            help="Folder for the media that the answer makes, by default this one; and for the picture with the "
            "regions that it names, which is only written to a folder that is given.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The answer as a JSON object.")] = False,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0, help="0: the likeliest words; higher: freer.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Share of the probability to draw from.")] = 1.0,
    beams: Annotated[int, typer.Option(min=1, help="Answers to follow side by side.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of words and media.")] = 0,
    making: dict[str, Any],
    best: Best = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Ask a trained run one question; media that it makes are written beside.

    \b
    modalink ask runs/demo "What is left of the cube?" --image a.png
    modalink ask runs/demo "What is left of the cube?" --media image=a.png
    modalink ask runs/demo "Draw a small red circle." --out drawings --steps 30 --negative "two circles"
    modalink ask runs/grounding "What is in <bbox>?" --image a.png --region 10,20,200,120
    """
    words = asked(question, media, regions=[_region(text) for text in region or ()])
    answer = load(run, best=best, device=device, threads=threads).chat(
        words, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, beams=beams, seed=seed, **making
    )
    paths = answer.save_media(out or Path())
    made = [(modality, str(path)) for (modality, _), path in zip(answer.media, paths, strict=True)]
    drawn = None if out is None else answer.save_annotated(out)
    if as_json:
        print(json.dumps(_data(answer, made, drawn), ensure_ascii=False))
        return
    _print(answer, made, drawn)
    if not answer.complete:
        print(f"note: the answer was cut at {max_new_tokens} tokens; see --max-new-tokens", file=sys.stderr)


def _print(answer: Answer, made: list[tuple[str, str]], drawn: Path | None) -> None:
    files = [*made, ("regions", str(drawn))] if drawn is not None else made
    for line in ([answer.text] if answer.text else []) + [f"{name}: {path}" for name, path in files]:
        print(line)
    for unread in answer.unread:
        print(f"note: not read as a place in the picture: {unread}", file=sys.stderr)


def _region(text: str) -> Region:
    try:
        return Region((tuple(float(number) for number in text.split(",")),))
    except ValueError:
        raise OptionError(
            f"--region: found {text!r:.80}, needed L,T,R,B of a box or X,Y of a point, in pixels: 10,20,200,120"
        ) from None


def _data(answer: Answer, made: list[tuple[str, str]], drawn: Path | None) -> dict[str, Any]:
    """The answer as JSON data; what tells of places only where it names some."""
    data: dict[str, Any] = {"text": answer.text, "complete": answer.complete}
    data["media"] = [{"modality": modality, "path": path} for modality, path in made]
    if answer.regions:
        data["regions"] = [{"areas": region.areas, "phrase": region.phrase} for region in answer.regions]
    if answer.unread:
        data["unread"] = answer.unread
    return data | ({} if drawn is None else {"annotated": str(drawn)})
