"""A system in its authors' own format, and which parts of a recipe it is: one file each in `originals/`.

Such a checkpoint holds what its authors trained, and names neither the LLM nor the encoder that it was trained beside.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor

from modalink import hub
from modalink.errors import PartError
from modalink.interop.imported import Imported
from modalink.interop.names import some
from modalink.kinds import kinds
from modalink.model import skeleton
from modalink.recipe import Paper, Recipe

ROOM = "modalink.interop.originals"
CHOSEN = "assumed: chosen at the import"
"""Where a template is from that somebody chose."""


@dataclass(frozen=True)
class Trained(Imported):
    """A checkpoint that is imported, and what it was trained beside.

    Args:
        tensors: What it holds, on the meta device.
        llm: The LLM, as it was said; None where nothing was.
        encoder: The encoder, as it was said; None where nothing was.
    """

    tensors: Mapping[str, Tensor]
    llm: str | None = None
    encoder: str | None = None

    def refuse(self, found: str, needed: str) -> PartError:
        """The error about a checkpoint that cannot be imported."""
        return PartError(f"{self.reference}: found {found}, needed {needed}")

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the one tensor of a name, which is a pattern.

        Raises:
            PartError: There is none, or there are several of different shapes.
        """
        shapes = {tuple(tensor.shape) for held, tensor in self.tensors.items() if re.fullmatch(name, held)}
        if len(shapes) != 1:
            plain = name.replace("\\", "")
            raise self.refuse(f"{len(shapes) or 'no'} shapes of {plain}", "one, by which its sizes are known")
        return shapes.pop()


@dataclass(frozen=True)
class Original:
    """A system of which its authors publish what they trained.

    Args:
        name: What errors call it.
        paper: Where it was published.
        held: Patterns of the names in its checkpoints; each of them finds some, and none is of another name.
        beside: Patterns of names that may be there as well, of weights that are its parts' own.
        parts: Gives `inputs` and `llm` of the recipe; raises `PartError` for a form that has no parts here.
        template: The prompt template of its authors.
        source: Where names and settings are from.
    """

    name: str
    paper: Paper
    held: tuple[str, ...]
    beside: tuple[str, ...]
    parts: Callable[[Trained], dict[str, Any]]
    template: str
    source: str

    def is_in(self, names: Mapping[str, Tensor]) -> bool:
        """Whether a checkpoint with such names is one of it."""
        return all(any(re.match(pattern, name) for name in names) for pattern in self.held)

    def check(self, trained: Trained) -> None:
        """Refuse tensors that have no place.

        Raises:
            PartError: There are some; they are named.
        """
        known = [re.compile(pattern) for pattern in (*self.held, *self.beside)]
        if left := sorted(name for name in trained.tensors if not any(pattern.match(name) for pattern in known)):
            raise PartError(
                f"{trained.reference}: {len(left)} of its weights have no place here ({some(left)}); this form of "
                f"{self.name} cannot be imported"
            )


@cache
def originals() -> dict[str, Original]:
    """All that can be imported, by the name of its file; a package adds one by an entry point in `ROOM`."""
    found = {}
    for kind, place in kinds(ROOM).items():
        module, _, name = place.partition(":")
        found[kind] = getattr(importlib.import_module(module), name or "ORIGINAL")
    return found


def original_of(reference: str, revision: str | None, tensors: Mapping[str, Tensor]) -> Original:
    """The system whose checkpoint it is.

    Raises:
        PartError: It is of none that is known.
    """
    for original in originals().values():
        if original.is_in(tensors):
            return original
    known = ", ".join(original.name for original in originals().values())
    raise PartError(
        f"{reference}: found no config.json in {hub.locate(reference, revision)}, and weights named as "
        f"{some(sorted(tensors))}, needed a checkpoint of transformers, or one of {known}"
    )


def recipe_of_original(trained: Trained, *, template: str | None = None) -> Recipe:
    """The recipe of a checkpoint in its authors' format: its parts refer to it and to what it was trained beside.

    Args:
        trained: The checkpoint.
        template: Prompt template; by default that of its authors.

    Raises:
        PartError: It is of no system that is known, is of a form that has no parts here, or holds more than they do.
    """
    original = original_of(trained.reference, trained.revision, trained.tensors)
    original.check(trained)
    said = f"code: {original.source}, and shapes of the weights in {trained.reference}"
    recipe = Recipe.model_validate(
        {
            "name": original.name,
            "paper": original.paper.model_dump(),
            **original.parts(trained),
            "prompt": {"template": template or original.template},
            "provenance": {"inputs": said, "llm": said, "prompt": CHOSEN if template else f"code: {original.source}"},
        }
    )
    skeleton(recipe)
    return recipe
