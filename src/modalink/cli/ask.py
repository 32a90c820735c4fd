"""`modalink ask`: one question, one answer."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from modalink.cli.media import takes_media
from modalink.cli.option_groups import takes_loading, takes_sampling, tells_media
from modalink.cli.watching import watched
from modalink.conversation import Conversation, Medium, Region
from modalink.errors import OptionError
from modalink.inference import Answer, Destination, asked, load

Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="L,T,R,B",
        help="A box (or a point, X,Y) of the last picture, in its pixels, for a <bbox> of the question; may be "
        "repeated.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER|FILE|PATTERN",
        help="Where the media go that the answer makes, by default this folder: a folder, a file such as cat.mp4, or a "
        "pattern such as films/{number}-{modality}.mp4. A picture with the regions that the answer names is only "
        "written where this is given.",
    ),
]
Feedback = Annotated[
    list[str] | None,
    typer.Option(
        "--feedback",
        metavar="TEXT",
        help="What the answer should do better: it is answered again in the light of this; may be repeated. The last "
        "answer is printed, those before stand beside it.",
    ),
]


@takes_media
@takes_loading
@takes_sampling
@tells_media
def ask(
    run: Annotated[str, typer.Argument(help="A run folder, or a hub id of a saved system.")],
    question: Annotated[str, typer.Argument(help="What to ask, or what to draw.")],
    *,
    media: list[Medium],
    region: Regions = None,
    feedback: Feedback = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="The answer as a JSON object.")] = False,
    sampling: dict[str, Any],
    beams: Annotated[int, typer.Option(min=1, help="Answers to follow side by side.")] = 1,
    making: dict[str, Any],
    loading: dict[str, Any],
) -> None:
    """Ask a trained run one question; media that it makes are written beside.

    \b
    modalink ask runs/demo "What is left of the cube?" --image a.png
    modalink ask runs/demo "What is left of the cube?" --media image=a.png
    modalink ask runs/demo "Draw a small red circle." --out drawings --steps 30 --negative "two circles"
    modalink ask runs/demo "Draw a small red circle." --out circle.webp
    modalink ask runs/grounding "What is in <bbox>?" --image a.png --region 10,20,200,120
    modalink ask runs/dress "What is on the table?" --image a.png --feedback "There is no cup in the picture."
    """
    words = asked(question, media, regions=[_region(text) for text in region or ()])
    _demand_words(feedback or [])
    destination = Destination.of(str(out or "."))
    session = load(run, **loading)
    destination.check(session.makes)
    before: list[Answer] = []
    with watched() as watch:

        def say(words: Conversation) -> Answer:
            return session.chat(words, watch=watch, beams=beams, **sampling, **making)

        answer = say(words)
        for text in feedback or ():
            before.append(answer)
            answer = say(asked(text, after=answer.conversation))
    paths = answer.save_media(destination)
    drawn = None if out is None else answer.save_annotated(destination.folder)
    if as_json:
        told = {"before": [one.text for one in before]} if before else {}
        print(json.dumps(_data(answer, paths, drawn) | told, ensure_ascii=False))
    else:
        _print(answer, paths, drawn)
    for number, one in enumerate(before, 1):
        print(f"answer {number}, before feedback: {one.text}", file=sys.stderr)
    for note in (*destination.notes(answer.media), *_notes(answer, sampling["max_new_tokens"])):
        print(f"note: {note}", file=sys.stderr)


def _print(answer: Answer, paths: Sequence[Path], drawn: Path | None) -> None:
    """The answer's texts and files in their order, one a line."""
    names = iter(paths)
    for piece in answer.content:
        if isinstance(piece, Medium):
            print(f"{piece.modality}: {next(names)}")
        elif text := piece.text.strip():
            print(text)
    if drawn is not None:
        print(f"regions: {drawn}")


def _notes(answer: Answer, max_new_tokens: int) -> Iterator[str]:
    yield from answer.notes
    yield from (f"not read as a place in the picture: {unread}" for unread in answer.unread)
    if not answer.complete:
        yield f"the answer was cut at {max_new_tokens} tokens; see --max-new-tokens"


def _demand_words(feedback: Sequence[str]) -> None:
    for text in feedback:
        if not text.strip():
            raise OptionError('--feedback: found an empty text, needed words: --feedback "It is not red."')


def _region(text: str) -> Region:
    try:
        return Region((tuple(float(number) for number in text.split(",")),))
    except ValueError:
        raise OptionError(
            f"--region: found {text!r:.80}, needed L,T,R,B of a box or X,Y of a point, in pixels: 10,20,200,120"
        ) from None


def _data(answer: Answer, paths: Sequence[Path], drawn: Path | None) -> dict[str, Any]:
    """The answer as JSON data; what tells of places only where it names some."""
    names = map(str, paths)
    told = iter([{"seed": made.seed, **made.options} for made in answer.made if not made.missing])
    content = [
        {"type": piece.modality, "path": next(names), **next(told, {})}
        if isinstance(piece, Medium)
        else {"type": "text", "text": piece.text}
        for piece in answer.content
    ]
    media = [{"modality": block["type"], "path": block["path"]} for block in content if "path" in block]
    data: dict[str, Any] = {"text": answer.text, "complete": answer.complete, "content": content, "media": media}
    if answer.regions:
        data["regions"] = [{"areas": region.areas, "phrase": region.phrase} for region in answer.regions]
    if answer.unread:
        data["unread"] = answer.unread
    if answer.notes:
        data["notes"] = answer.notes
    return data | ({} if drawn is None else {"annotated": str(drawn)})
