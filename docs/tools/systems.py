"""Counts every shipped system at full size, trains its tiny form, and writes the table of docs/systems.md.

Run: `python docs/tools/systems.py`, as `make systems` does; with names of systems, only those rows are made anew. Full
sizes are counted without weights. Tiny forms learn a handful of samples of the tiny world by heart, stage after stage;
then they are asked about the first of them. Sizes of one system that have the same tiny form share a run.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from marked import Marked

import modalink
from modalink.conversation import Conversation, Medium
from modalink.errors import ModalinkError
from modalink.planning.sizes import Sizes, sizes
from modalink.recipe import Recipe, load, presets, shipped
from modalink.recipe.tiny import tiny_form
from modalink.training.train import train

PAGE = Path(__file__).parents[1] / "systems.md"
SIZES, TINY = "sizes", "tiny forms"
SAMPLES, STEPS = 6, 60
CLOSE = 0.01
"""How far a counted size may be from the published one without a word."""


@dataclass(frozen=True)
class Learned:
    """What came of training one tiny form.

    Args:
        losses: The first and the last loss of each stage.
        asked: Of each task of the last stage a question, and what is answered.
    """

    losses: dict[str, tuple[float, float]]
    asked: list[tuple[str, str]]


def main(wanted: list[str]) -> None:
    """Make the rows of these systems anew, or of all."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    failed = []
    for system in wanted or [name for name in shipped() if load(name).paper is not None]:
        names = [f"{system}-{preset}" for preset in presets(shipped()[system])] or [system]
        try:
            write(SIZES, system, [row_of_sizes(load(name)) for name in names])
            write(TINY, system, list(rows_of_tiny_forms(names)))
        except (ModalinkError, ValueError) as error:
            failed.append(f"{system}: {error}")
        print(system, flush=True)
    if failed:
        sys.exit("\n".join(failed))


def row_of_sizes(recipe: Recipe) -> str:
    """A line of the first table."""
    counted, told = sizes(recipe), recipe.published
    stages = [
        f"{stage}: {millions(count)}" + beside(count, told and told.trainable.get(stage))
        for stage, count in counted.trainable.items()
    ]
    total = millions(counted.total) + beside(counted.total, told and told.total)
    note = told.note if told else ""
    if not note and any(is_far(count, published) for count, published in compared(recipe, counted)):
        raise ValueError(f"{recipe.name}: differs from what is published, and `published.note` does not say why")
    return f"| `{recipe.name}` | {'<br>'.join(stages)} | {total} | {note} |"


def compared(recipe: Recipe, counted: Sizes) -> Iterator[tuple[int, float]]:
    """Counted sizes with those that are published."""
    told = recipe.published
    if told is not None and told.total is not None:
        yield counted.total, told.total
    for stage, size in told.trainable.items() if told else ():
        yield counted.trainable[stage], size


def is_far(count: int, published: float) -> bool:
    """Whether a counted size is not the published one."""
    return abs(count / published - 1) > CLOSE


def beside(count: int, published: float | None) -> str:
    """A published size, behind the counted one."""
    if published is None:
        return ""
    share = count / published - 1
    return f" ({millions(published)}{f', {share:+.1%}' if is_far(count, published) else ''})"


def millions(count: float) -> str:
    """A size for people, to four digits."""
    unit, name = (1e9, "B") if count >= 1e9 else (1e6, "M")
    return f"{count / unit:.4g} {name}"


def rows_of_tiny_forms(names: list[str]) -> Iterator[str]:
    """Lines of the second table: one for each form, with the recipes whose form it is."""
    forms: dict[str, list[str]] = {}
    for name in names:
        data = json.dumps(tiny_form(load(name)) | {"name": "tiny", "published": None})
        forms.setdefault(data, []).append(name)
    for data, alike in forms.items():
        found = learned(json.loads(data))
        losses = "<br>".join(f"{stage}: {a:.3g} → {b:.3g}" for stage, (a, b) in found.losses.items())
        questions, answers = ("<br>".join(texts) for texts in zip(*found.asked, strict=True))
        yield f"| {', '.join(f'`{name}`' for name in alike)} | {losses} | {questions} | {answers} |"


