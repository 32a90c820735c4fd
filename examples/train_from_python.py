"""Train a recipe from Python, watch the loss, and ask what came of it.

Run: `python examples/train_from_python.py`
"""

import sys
from pathlib import Path

import modalink
from modalink.data.sources.tiny_world import TinyWorldConfig
from modalink.training.events import Event, StepDone

# The same tree as in a YAML file; a file is read by `modalink.recipe.load("mine.yaml")`.
RECIPE = {
    "name": "describer",
    "inputs": {
        "image": {
            "encoder": {"kind": "vision", "checkpoint": "zoo:vision", "layer": -1},
            "projector": {"kind": "linear"},
        }
    },
    "llm": {"checkpoint": "zoo:llm"},
    "prompt": {"template": "chatml", "system": ""},
    "stages": [
        {
            "name": "pretrain",
            "train": {"inputs.image.projector": {"lr": 3e-3}},
            "objectives": [{"kind": "language"}],
            "data": [{"source": "tiny_world", "count": 4000, "tasks": ["caption"]}],
            "batch": 32,
            "steps": 60,
        }
    ],
}


def main(run: Path, steps: int = 60, batch: int = 32) -> modalink.Answer:
    """Train into the folder `run`; a run that was interrupted is resumed by the same call."""
    stage = RECIPE["stages"][0] | {"steps": steps, "batch": batch}
    recipe = modalink.Recipe.model_validate(RECIPE | {"stages": [stage]})
    modalink.train(recipe, run, on_event=show)
    session = modalink.load(run)
    turn, picture = next(TinyWorldConfig(split="test", tasks=["caption"]).open()[0].media())
    answer = session.ask(turn.text.strip(), image=picture.source)
    print(f"{turn.text.strip()} {answer}\n(right: {picture.caption})")
    return answer


def show(event: Event) -> None:
    """Print the loss of every tenth step."""
    if isinstance(event, StepDone) and event.step % 10 == 0:
        print(f"{event.stage}, step {event.step} of {event.steps}: loss {event.record['loss']:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/describer"))
