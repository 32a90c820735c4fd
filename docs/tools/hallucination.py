"""Measures how far preferences cure a system of seeing what is not there, and writes the table of docs/feedback.md.

    python docs/tools/hallucination.py DEMO [DEMO ...] [--methods dpo kto] [--folder runs/hallucination]

DEMO is a finished run of the demo, one for each seed. Of each a reader is made to hallucinate: it learns captions of
which most name an object that is not there. Then it learns by each method from the same 2,000 pairs, which rules make:
the right caption beside one with an invented object or a wrong attribute. All describe the same held-out pictures.
`--choose` tries rates of learning on the validation split, of the first seed alone, and writes no table. What is
finished is not done again: runs and captions are kept in the folder.
"""

import argparse
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from jaxtyping import Float
from marked import Marked
from PIL import Image

from modalink.conversation import Medium, Text
from modalink.data.preference import Preference
from modalink.data.reading import in_order
from modalink.data.sources.tiny_world_preferences import TinyWorldPreferencesConfig
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world import captions
from modalink.evaluation.tiny_world.ask import conversation_about
from modalink.inference.loading import load_system
from modalink.recipe import Recipe, load
from modalink.scoring import bootstrap
from modalink.scoring.bootstrap import Sums
from modalink.tiny_world import WorldObject, caption_request, render, sample_scene
from modalink.training.train import train

ROOT = Path(__file__).parents[2]
TABLE = Marked(ROOT / "docs" / "feedback.md", "<!-- hallucination: begin -->", "<!-- hallucination: end -->")
INVENTING, PAIRS, BATCH, STEPS, ASKED = 1600, 2000, 16, 125, 500
"""How many captions with invented objects it learns, how many pairs there are, how many are learned from at once, how
often (each pair is seen once), and how many pictures it describes."""
RATES = (1e-4, 3e-4, 1e-3)
PART = ["inputs.image.projector", "llm.lora"]
REPLY = {"kind": "language", "per": "reply"}
METHODS: dict[str, tuple[list[dict[str, Any]], float]] = {
    "better replies alone": ([REPLY], 1e-3),
    "dpo": ([{"kind": "dpo"}], 5e-5),
    "ddpo": ([{"kind": "ddpo"}], 5e-5),
    "mdpo": ([{"kind": "mdpo"}], 5e-5),
    "povid": ([{"kind": "povid"}], 1e-4),
    "v_dpo": ([{"kind": "v_dpo"}], 5e-5),
    "mpo": ([{"kind": "dpo", "weight": 0.8}, {"kind": "bco", "weight": 0.2}, REPLY], 3e-4),
    "kto": ([{"kind": "kto"}], 3e-5),
    "simpo": ([{"kind": "simpo"}], 5e-5),
    "orpo": ([{"kind": "orpo", "weight": 0.1}, REPLY], 1e-3),
}
"""Method -> its objectives, and its rate of learning, which `--choose` helps to find."""
Counts = dict[str, list[int]]
"""Of each picture: objects that its caption invents, attributes that it says rightly, and attributes there are."""


def main() -> None:
    """Train what is missing, let all describe, and write the table."""
    given = arguments()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    if given.choose:
        return choose(given.demos[0], given.methods, given.rates, given.steps, given.folder)
    found: dict[str, list[Counts]] = {}
    for seed, demo in enumerate(given.demos):
        spoilt = train(spoiling(demo, seed, given.folder), given.folder / f"spoilt-{seed}")
        found.setdefault("hallucinating", []).append(described(spoilt, "test"))
        for name in given.methods:
            objectives, lr = METHODS[name]
            recipe = learning(spoilt, objectives, lr, given.steps, seed)
            run = train(recipe, given.folder / key(name, lr, given.steps, seed))
            found.setdefault(name, []).append(described(run, "test"))
            print(row(name, found[name], found["hallucinating"]), flush=True)
    TABLE.write(table(found))
    print(TABLE.content)


