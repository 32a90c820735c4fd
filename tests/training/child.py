"""Trains the recipe file of its first argument in the folder of its second; the third says what befalls it.

`kill STAGE STEP` kills it like `kill -9` after that step; `wait STAGE STEP` says `waiting` and waits for a line. `count`
writes beside the run how often each class of module ran, forward and backward.
"""

import atexit
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import yaml
from torch.nn.modules.module import register_module_forward_hook, register_module_full_backward_hook

from modalink.errors import ModalinkError
from modalink.recipe import Recipe
from modalink.training.events import Event, StepDone
from modalink.training.train import train


def main(recipe: str, run: str, fate: str = "none", stage: str = "", step: str = "0") -> int:
    def on_event(event: Event) -> None:
        if not isinstance(event, StepDone) or (event.stage, event.step) != (stage, int(step)):
            return
        if fate == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        print("waiting", flush=True)
        sys.stdin.readline()

    if fate == "count":
        counted: Counter[str] = Counter()
        register_module_forward_hook(lambda module, given, made: counted.update([type(module).__name__]))
        register_module_full_backward_hook(lambda module, *_: counted.update([f"{type(module).__name__} backward"]))
        file = Path(f"{run}-{os.environ['RANK']}.json")
        atexit.register(lambda: file.write_text(json.dumps(counted)))
    try:
        train(Recipe.model_validate(yaml.safe_load(Path(recipe).read_text())), Path(run), on_event=on_event)
    except ModalinkError as error:
        print(error, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
