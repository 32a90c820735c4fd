"""How two threads that wait for each other should wait, on cores of their own and beside other jobs.

    python benchmarks/spinning.py [--neighbours 2] [--steps 15]

Trains the first stage of the recipe `demo` anew for each row. GNU's OpenMP, which PyTorch uses on Linux, lets a thread
that waits spin `GOMP_SPINCOUNT` times before it sleeps: 300,000 by itself, 10,000 as the command line sets it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from modalink.recipe import load

WAITS = {
    "1 thread": {"OMP_NUM_THREADS": "1"},
    "2 threads, 300,000 spins": {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "300000"},
    "2 threads, 10,000 spins": {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "10000"},
    "2 threads, none": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
}
_BUSY = "import torch; torch.set_num_threads(1); a = torch.randn(800, 800)\nwhile True: a @ a"
_TRAIN = "from modalink.cli.main import main; main()"


def step_seconds(wait: dict[str, str], steps: int) -> float:
    """Median seconds of a step of the first stage of `demo`, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        stages = load("demo").stages
        short = [f"stages.{i}.steps={1 if i else steps}" for i in range(len(stages))]
        command = [sys.executable, "-c", _TRAIN, "train", "demo", "--run", str(run), *short]
        subprocess.run(command, env=os.environ | wait, check=True, capture_output=True)
        lines = (run / stages[0].name / "metrics.jsonl").read_text().splitlines()
    return median(json.loads(line)["seconds"] for line in lines)


def main() -> None:
    """Print a row for each way to wait."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", type=int, default=2, help="processes that want the cores, too")
    parser.add_argument("--steps", type=int, default=15)
    options = parser.parse_args()
    for count in (0, options.neighbours):
        neighbours = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
        try:
            for name, wait in WAITS.items():
                seconds = step_seconds(wait, options.steps)
                print(f"{count} neighbours, {name:26} {seconds:.3f} s a step", flush=True)
        finally:
            for neighbour in neighbours:
                neighbour.kill()


if __name__ == "__main__":
    main()
