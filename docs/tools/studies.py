"""Trains the studies that ship and writes their tables and plots into `docs/compare.md`.

Run: `python docs/tools/studies.py [NAME ...]`, as `make compare` does; without names all of them. Runs are kept in
`runs/studies/`, so that it goes on where it was stopped; a study whose runs are all there is only written anew.
"""

import argparse
import re
from pathlib import Path

from modalink.comparison import OnRun, compare
from modalink.comparison.design import load_study, studies
from modalink.comparison.page import markdown, ranked
from modalink.comparison.plot import plot

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "compare.md"
RUNS = ROOT / "runs" / "studies"


def main() -> None:
    """Train, ask and write each study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"out of {', '.join(studies())}")
    for name in parser.parse_args().names or studies():
        study = load_study(name)

        def done(design: str, seed: int, measured: object, study_name: str = name) -> None:
            print(f"{study_name}: {design}, seed {seed}", flush=True)

        results = compare(study, RUNS / name, on_run=OnRun(done=done, note=print))
        picture = f"compare-{name}.svg"
        (PAGE.parent / picture).write_text(str(plot(ranked(results), list(study.benchmarks))), "utf-8")
        PAGE.write_text(filled(PAGE.read_text("utf-8"), name, markdown(results, picture)), "utf-8")


def filled(page: str, name: str, text: str) -> str:
    """A page with a study's result between its marks, which stand at its end at first."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = f"{begin}\n{text}{end}"
    if begin in page:
        return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, page, flags=re.DOTALL)
    return f"{page.rstrip()}\n\n### {name}\n\n{block}\n"


if __name__ == "__main__":
    main()
