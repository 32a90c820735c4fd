"""Writes docs/gallery.md and its drawings: the parts of each shipped system, what learns in which stage, sizes, paper.

Run: `python docs/tools/gallery.py`, as `make gallery` does; with names of systems, only those are drawn anew.
"""

import sys
import warnings
from pathlib import Path

import transformers
from drawing import drawing, millions

from modalink.planning.sizes import Sizes, sizes
from modalink.recipe import Recipe, load, presets, shipped

PAGE = Path(__file__).parents[1] / "gallery.md"
FOLDER = PAGE.with_suffix("")
HEAD = """# Gallery

Every published system that ships, drawn from its recipe (the first of its presets): a flame stands where a part learns,
a snowflake where it stays, one for each stage in order. `modalink recipes NAME` shows where each value comes from;
[the systems](systems.md) has sizes of all presets beside the published ones. `make gallery` makes this page.
"""


def main(wanted: list[str]) -> None:
    """Draw these systems, or all, and write the page about those that are drawn."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    FOLDER.mkdir(exist_ok=True)
    published = [name for name in shipped() if load(name).paper is not None]
    sections = dict(zip(*[iter(split(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else [])] * 2, strict=True))
    for system in wanted or published:
        recipe = load(system)
        counted = sizes(recipe)
        (FOLDER / f"{system}.svg").write_text(drawing(recipe, counted), encoding="utf-8")
        sections[system] = section(system, recipe, counted)
        print(system, flush=True)
    order = sorted((s for s in sections if s in published), key=lambda s: (_year(s), s))
    PAGE.write_text("\n".join([HEAD, *(sections[system] for system in order)]), encoding="utf-8")


def split(page: str) -> list[str]:
    """Names and sections of a page, in turn."""
    return [piece for part in page.split("\n## ")[1:] for piece in (part.split("\n")[0], f"## {part.strip()}\n")]


def section(system: str, recipe: Recipe, counted: Sizes) -> str:
    """What the page says of a system."""
    assert recipe.paper is not None
    names = [f"`{system}-{preset}`" for preset in presets(shipped()[system])] or [f"`{system}`"]
    learns = ", ".join(f"{millions(count)} in {stage}" for stage, count in counted.trainable.items())
    title, arxiv = recipe.paper.title, recipe.paper.arxiv
    link = f"[{title}](https://arxiv.org/abs/{arxiv})" if arxiv else title
    said = f"{link} ({recipe.paper.year}). {millions(counted.total)} parameters, of which learn {learns}."
    lines = (
        f"## {system}",
        "",
        f"![The parts of {system}, and what learns in which stage](gallery/{system}.svg)",
        "",
        f"{said} Recipes: {', '.join(names)}.",
        "",
    )
    return "\n".join(lines)


def _year(system: str) -> str:
    paper = load(system).paper
    assert paper is not None
    return paper.arxiv or str(paper.year)


if __name__ == "__main__":
    main(sys.argv[1:])
