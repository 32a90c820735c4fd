"""Fuzzing for as long as one likes: the tests of this folder with many inputs, round after round, each with a new seed.

    python tests/robustness/fuzz.py --minutes 30
    python tests/robustness/fuzz.py --seed 7 --examples 2000

The first round that fails ends it; pytest shows the smallest input that fails, and the last line says the seed that
finds it again.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run rounds until the time is over or one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--examples", type=int, default=200, help="inputs of a round for each test of weight 1")
    parser.add_argument("--seed", type=int, help="one round with this seed alone")
    parser.add_argument("-k", dest="only", default="", help="only tests with this in their names, as pytest's -k")
    given = parser.parse_args()
    ends = time.monotonic() + 60 * given.minutes
    while True:
        seed = random.SystemRandom().randrange(10**9) if given.seed is None else given.seed
        print(f"seed {seed}", flush=True)
        if code := fuzz(seed, given.examples, given.only):
            again = f"python {Path(__file__).relative_to(ROOT)} --seed {seed} --examples {given.examples}"
            print(f"found with seed {seed}; again: {again}", file=sys.stderr)
            return code
        if given.seed is not None or time.monotonic() > ends:
            return 0


def fuzz(seed: int, examples: int, only: str) -> int:
    """One round; pytest's exit code."""
    options = ["-q", f"--hypothesis-seed={seed}", "--timeout=0", "-k", f"({only or 'test'}) and not storm"]
    command = [sys.executable, "-m", "pytest", str(Path(__file__).parent), *options]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"FUZZ_EXAMPLES": str(examples)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
