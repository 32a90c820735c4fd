"""Maps between the names of weights in a class of transformers and here: data that is read in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modalink.errors import PartError

Shapes = Mapping[str, torch.Size]
"""Name of a weight -> its shape."""
_FEW = 3


@dataclass(frozen=True)
class NameMap:
    """Which weight there is which one here.

    `NameMap({"lm_head.": "model.language_model.lm_head."})` maps `lm_head.weight` to
    `model.language_model.lm_head.weight` and back.

    Args:
        pairs: Beginnings of names there -> beginnings here; of several that fit, the longest counts.
        copies: Beginnings of names here, of weights that stand here once more -> beginnings there.
        joined: Name here -> names there of which it is made, one above the other.
        rows: Name here of a weight that stands here once more -> the name there, and the row of it that it is.
    """

    pairs: Mapping[str, str]
    copies: Mapping[str, str] = field(default_factory=dict)
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def here(self, name: str) -> str | None:
        """The name here of a weight there; None where it has no place."""
        whole = next((here for here, pieces in self.joined.items() if name in pieces), None)
        return whole or _renamed(name, self.pairs)

    def there(self, name: str) -> str | None:
        """The name there of a weight here, of several the first; None where it has no place."""
        if name in self.joined:
            return self.joined[name][0]
        if name in self.rows:
            return self.rows[name][0]
        return _renamed(name, {here: there for there, here in self.pairs.items()} | dict(self.copies))

    def check(self, theirs: Shapes, ours: Shapes, where: str) -> None:
        """Demand that each weight there is one here and each one here is one there, of the same shape.

        Args:
            theirs: The weights of the class of transformers.
            ours: Those of the system here.
            where: What errors call the checkpoint.

        Raises:
            PartError: Some are left over, missing, or of another shape: they are named.
        """
        lone = {here: f"{there}[{row}]" for here, (there, row) in self.rows.items()}
        theirs = self._shapes(theirs)
        placed: dict[str, str] = {}
        left = []
        for name in (name for name in theirs if name not in lone.values()):
            here = self.here(name)
            if here is None or here not in ours or here in placed:
                left.append(name)
            else:
                placed[here] = name
        for name in ours:
            copied = lone.get(name) or _renamed(name, self.copies)
            if copied is not None and copied in theirs:
                placed[name] = copied
        missing = [name for name in ours if name not in placed]
        if left or missing:
            raise PartError(f"{where}: {' and '.join(_complaints(left, missing))}; this form of it cannot be imported")
        for here, name in placed.items():
            if _bare(theirs[name]) != _bare(ours[here]):
                raise PartError(
                    f"{where}: {name} has the shape {tuple(theirs[name])}, needed {tuple(ours[here])} for {here}"
                )

    def value(self, name: str, theirs: Mapping[str, Tensor]) -> Tensor:
        """A weight here, as their weights have it."""
        if name in self.rows:
            there, row = self.rows[name]
            return theirs[there][row : row + 1]
        pieces = self.joined.get(name) or (self.there(name),)
        values = [theirs[piece or name] for piece in pieces]
        return torch.cat(values) if len(values) > 1 else values[0]

    def _shapes(self, theirs: Shapes) -> dict[str, torch.Size]:
        """Their weights, those that are one here under the name of the first, and rows that stand alone here."""
        found = dict(theirs)
        for name, row in self.rows.values():
            if name in theirs and len(theirs[name]) == 2 and theirs[name][0] > row:
                found[f"{name}[{row}]"] = torch.Size([1, theirs[name][1]])
        for pieces in self.joined.values():
            if found.keys() >= {*pieces}:
                rows = sum(found.pop(name)[0] for name in pieces)
                found[pieces[0]] = torch.Size([rows, *theirs[pieces[0]][1:]])
        return found


def _bare(shape: torch.Size) -> tuple[int, ...]:
    """A shape without axes of one place, as that of a batch which some classes have in front."""
    return tuple(length for length in shape if length != 1)


def _complaints(left: list[str], missing: list[str]) -> list[str]:
    found = [f"{len(left)} of its weights have no place here ({some(left)})"] if left else []
    return found + ([f"{len(missing)} weights here are not filled by it ({some(missing)})"] if missing else [])


def some(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:_FEW]) + (f" and {len(names) - _FEW} more" if len(names) > _FEW else "")


def _renamed(name: str, pairs: Mapping[str, str]) -> str | None:
    fitting = [before for before in pairs if name.startswith(before)]
    if not fitting:
        return None
    before = max(fitting, key=len)
    return pairs[before] + name[len(before) :]
