"""Maps between the names of weights in a class of transformers and here: data that is read in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

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
    """

    pairs: Mapping[str, str]
    copies: Mapping[str, str] = field(default_factory=dict)

    def here(self, name: str) -> str | None:
        """The name here of a weight there; None where it has no place."""
        return _renamed(name, self.pairs)

    def there(self, name: str) -> str | None:
        """The name there of a weight here; None where it has no place."""
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
        placed: dict[str, str] = {}
        left = []
        for name in theirs:
            here = self.here(name)
            if here is None or here not in ours or here in placed:
                left.append(name)
            else:
                placed[here] = name
        for name in ours:
            copied = _renamed(name, self.copies)
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
