"""Measures what feedback on drawings is worth, and writes the table of docs/feedback-media.md.

Run: `python docs/tools/feedback_media.py RUN [METHOD ...]`, with a finished run of the demo. It begins where the demo's
stage `instruct-drawing` ended, before the last one taught it the rest: there drawings have room to grow. Each method
goes on from there, and then it is asked for drawings of held-out scenes. What stands in them is told by the zoo's scene
classifier, which no reward ever saw: pairs are right by rules, and rewards are the finished run's reading of captions.
The runs are kept in `runs/feedback-media/`, and resume where they were stopped.
"""

import json
import sys
from pathlib import Path
from typing import Any

from marked import Marked

from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world import drawings
from modalink.evaluation.tiny_world.ask import conversation_about
from modalink.inference.loading import load_system
from modalink.model import compose
from modalink.recipe import Recipe, load
from modalink.training.train import train
from modalink.training.weights import find_lent, initialise
from modalink.zoo.scene_classifier import SceneClassifier

ROOT = Path(__file__).parents[2]
TABLE = Marked(
    ROOT / "docs" / "feedback-media.md", "<!-- feedback on drawings: begin -->", "<!-- feedback on drawings: end -->"
)
FOLDER = ROOT / "runs" / "feedback-media"
ASKED = 250

START = "instruct-drawing"
DRAWING = [{"source": "tiny_world", "count": 4000, "seed": 11, "tasks": ["draw"]}]
PAIRS = [{"source": "tiny_world_preferences", "count": 4000, "seed": 11, "tasks": ["draw"]}]
LEARNS = {"outputs.image.projector": {"lr": 3e-4}}
RUN = "RUN"
"""Stands for the finished run in what follows."""
READING = [{"kind": "reading", "run": RUN}]
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "pairs": (
        "60 steps on 24 pairs of pictures (`diffusion_dpo`)",
        {
            "kind": "preference",
            "data": PAIRS,
            "objectives": [{"kind": "diffusion_dpo", "beta": 500}],
            "batch": 24,
            "steps": 60,
            "schedule": "cosine",
        },
    ),
    "conditions": (
        "24 steps on 80 drawings by policy gradient on conditions (`condition_policy`)",
        {
            "kind": "online_media",
            "rewards": READING,
            "objectives": [{"kind": "condition_policy", "sigma": 0.2, "steps": 6, "guidance": 3.0}],
            "batch": 10,
            "media": 8,
            "beside": 80,
            "steps": 24,
        },
    ),
}


def main(run: str, *methods: str) -> None:
    """Train what is missing, ask each system, and write the table."""
    start = start_of(run)
    rows = [_row("where it begins", measured(start, start / "drawings.json"))]
    for name in methods or METHODS:
        what, stage = METHODS[name]
        folder = FOLDER / f"{Path(run).name}-{name}"
        train(recipe_of(run, start, stage), folder)
        rows.append(_row(what, measured(folder, folder / "drawings.json")))
    head = "| | objects right | whole pictures right |\n| --- | --- | --- |"
    TABLE.write("\n".join([head, *rows]))


def start_of(run: str) -> Path:
    """The demo as it was when its stage `instruct-drawing` ended, as a saved system."""
    folder = FOLDER / f"{Path(run).name}-start"
    if not folder.exists():
        recipe = load("demo").to_dict() | {"init": {"from": run, "stage": START}, "provenance": {}}
        chosen = Recipe.model_validate(recipe)
        system = compose(chosen, seed=0)
        initialise(system.model, find_lent(chosen, print)[None])
        system.save(folder)
    return folder


def recipe_of(run: str, start: Path, stage: dict[str, Any]) -> Recipe:
    """The demo's recipe with one stage, which goes on from there."""
    given = {"name": "feedback", "train": LEARNS, "data": DRAWING, "precision": "float32", "schedule": "constant"}
    own = json.loads(json.dumps(stage).replace(f'"{RUN}"', json.dumps(run)))
    return Recipe.model_validate(
        load("demo").to_dict() | {"init": {"from": str(start)}, "stages": [given | own], "provenance": {}}
    )


def measured(run: Path, kept: Path) -> dict[str, list[float]]:
    """What is right in drawings of held-out scenes, as the demo's evaluation has it; computed once."""
    if not kept.exists():
        system, requested = load_system(run), drawings.request("test", ASKED, seed=0)
        answers = list(replies(system, [conversation_about(None, item.text) for item in requested]))
        conditions = [next(iter(answer.conditions.get("image", ())), None) for answer in answers]
        sampled = iter(drawings.sample(system.generators["image"], [one for one in conditions if one is not None], 0))
        pictures = [None if one is None else next(sampled) for one in conditions]
        texts = [answer.text for answer in answers]
        scored = drawings.score(drawings.read_drawings(SceneClassifier.load(), requested, texts, pictures))
        shares = {name: [share.value, *share.interval] for name, share in scored.items()}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(shares, indent=1))
    found: dict[str, list[float]] = json.loads(kept.read_text())
    return found


def _row(what: str, shares: dict[str, list[float]]) -> str:
    cells = [
        f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        for value, low, high in (shares["drawn_objects"], shares["drawn_pictures"])
    ]
    return f"| {what} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
