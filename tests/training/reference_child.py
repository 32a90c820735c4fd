"""Trains the recipe file of its first argument in the folder of its second, what is cached in the folder of its third.

It kills itself like `kill -9` where so many samples' reference has been computed and kept as the fourth says.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from modalink.features import disk
from modalink.recipe import Recipe
from modalink.settings import run_settings
from modalink.training.reference import Reference
from modalink.training.train import train


def counted(compute: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def computing(*arguments: object) -> Any:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return compute(*arguments)

    return computing


def main(recipe: str, run: str, cache: str, samples: str) -> None:
    disk._PENDING = 1  # what is computed is on the disk at once, as after many samples
    Reference._alone = counted(Reference._alone, [int(samples)])  # type: ignore[method-assign]
    settings = run_settings(cache=cache)
    train(Recipe.model_validate(yaml.safe_load(Path(recipe).read_text())), Path(run), settings=settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