def arguments() -> argparse.Namespace:
    """What stands on the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("demos", nargs="+", type=Path, help="finished runs of the demo, one for each seed")
    options.add_argument("--methods", nargs="+", choices=[*METHODS], default=[*METHODS])
    options.add_argument("--steps", type=int, default=STEPS, help=f"steps of {BATCH} pairs; {STEPS} see each once")
    options.add_argument("--folder", type=Path, default=ROOT / "runs" / "hallucination")
    options.add_argument("--rates", nargs="+", type=float, default=RATES, help="what --choose tries")
    options.add_argument("--choose", action="store_true", help="try rates of learning on the validation split")
    return options.parse_args()


def choose(demo: Path, methods: Sequence[str], rates: Sequence[float], steps: int, folder: Path) -> None:
    """What each method reaches at each rate, on the validation split."""
    spoilt = train(spoiling(demo, 0, folder), folder / "spoilt-0")
    before = [described(spoilt, "validation")]
    print(row("hallucinating", before, before), flush=True)
    for name in methods:
        for lr in rates:
            run = train(learning(spoilt, METHODS[name][0], lr, steps, 0), folder / key(name, lr, steps, 0))
            print(row(f"{name} {lr:g}", [described(run, "validation")], before), flush=True)


def key(name: str, lr: float, steps: int, seed: int) -> str:
    """How the folder of a run is called."""
    return f"{name.replace(' ', '-')}-{lr:g}-{steps}-{seed}"


def spoiling(demo: Path, seed: int, folder: Path) -> Recipe:
    """The demo as a reader, which learns to name what is not there."""
    data = write_inventing(folder, seed)
    stage = {
        "name": "spoil",
        "init": {"from": str(demo), "groups": PART},
        "train": {group: {"lr": 1e-3} for group in PART},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": str(data)}],
        "batch": 2 * BATCH,
        "epochs": 1,
        "precision": "float32",
    }
    return reader(stage, seed)


def learning(spoilt: Path, objectives: Sequence[Mapping[str, Any]], lr: float, steps: int, seed: int) -> Recipe:
    """The same, which learns from pairs."""
    stage = {
        "name": "prefer",
        "kind": "preference",
        "init": {"from": str(spoilt), "groups": PART},
        "train": {group: {"lr": lr} for group in PART},
        "objectives": [*objectives],
        "data": [{"source": "tiny_world_preferences", "count": PAIRS, "seed": seed, "tasks": ["caption"]}],
        "batch": BATCH,
        "steps": steps,
        "precision": "float32",
    }
    return reader(stage, seed)


def reader(stage: dict[str, Any], seed: int) -> Recipe:
    """The demo's recipe without what it makes."""
    changes = {"name": "hallucination", "outputs": {}, "stages": [stage], "provenance": {}, "seed": seed}
    return Recipe.model_validate(load("demo").to_dict() | changes)


