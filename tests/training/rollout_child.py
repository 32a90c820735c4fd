"""Trains the recipe file of its first argument in the folder of its second, and kills itself like `kill -9` as soon as so
many chunks of replies are on the disk as the third says."""

import os
import signal
import sys
from pathlib import Path

import yaml

from modalink.recipe import Recipe
from modalink.training.rollouts import Kept
from modalink.training.train import train


def main(recipe: str, run: str, chunks: str) -> None:
    write, left = Kept.write, [int(chunks)]

    def writing(kept: Kept, *arguments: object) -> None:
        write(kept, *arguments)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    Kept.write = writing
    train(Recipe.model_validate(yaml.safe_load(Path(recipe).read_text())), Path(run))


if __name__ == "__main__":
    main(*sys.argv[1:])
