"""What processes that fill a cache are told and tell."""

from dataclasses import dataclass, field
from pathlib import Path

from modalink.recipe import Recipe
from modalink.settings import RunSettings


@dataclass(frozen=True)
class Job:
    """What all blocks have in common.

    Args:
        recipe: The recipe.
        settings: The machine's settings; their cache is a folder.
        dry: Whether sizes are told and nothing is kept.
        mark: A file that every process must see, which tells that all share the folder.
    """

    recipe: Recipe
    settings: RunSettings
    dry: bool = False
    mark: Path | None = None


@dataclass(frozen=True)
class Block:
    """Samples of a stage, by their place in the order in which it meets them, from `start` to `stop`."""

    stage: str
    start: int
    stop: int


@dataclass(frozen=True)
class Kept:
    """What is kept of one item.

    Args:
        part: The encoder or generator, for example `inputs.image.encoder`.
        name: Names the item and what decides what the part makes of it.
        tokens: How many tokens it has; 0 where it is none of an encoder's.
        size: Its bytes on disk.
        computed: Whether it was not there yet.
    """

    part: str
    name: str
    tokens: int
    size: int
    computed: bool


@dataclass(frozen=True)
class Left:
    """A sample that training will leave out, and why."""

    sample: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Done:
    """What came of a block.

    Args:
        block: The block.
        kept: What is kept of its items.
        left: Its bad samples.
        machine: What decides the last bits of all this, see `features.compute.numerics`.
        refusal: Why the disk takes nothing more; empty while it does.
        pid: The process.
    """

    block: Block
    kept: list[Kept] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    machine: str = ""
    refusal: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Failed:
    """Why a block could not be done, as the command line says it."""

    text: str
    exit_code: int | None
    """None where it looks like a defect."""
