"""Where the time of a demo training step goes.

    python benchmarks/demo_step.py [--threads 2] [--stage 1] [--steps 20] [KEY=VALUE ...]

Profiles a few steps of a stage of the recipe `demo` after the frozen parts' outputs were cached, and before.
"""

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path

import torch

from modalink.recipe import load
from modalink.training.events import StepDone
from modalink.training.train import train


def main() -> None:
    """Print seconds a step and the functions that take most of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stage", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = load("demo", options.overrides)
    recipe = recipe.replace(stages=[recipe.stages[options.stage].replace(steps=options.steps)])
    seconds: list[tuple[float, float]] = []

    def note(event: object) -> None:
        if isinstance(event, StepDone):
            seconds.append((event.record["seconds"], event.record["data_seconds"]))

    with tempfile.TemporaryDirectory() as folder, cProfile.Profile() as profile:
        train(recipe, Path(folder) / "run", on_event=note)
    later = seconds[len(seconds) // 2 :]
    print(
        f"{sum(s for s, _ in later) / len(later):.3f} s a step, "
        f"of it {sum(d for _, d in later) / len(later):.3f} s waiting for data"
    )
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
