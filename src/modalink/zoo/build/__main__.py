"""`python -m modalink.zoo.build PART ... --out DIR --work DIR`: train tiny parts without the command line tool."""

import argparse
from pathlib import Path

from modalink.zoo import PARTS
from modalink.zoo.build import BUILDERS, build


def main() -> None:
    """Read the arguments and build."""
    parser = argparse.ArgumentParser(prog="python -m modalink.zoo.build", description="Train the tiny parts.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"out of {', '.join(BUILDERS)}; none means all")
    parser.add_argument("--out", type=Path, default=PARTS, help="folder of the parts")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints and logs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps-scale", type=float, default=1.0)
    arguments = parser.parse_args()
    build(arguments.parts, arguments.out, arguments.work, arguments.threads, arguments.steps_scale)


if __name__ == "__main__":
    main()
