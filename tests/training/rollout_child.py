"""Trains the recipe file of its first argument in the folder of its second, and kills itself like `kill -9` as soon as so
many chunks of replies, or of media, are on the disk as the third says."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from modalink.recipe import Recipe
from modalink.training import media_rollouts, rollouts
from modalink.training.train import train


def counted(write: Callable[..., None], left: list[int]) -> Callable[..., None]:
    def writing(*arguments: object) -> None:
        write(*arguments)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    return writing


def main(recipe: str, run: str, chunks: str) -> None:
    left = [int(chunks)]
    for kept in (rollouts.Kept, media_rollouts.Kept):
        kept.write = counted(kept.write, left)
    train(Recipe.model_validate(yaml.safe_load(Path(recipe).read_text())), Path(run))


if __name__ == "__main__":
    main(*sys.argv[1:])