def write_inventing(folder: Path, seed: int) -> Path:
    """Write captions of which each names none, one or two objects that are not there; and where they are written."""
    path, pictures = folder / f"inventing-{seed}.jsonl", folder / "pictures"
    if path.exists():
        return path
    pictures.mkdir(parents=True, exist_ok=True)
    draw, lines = np.random.default_rng(seed), []
    for number, pair in enumerate(inventing_pairs(seed)):
        (shown,) = [piece for piece in pair.prompt[0].content if isinstance(piece, Medium)]
        asked = "".join(piece.text for piece in pair.prompt[0].content if isinstance(piece, Text)).strip()
        side = pair.sides[draw.choice(3, p=(0.2, 0.5, 0.3))]
        said = "".join(piece.text for piece in side.reply[0].content if isinstance(piece, Text))
        picture = pictures / f"{seed}-{number}.png"
        Image.fromarray(shown.source).save(picture)
        turns = [{"role": "user", "content": f"<image>\n{asked}"}, {"role": "assistant", "content": said}]
        lines.append(json.dumps({"messages": turns, "images": [str(picture)]}) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def inventing_pairs(seed: int) -> Iterator[Preference]:
    """Of each picture the right caption, one with an object that is not there, and one with two."""
    settings = {"count": INVENTING, "seed": 1000 + seed, "tasks": ["caption"], "faults": ["invented"], "replies": 3}
    for pair in in_order(TinyWorldPreferencesConfig.model_validate(settings)):
        assert isinstance(pair, Preference)
        yield pair


def described(run: Path, split: str) -> Counts:
    """What a system says of held-out pictures, counted; kept in its run."""
    kept = run / f"described-{split}.json"
    if not kept.exists():
        scenes, draw = [sample_scene(i, split) for i in range(ASKED)], np.random.default_rng(0)
        asked = [conversation_about(render(scene), caption_request(draw)) for scene in scenes]
        texts = [reply.text for reply in replies(load_system(run), asked)]
        rows = [counted(scene.objects, text) for scene, text in zip(scenes, texts, strict=True)]
        counts = dict(zip(("invented", "right", "attributes"), map(list, zip(*rows, strict=True)), strict=True))
        kept.write_text(json.dumps({**counts, "texts": texts}), encoding="utf-8")
    found: Counts = json.loads(kept.read_text(encoding="utf-8"))
    return found


def counted(objects: Sequence[WorldObject], text: str) -> tuple[int, int, int]:
    """Objects that a caption invents, attributes of those that are there that it says rightly, and how many there are.

    A mention is of the object that it fits best, no two of the same one. One that is of none is invented, and so is one
    that has neither its object's place nor both its shape and colour.
    """
    mentions = captions.parse(text)
    pairs = [(set(captions.hits(*pair)), pair[1]) for pair in captions.paired(objects, mentions)]
    meant = sum("cell" in hits or {"shape", "colour"} <= hits for hits, _ in pairs)
    right = sum(len(hits) for hits, _ in pairs)
    return len(mentions) - meant, right, len(captions.ATTRIBUTES) * len(objects)


def table(found: Mapping[str, Sequence[Counts]]) -> str:
    """A line for each system."""
    head = "| learned by | invented objects a caption | fall | right attributes | change, points |"
    return "\n".join([head, "|" + " --- |" * 5, *(row(n, own, found["hallucinating"]) for n, own in found.items())])


def row(name: str, own: Sequence[Counts], before: Sequence[Counts]) -> str:
    """A line of the table: over all seeds, with 95 % intervals of the bootstrap over pictures, and of each seed."""
    before = before[: len(own)]
    invented, fall = cell(own, before, _invented, 1, ".2f"), cell(own, before, _fall, 100, ".0f", " %")
    right, change = cell(own, before, _right, 100, ".1f", " %"), cell(own, before, _change, 100, "+.1f")
    if own is before or name == "hallucinating":
        fall = change = ""
    return f"| {name} | {invented} | {fall} | {right} | {change} |"


def cell(
    own: Sequence[Counts], before: Sequence[Counts], finish: bootstrap.Finish, scale: float, form: str, unit: str = ""
) -> str:
    """A number with its interval, and behind it that of each seed where there are several."""
    columns = [
        np.stack([_columns(a), _columns(b)], 1).reshape(len(a["invented"]), -1)
        for a, b in zip(own, before, strict=True)
    ]
    # Of one picture the captions of all seeds are drawn together.
    sample = Sums(np.sum(columns, 0), finish)
    low, high = bootstrap.interval(sample)
    seeds = ", ".join(f"{scale * Sums(one, finish).value():{form}}" for one in columns)
    text = f"{scale * sample.value():{form}}{unit} [{scale * low:{form}}, {scale * high:{form}}]"
    return text + (f" ({seeds})" if len(columns) > 1 else "")


def _columns(counts: Counts) -> Float[np.ndarray, "n 4"]:
    numbers = np.array([counts[name] for name in ("invented", "right", "attributes")], float)
    return np.concatenate([numbers, np.ones((1, numbers.shape[1]))]).T


def _invented(sums: Float[np.ndarray, "b 8"]) -> Float[np.ndarray, " b"]:
    return sums[:, 0] / sums[:, 3]


def _fall(sums: Float[np.ndarray, "b 8"]) -> Float[np.ndarray, " b"]:
    return 1 - sums[:, 0] / sums[:, 4]


def _right(sums: Float[np.ndarray, "b 8"]) -> Float[np.ndarray, " b"]:
    return sums[:, 1] / sums[:, 2]


def _change(sums: Float[np.ndarray, "b 8"]) -> Float[np.ndarray, " b"]:
    return sums[:, 1] / sums[:, 2] - sums[:, 5] / sums[:, 6]


if __name__ == "__main__":
    main()
