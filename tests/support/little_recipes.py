"""Little recipes of tiny random parts that read media, with their data and what their runs wrote, for whole runs."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from modalink.model import System, compose
from modalink.recipe import Recipe, SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_point_bert, tiny_whisper

Block = dict[str, Any]
"""A block of a recipe, as YAML holds it."""


def vision(folder: Path) -> Block:
    """An encoder of images."""
    return {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}


def by_frame(folder: Path, **frames: Any) -> Block:
    """The same for each of some frames of a video; keywords choose them."""
    return {"kind": "frames", "encoder": vision(folder), "frames": frames}


def whisper(folder: Path) -> Block:
    """An encoder of sounds."""
    return {"kind": "whisper", "checkpoint": str(tiny_whisper(folder / "whisper"))}


def point_bert(folder: Path) -> Block:
    """An encoder of point clouds."""
    return tiny_point_bert(folder / "points")[1]


ENCODERS: dict[str, Callable[[Path], Block]] = {
    "image": vision,
    "video": lambda folder: by_frame(folder, count=2),
    "audio": whisper,
    "points": point_bert,
}


def read_by(folder: Path, *modalities: str) -> Block:
    """The inputs of a recipe that reads these modalities, each through two layers."""
    projector = {"kind": "mlp", "layers": 2}
    return {name: {"encoder": ENCODERS[name](folder), "projector": projector} for name in modalities}


def system_of(folder: Path, inputs: Block) -> System:
    """A system of these inputs and a tiny language model, whose answers are nonsense."""
    return compose(SystemSpec.model_validate(_spec(folder, inputs)))


def recipe_of(folder: Path, inputs: Block, *, llm: Block | None = None, **stage: Any) -> Recipe:
    """A recipe whose one stage, `learn`, trains the links of these inputs for two steps on the folder's records.

    Args:
        folder: Where the parts are written, and where `write_records` wrote the data.
        inputs: The block of the recipe.
        llm: Sizes of the language model that differ from `tiny_llama`'s.
        stage: Fields of the stage that differ.
    """
    learn = {
        "name": "learn",
        "train": {f"inputs.{name}.projector": {"lr": 1e-2} for name in inputs},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": str(folder / "data.jsonl")}],
        "batch": 4,
        "steps": 2,
        "precision": "float32",
    }
    return Recipe.model_validate({"name": "little", **_spec(folder, inputs, llm), "stages": [learn | stage]})


def _spec(folder: Path, inputs: Block, llm: Block | None = None) -> Block:
    language = {"checkpoint": str(tiny_llama(folder / "llm", **llm or {}))}
    return {"inputs": inputs, "llm": language, "prompt": {"template": "vicuna-v1.1"}}


def record(name: str, asked: str, said: str, **media: Any) -> Block:
    """A question with an answer; keywords are columns of media, such as `images=["0.png"]`."""
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {"id": name, "messages": messages, **media}


def write_records(folder: Path, records: Iterable[Block]) -> None:
    """Write what a recipe of the folder learns from."""
    (folder / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def metrics(run: Path) -> list[Block]:
    """What the stage wrote of each step."""
    return _lines(run / "learn" / "metrics.jsonl")


def ledger(run: Path) -> list[Block]:
    """What it could not use, and why."""
    return _lines(run / "learn" / "ledger.jsonl")


def _lines(path: Path) -> list[Block]:
    return [json.loads(line) for line in path.read_text().splitlines()]
