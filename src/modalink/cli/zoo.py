"""`modalink zoo`: the tiny parts that ship."""

from pathlib import Path
from typing import Annotated

import typer

from modalink.zoo import PARTS, names, path
from modalink.zoo.build import BUILDERS, build

zoo = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, add_completion=False, help="List or build the tiny parts that ship."
)


@zoo.command("list")
def list_parts() -> None:
    """List the parts that ship; a recipe names them `zoo:NAME`.

    \b
    modalink zoo list
    """
    width = max(map(len, names()))
    for name in names():
        megabytes = sum(file.stat().st_size for file in path(name).rglob("*") if file.is_file()) / 1e6
        print(f"zoo:{name:{width}}{megabytes:6.1f} MB  {_description(path(name))}")


@zoo.command("build")
def build_parts(
    parts: Annotated[
        list[str] | None, typer.Argument(metavar="PART", help=f"Out of {', '.join(BUILDERS)}; none means all.")
    ] = None,
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out", file_okay=False, show_default=False, help="Folder of the parts; by default the package's own."
        ),
    ] = PARTS,
    work: Annotated[Path, typer.Option("--work", file_okay=False, help="Folder of checkpoints and logs.")] = Path(
        "runs/zoo"
    ),
    threads: Annotated[
        int, typer.Option(min=1, max=4096, help="CPU threads; with another number the weights differ in bits.")
    ] = 1,
    steps_scale: Annotated[float, typer.Option(min=0, max=100, help="Factor on the number of training steps.")] = 1.0,
) -> None:
    """Train the tiny parts on the tiny world; what was interrupted goes on.

    \b
    modalink zoo build
    modalink zoo build vision llm --out parts --work runs/zoo
    """
    print(f"logs and checkpoints are in {work}", flush=True)
    for name, measures in build(parts or [], out, work, threads, steps_scale).items():
        print(f"{name}: " + ", ".join(f"{measure} {value:.4g}" for measure, value in measures.items()))


def _description(part: Path) -> str:
    """The first sentence under the title of a part's model card."""
    _, _, card = (part / "README.md").read_text(encoding="utf-8").partition("\n# ")
    return " ".join(card.split("\n\n")[1].split()).partition(". ")[0]
