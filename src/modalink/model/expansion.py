"""From one placeholder a medium to the tokens that the LLM sees: one a prompt token, with the recipe's marks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from modalink.model.prepared import IGNORED
from modalink.ragged import Layout
from modalink.recipe import MarksSpec


@dataclass(frozen=True)
class Expanded:
    """Tokens of a sample, all media spelled out.

    Args:
        ids: Token ids.
        labels: Labels; what stands for a medium carries none.
        fixed: Which tokens belong to media: they are never cut.
    """

    ids: list[int]
    labels: list[int]
    fixed: list[bool]


class ItemText:
    """How an item of one modality is written: placeholders, and the marks around and between them.

    With a begin mark `B`, an end mark `E`, a row mark `/` and two rows of three tokens, an item is `B III/III E`.

    Args:
        token: Id of the placeholder.
        marks: The marks, as texts.
        encode: Gives the tokens of a text.
        vectors: How many places of the join's own stand before the prompt tokens, and behind them.
    """

    def __init__(
        self, token: int, marks: MarksSpec, encode: Callable[[str], list[int]], vectors: tuple[int, int] = (0, 0)
    ) -> None:
        self.token, self.marks, self.encode, self.vectors = token, marks, encode, vectors

    def ids(self, layout: Layout) -> list[int]:
        """The tokens of an item whose prompt tokens lie so."""
        marks, columns = self.marks, layout.tiles[1] if layout.tiles else len(layout.blocks)
        tiles = [number for number in range(len(layout.blocks)) if number != layout.thumbnail]
        row_starts = {*tiles[columns::columns]}
        ids = self.encode(marks.begin) + [self.token] * self.vectors[0]
        for number, (tokens, grid) in enumerate(zip(layout.blocks, layout.block_grids, strict=True)):
            if number:
                ids += self.encode(marks.between_tile_rows if number in row_starts else marks.between_blocks)
            time = layout.times_s[number] if layout.times_s else 0.0
            ids += self.encode(marks.before_block.format(number=number + 1, time=time))
            ids += self._block(tokens, grid)
        return ids + [self.token] * self.vectors[1] + self.encode(marks.end)

    def _block(self, tokens: int, grid: tuple[int, int] | None) -> list[int]:
        if not self.marks.between_rows or grid is None:
            return [self.token] * tokens
        rows = [[self.token] * grid[1]] * grid[0]
        mark = self.encode(self.marks.between_rows)
        return rows[0] + [token for row in rows[1:] for token in (*mark, *row)]


def expand(
    ids: Sequence[int],
    labels: Sequence[int],
    items: Mapping[int, Iterable[list[int]]],
    given: Mapping[int, bool],
    *,
    first: bool = False,
) -> Expanded:
    """Let each placeholder stand for its item: with two prompt tokens, `[7, I, 9]` becomes `[7, I, I, 9]`.

    Args:
        ids: Token ids, one placeholder an item.
        labels: Their labels.
        items: Placeholder -> the tokens of each item, in order.
        given: Signal tokens -> whether they follow without a choice: of a run the first is learned
            (GILL, arXiv 2305.17216).
        first: Whether all items stand before all other tokens.
    """
    spelled = {token: iter(texts) for token, texts in items.items()}
    if first:
        order = sorted(range(len(ids)), key=lambda place: ids[place] not in items)
        ids, labels = [ids[place] for place in order], [labels[place] for place in order]
    out = Expanded([], [], [])
    for token, label in zip(ids, labels, strict=True):
        item = next(spelled[token]) if token in spelled else None
        written = [token] if item is None else item
        out.ids.extend(written)
        out.labels.extend([IGNORED if item is not None or given.get(token) else label] * len(written))
        out.fixed.extend([item is not None or token in given] * len(written))
    return out