def learned(data: dict[str, Any]) -> Learned:
    """Train a tiny form on a few samples of each task, and ask it one of each."""
    for stage in data["stages"]:
        first, *others = stage["data"]
        chosen = [each for source in (first, *filter(asks_to_make, others)) for each in lessons(source)]
        stage |= {"data": chosen, "mixture": "concatenate", "evaluate": None, "batch": sum(map(size, chosen))}
        stage |= {"steps": STEPS, "warmup": 0, "precision": "float32", "schedule": "constant"}
    recipe = Recipe.model_validate(data)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(recipe, run)
        losses = {stage.name: ends(run / stage.name / "metrics.jsonl") for stage in recipe.stages}
        session = modalink.load(run)
        return Learned(losses, [ask(session, source) for source in recipe.stages[-1].data])


def asks_to_make(source: dict[str, Any]) -> bool:
    """Whether a source asks for media beside pictures, and for nothing else."""
    return source.get("tasks", {}).keys() == {"make"}


def lessons(source: dict[str, Any]) -> list[dict[str, Any]]:
    """A few samples of each task that a source has, about each modality of which there is that task."""
    world = source.get("of", source)
    few = []
    for task in world["tasks"]:
        # Boxes and drawings are of pictures, as judged replies are; weights are those of a mixture, which this is none.
        shows = ["image"] if task in ("draw", "locate", "region") else [*world.get("shows", ["image"])]
        lesson = world | {"tasks": [task], "count": SAMPLES * len(shows), "weight": None, "loss_weight": None}
        few.append(lesson | {"shows": shows} if "shows" in world else lesson)
    return few if world is source else [{**source, "of": each} for each in few]


def size(source: dict[str, Any]) -> int:
    """How many samples a source has."""
    count: int = source.get("of", source)["count"]
    return count


def ask(session: modalink.Session, source: Any) -> tuple[str, str]:
    """The question of the first sample of a source, and the answer; where that is not what was learned, this too."""
    sample = next(c for c in source.open() if c.turns[-1].role == "assistant")
    question, said = session.system.processor.regions.written(sample).turns[:2]
    made = session.chat(Conversation(sample.turns[:1], sample.id), max_new_tokens=60)
    answer = written(made.text, [modality for modality, _ in made.media])
    expected = written(said.text, [piece.modality for piece in said.content if isinstance(piece, Medium)])
    shown = ", ".join(piece.modality for piece in question.content if isinstance(piece, Medium))
    asked = f"({shown}) {cell(question.text)}" if shown else cell(question.text)
    return asked, answer if answer == expected else f"{answer} (learned: {expected})"


def written(text: str, made: list[str]) -> str:
    """What was said, and how many media of each modality were made."""
    told = [f"{made.count(m)} {'drawn' if m == 'image' else f'made: {m}'}" for m in dict.fromkeys(made)]
    return cell(text) + (f" (and {', '.join(told)})" if told else "")


def ends(metrics: Path) -> tuple[float, float]:
    """The first loss and the mean of the last three."""
    losses = [json.loads(line)["loss"] for line in metrics.read_text().splitlines()]
    return losses[0], sum(losses[-3:]) / 3


def cell(text: str) -> str:
    """Words as they may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def write(table: str, system: str, rows: list[str]) -> None:
    """Put a system's rows in the place of those that the page has, in the order of systems."""
    marked = Marked(PAGE, f"<!-- table of {table} -->", f"<!-- end of the table of {table} -->")
    head, kept = marked.content.splitlines()[:2], marked.content.splitlines()[2:]
    names = {system, *(f"{system}-{preset}" for preset in presets(shipped()[system]))}
    kept = [row for row in kept if row.split("`")[1] not in names]
    marked.write("\n".join([*head, *sorted([*kept, *rows], key=lambda row: row.split("`")[1])]))


if __name__ == "__main__":
    main(sys.argv[1:])
