"""Layer-wise decay of a learning rate: the nearer a block stands to the input, the less it learns.

Source: BEiT (arXiv 2106.08254, appendix) and the fine-tuning of ELECTRA (arXiv 2003.10555); Qwen-VL trains its encoder
so (arXiv 2308.12966, appendix).
"""

import re
from collections.abc import Mapping, Sequence

from torch import nn

from modalink.errors import TrainingError

Members = Sequence[tuple[str, nn.Parameter]]
"""Names and parameters of a group."""
_NUMBERED = re.compile(r"(?P<list>(?:[^.]+\.)*?[^.]+)\.(?P<number>\d+)\.")


def by_depth(group: str, members: Members, decay: float) -> list[tuple[float, list[tuple[str, nn.Parameter]]]]:
    """The members that share a factor of the learning rate, with it, from the input on.

    Of n blocks, what stands behind the last has the whole rate, block `i` (from 0) `decay ** (n - i)`, and what stands
    before the first `decay ** (n + 1)`.

    Args:
        group: Its name, for errors.
        members: In the order of the model, so that what is defined before the blocks stands before them.
        decay: Factor from a block to the one before it.

    Raises:
        TrainingError: The group holds no list of blocks.
    """
    numbers = _block_numbers(group, [name for name, _ in members])
    count = max(numbers.values()) + 1
    begun, depths = False, []
    for name, _ in members:
        begun = begun or name in numbers
        depths.append(numbers[name] + 1 if name in numbers else (count + 1) * begun)
    by: dict[int, list[tuple[str, nn.Parameter]]] = {}
    for depth, member in zip(depths, members, strict=True):
        by.setdefault(depth, []).append(member)
    return [(decay ** (count + 1 - depth), by[depth]) for depth in sorted(by)]


def _block_numbers(group: str, names: Sequence[str]) -> Mapping[str, int]:
    """The number of the block of each parameter in the longest list of blocks."""
    lists: dict[str, dict[str, int]] = {}
    for name in names:
        if found := _NUMBERED.match(name):
            lists.setdefault(found["list"], {})[name] = int(found["number"])
    if not lists:
        raise TrainingError(f"{group}: layer_decay needs a list of blocks, and there is none; leave layer_decay out")
    return max(lists.values(), key=lambda numbers: len({*numbers.values()}))
