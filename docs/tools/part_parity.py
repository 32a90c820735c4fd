"""Compares encoders, projectors, generators and imported models with their references, and writes the largest
differences into their pages.

Run: `python docs/tools/part_parity.py`, as `make parity` does; with kinds, only those are compared, and printed.
A kind is compared by the file of its name in a folder of `docs/tools/parity/`, with tiny random weights and on the same
media or tokens:

    TOLERANCE = 2e-5    # largest difference that may be, a share of the reference's largest number; 0 if not given

    def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
        yield "what it is compared with", tokens_of_modalink, tokens_of_the_reference

Numbers are float32, as people compute, and each kind of CPU rounds them in its own way: a tolerance leaves a factor of
ten over the differences seen on one (0 is for the very same computation, done twice).
The reference is transformers', timm's or diffusers' own class, or, where the original code is not installed, the
numbers that it gave for seeded weights: they lie beside the file as JSON, and the file says how they were made.
"""

import importlib.util
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from marked import Marked

from modalink import hub

FOLDER = Path(__file__).parent / "parity"
ROOMS = {
    "encoders": "modalink.encoders",
    "projectors": "modalink.projectors.inputs",
    "outputs": "modalink.projectors.outputs",
    "generators": "modalink.generators",
    "interop": "modalink.interop.families",
    "originals": "modalink.interop.originals",
}
"""Folder of comparisons -> the room whose kinds are compared."""
OWN = {"outputs": {"mixer", "flow", "heads"}}
"""Folder -> the kinds that are of this project alone: nothing is there to compare them with."""
PAGES = {"outputs": "projectors", "originals": "interop"}
"""Folder -> the document that holds its table beside another's; the others have one of their name."""
KINDS = {f"{room}/{path.stem}": path for room in ROOMS for path in sorted((FOLDER / room).glob("*.py"))}
START, END = "<!-- table of parity -->", "<!-- end of the table of parity -->"


@dataclass(frozen=True)
class Row:
    """One comparison."""

    kind: str
    reference: str
    difference: float
    """The largest difference of a number."""
    largest: float
    """The reference's largest number."""
    tolerance: float
    """The largest difference that may be, a share of it."""

    @property
    def names(self) -> str:
        """The first cells of its line, which no machine changes."""
        return f"| `{self.kind}` | {self.reference} |"

    def __str__(self) -> str:
        return f"{self.names} {f'{self.difference:.1e}' if self.difference else '0'} | {self.largest:.2g} |"


def page(room: str) -> Path:
    """The document that holds the table of a room."""
    return FOLDER.parents[1] / f"{PAGES.get(room, room)}.md"


def marks(room: str) -> tuple[str, str]:
    """What stands before and behind its table."""
    if room not in PAGES:
        return START, END
    return f"<!-- table of parity of {room} -->", f"<!-- end of the table of parity of {room} -->"


def rows(kind: str) -> Iterator[Row]:
    """The comparisons of a kind (`encoders/ast`), in the default precision and on the CPU.

    Raises:
        ValueError: The shapes differ.
    """
    spec = importlib.util.spec_from_file_location(f"parity_{kind.replace('/', '_')}", KINDS[kind])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with (
        tempfile.TemporaryDirectory() as place,
        hub.without_bars(),
        torch.no_grad(),
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(0)
        for reference, found, expected in module.compare(Path(place)):
            if found.shape != expected.shape:
                raise ValueError(f"{kind}, {reference}: shapes {tuple(found.shape)} and {tuple(expected.shape)}")
            difference, largest = (found - expected).abs().max().item(), expected.abs().max().item()
            yield Row(KINDS[kind].stem, reference, difference, largest, getattr(module, "TOLERANCE", 0.0))


def main(kinds: Iterable[str]) -> None:
    """Compare; write the tables, or print the rows of the kinds that are named."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    lines: dict[str, list[str]] = {room: [] for room in ROOMS}
    for kind in [kind for kind in KINDS if not kinds or {kind, KINDS[kind].stem} & {*kinds}]:
        for row in rows(kind):
            lines[KINDS[kind].parent.name].append(str(row))
            print(row, flush=True)
    if not kinds:
        for room, table in lines.items():
            write(room, table)


def write(room: str, lines: list[str]) -> None:
    """Put a table into the document of its room."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("transformers", "timm", "diffusers", "torch"))
    head = "| `kind` | reference | largest difference | largest number |\n| --- | --- | --- | --- |"
    table = "\n".join([head, *lines])
    Marked(page(room), *marks(room)).write(f"Compared with {libraries}.\n\n{table}")


if __name__ == "__main__":
    main(sys.argv[1:])
