"""What parts share that may be a piece of somebody's checkpoint: whose it is, and how its tensors are named there.

A name map is data: it is read strictly, so that nothing is left over there and nothing is missing here.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import model_validator
from torch import Tensor, nn

from modalink import json_files, tensor_files
from modalink.errors import PartError
from modalink.hub.files import locate
from modalink.hub.loading import refuse
from modalink.hub.pieces import tensors
from modalink.kinds import KindConfig
from modalink.roles import FromCheckpoint


@dataclass(frozen=True)
class Origin:
    """Where somebody's checkpoints keep a part.

    Args:
        at: Pattern of the beginning of its tensors' names.
        names: Pattern of what follows -> name here, the first that fits decides; `key+value` is one tensor of two here,
            one above the other, and so of more. Without a pattern that fits all, other tensors there are not looked at.
        beside: Pattern of whole names -> name here, of tensors that lie elsewhere.
        settings: Settings that it was trained with, and that no shape tells.
        told: Keys of `config.json`, dotted -> the setting that must be the same, where the file has them.
        rows: Name here of a tensor of one row -> which row of the one there it is.
    """

    at: str
    names: Mapping[str, str]
    beside: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)

    def patterns(self, prefix: str | None = None) -> dict[str, str]:
        """Pattern -> name here, as `tensors` takes them; with another beginning of names, if that is given."""
        at = self.at if prefix is None else re.escape(prefix)
        return {at + pattern: name for pattern, name in self.names.items()} | dict(self.beside)


class Borrowing(KindConfig):
    """Settings of a part that is drawn anew, or is a piece of a checkpoint; its role says what its sections are."""

    what: ClassVar[str]
    """What errors call it."""

    origins: ClassVar[tuple[Origin, ...]] = ()
    """Whose checkpoints are known."""
    never_held: ClassVar[frozenset[str]] = frozenset({"positions"})
    """Sections that none of these holds."""

    checkpoint: str | None = None
    """A folder or hub id of a system of which it is taken; the settings here must be its. If not set, all is drawn
    anew."""
    revision: str | None = None
    """Commit or tag of a hub checkpoint."""
    prefix: str | None = None
    """How the names of its tensors begin in the checkpoint, such as `audio_llama_proj.`; if not set, as in
    systems that are known."""
    without: tuple[str, ...] = ()
    """Sections that are not taken from the checkpoint but drawn anew or left out, such as `exit` for another LLM."""

    @model_validator(mode="after")
    def _sections_of_a_checkpoint(self) -> Self:
        given = [name for name in ("revision", "prefix", "without") if getattr(self, name)]
        if given and self.checkpoint is None:
            raise ValueError(f"{given[0]} is said of no checkpoint; set checkpoint, or leave {given[0]} out")
        if unknown := [name for name in self.without if name not in self._held()]:
            raise ValueError(
                f"found without: {unknown[0]}, which no checkpoint holds; those held: {', '.join(self._held())}"
            )
        return self

    def drawn_anew(self) -> Self:
        """The same without a checkpoint."""
        return self.replace(checkpoint=None, revision=None, prefix=None, without=())

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """The checkpoint, if there is one."""
        return () if self.checkpoint is None else ((self.checkpoint, self.revision),)

    def pieces(self) -> tuple[str, ...]:
        """Patterns of all names that are known."""
        return tuple(pattern for origin in self.origins for pattern in origin.patterns(self.prefix))

    def borrowed(self) -> dict[str, FromCheckpoint]:
        """All sections that the checkpoint holds and that are wanted of it."""
        if self.checkpoint is None:
            return {}
        return dict.fromkeys((s for s in self.sections() if s not in self.never_held and s not in self.without), self)

    def sections(self) -> tuple[str, ...]:
        """The sections that it has."""
        raise NotImplementedError

    def borrow(self, part: nn.Module, sections: Collection[str]) -> None:
        """Put the checkpoint's weights into sections of the part.

        Raises:
            PartError: The checkpoint holds no such part, was trained with other settings, lacks what is wanted, or
                holds more.
        """
        parameters = dict(part.named_parameters())
        origin, held = self._found(parameters)
        self._demand(origin)
        held = {n: _row(t, origin.rows[n], n) if n in origin.rows else t for n, t in held.items()}
        where, kind = f"{self.checkpoint}: the {self.what}", type(part)
        own = {name: parameter for name, parameter in parameters.items() if _section(name) in sections}
        here = {*parameters, *(name for name, _ in part.named_buffers())}
        left = [name for name in held if name not in here and _section(name) not in self.without]
        refuse(where, kind, "lacks parameters that are needed", own.keys() - held.keys(), ())
        refuse(where, kind, "holds tensors that are not here", left, ())
        # A vector of theirs may have axes for the batch.
        held = {n: held[n].reshape(p.shape) if held[n].numel() == p.numel() else held[n] for n, p in own.items()}
        tensor_files.fill(own, held, self._folder(), PartError)

    def _folder(self) -> Path:
        return locate(self.checkpoint or "", self.revision, weights=False)

    def _held(self) -> list[str]:
        """Sections that checkpoints of known systems may hold, whether they are here or not."""
        names = [name for origin in self.origins for name in origin.patterns().values()]
        return sorted({_section(name) for name in (*names, *self.sections())} - self.never_held - {""})

    def _found(self, parameters: Mapping[str, Tensor]) -> tuple[Origin, dict[str, Tensor]]:
        """Whose checkpoint it is, and its tensors of the part under their names here."""
        each = []
        for origin in self.origins:
            held = tensors(self.checkpoint or "", names=origin.patterns(self.prefix), revision=self.revision)
            each.append((origin, _divided(held, parameters)))
        origin, held = max(each, key=lambda found: len(found[1].keys() & {*parameters}))
        if held.keys() & {*parameters}:
            return origin, held
        needed = self.prefix or " or ".join(re.sub(r"\(\?:(.*?)\)\??|\\", r"\1", one.at) for one in self.origins)
        raise PartError(
            f"{self.checkpoint}: found no tensors of a {self.what} of kind {self.kind}, needed names as {needed}...; "
            "give another checkpoint, or set prefix"
        )

    def _demand(self, origin: Origin) -> None:
        """Refuse settings with which the checkpoint was not trained, where no shape would tell."""
        file = self._folder() / "config.json"
        said = json_files.read(file, PartError, dict[str, Any]) if file.is_file() else {}
        told = {setting: _at(said, key) for key, setting in origin.told.items()}
        for setting, needed in (dict(origin.settings) | told).items():
            if needed is not None and (found := getattr(self, setting)) != needed:
                raise PartError(
                    f"{self.checkpoint}: was trained with {setting} {needed}, found {found}; set {setting}: {needed}"
                )


def _section(name: str) -> str:
    return name.partition(".")[0]


def _divided(held: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by their names here, those of several divided as these are long, or where that does not fit evenly."""
    found: dict[str, Tensor] = {}
    for name, tensor in held.items():
        parent, _, kind = name.rpartition(".")
        before, _, last = parent.rpartition(".")
        names = [f"{before}.{part}.{kind}" for part in last.split("+")] if "+" in last else [name]
        rows = [len(parameters[own]) for own in names if own in parameters and parameters[own].ndim]
        fit = len(rows) == len(names) and tensor.ndim and sum(rows) == len(tensor)
        pieces = [tensor] if len(names) == 1 else tensor.split(rows) if fit else tensor.chunk(len(names))
        found |= zip(names, pieces, strict=True)
    return found


def _row(tensor: Tensor, row: int, name: str) -> Tensor:
    """One row of a table."""
    if tensor.ndim != 2 or len(tensor) <= row:
        raise PartError(f"found a tensor of the shape {tuple(tensor.shape)} there, needed a row {row} of it for {name}")
    return tensor[row : row + 1]


def _at(data: Any, path: str) -> Any:
    """What stands at a dotted path of JSON data, or None."""
    for key in path.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data
