"""Which media each token of a pass reads: known on the host, and kept for the tokens behind its cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from modalink.devices import to_device
from modalink.roles import Meeting, Placed, Rows

Attends = Literal["last", "all"]
KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Views:
    """What tokens read together: one row of media tokens for each run of tokens that read the same.

    Args:
        tokens: Media tokens, padded with zeros.
        there: Which of them are no padding; None if all are.
        kept: What blocks computed of them where nothing learns, by block.
    """

    tokens: Float[Tensor, "r m d"]
    there: Bool[Tensor, "r m"] | None
    kept: dict[int, KeysValues] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Float[Tensor, "_ d"]]) -> "Views":
        """Views of these tokens each."""
        lengths = torch.tensor([len(row) for row in rows])[:, None]
        tokens = pad_sequence(list(rows), batch_first=True)
        even = int(lengths.min()) == tokens.shape[1]
        return cls(tokens, None if even else to_device(torch.arange(tokens.shape[1]) < lengths, tokens.device))

    def row(self, number: int) -> Float[Tensor, "m d"]:
        """The media tokens of one row."""
        return self.tokens[number] if self.there is None else self.tokens[number][self.there[number]]

    def keys_values(self, block: int, project: Callable[[Tensor], KeysValues]) -> KeysValues:
        """What a block computes of the media tokens: once, where nothing learns from it."""
        if torch.is_grad_enabled():
            return project(self.tokens)
        if block not in self.kept:
            self.kept[block] = project(self.tokens)
        return self.kept[block]

    def select(self, numbers: Sequence[int]) -> "Views":
        """Some of the rows; all of them are the same views."""
        if [*numbers] == [*range(len(self.tokens))]:
            return self
        index = torch.tensor(numbers, dtype=torch.long, device=self.tokens.device)
        kept = {block: (keys[index], values[index]) for block, (keys, values) in self.kept.items()}
        return Views(self.tokens[index], None if self.there is None else self.there[index], kept)


@dataclass(frozen=True, eq=False)
class Sight(Meeting):
    """What the tokens of a pass read.

    For example, in a sample `[a, I, b, J, c]` with the items I and J, the runs are `[I, b]`, which reads I, and
    `[J, c]`, which reads J; `a` reads nothing, and a token behind the sample reads J.

    Args:
        views: What each run reads; None where there are no media at all.
        index: Places of the tokens in runs, in the pass's rows laid one after the other.
        places: Places of the same tokens in rows of the longest run, one a run, laid one after the other.
        longest: Tokens of the longest run.
        last: What tokens behind each sample read: a row of the views, or None.
    """

    views: Views | None
    index: Int[Tensor, " n"] | None
    places: Int[Tensor, " n"] | None
    longest: int
    last: tuple[int | None, ...]

    @classmethod
    def of(cls, rows: Rows, items: Sequence[Placed], before: "Sight | None", attends: Attends) -> "Sight":
        """The sight of a pass.

        Args:
            rows: What the LLM reads.
            items: The media in it.
            before: The sight of the tokens before.
            attends: Whether a token reads the last item before it, or all.
        """
        runs: list[tuple[int, int]] = []
        read: list[Tensor] = []
        last: list[int | None] = []
        found = sorted(
            ((start, tokens) for placed in items for start, tokens in zip(placed.starts, placed.prompt, strict=True)),
            key=lambda item: item[0],
        )
        if not found and before is not None:
            return before._behind(rows)
        for number, (start, length) in enumerate(zip(rows.starts, rows.samples, strict=True)):
            own = [item for item in found if start <= item[0] < start + length]
            seen = before._seen(number) if before is not None else None
            if seen is not None:
                runs.append((start, own[0][0] if own else start + length))
                read.append(seen)
            for place, (begin, tokens) in enumerate(own):
                seen = tokens if attends == "last" or seen is None else torch.cat([seen, tokens])
                runs.append((begin, own[place + 1][0] if place + 1 < len(own) else start + length))
                read.append(seen)
            last.append(len(read) - 1 if seen is not None else None)
        return cls._of_runs(Views.of(read) if read else None, runs, tuple(last))

    @classmethod
    def _of_runs(cls, views: Views | None, runs: Sequence[tuple[int, int]], last: tuple[int | None, ...]) -> "Sight":
        if views is None:
            return cls(None, None, None, 0, last)
        longest = max(end - begin for begin, end in runs)
        index = torch.cat([torch.arange(begin, end) for begin, end in runs])
        places = torch.cat([row * longest + torch.arange(end - begin) for row, (begin, end) in enumerate(runs)])
        device = views.tokens.device
        return cls(views, to_device(index, device), to_device(places, device), longest, last)

    def _seen(self, sample: int) -> Float[Tensor, "m d"] | None:
        row = self.last[sample]
        return None if row is None or self.views is None else self.views.row(row)

    def _behind(self, rows: Rows) -> "Sight":
        """The sight of tokens that bring no media."""
        kept = self.kept()
        spans = [(start, start + length) for start, length in zip(rows.starts, rows.samples, strict=True)]
        runs = [span for span, row in zip(spans, kept.last, strict=True) if row is not None]
        return self._of_runs(kept.views, runs, kept.last)

    def kept(self) -> "Sight":
        """What passes behind this one need: a row of views for each sample that reads something."""
        return self.select(range(len(self.last)))

    def select(self, index: Sequence[int]) -> "Sight":
        rows = [self.last[number] for number in index]
        wanted = [row for row in rows if row is not None]
        numbers = iter(range(len(wanted)))
        last = tuple(None if row is None else next(numbers) for row in rows)
        views = self.views.select(wanted) if self.views is not None and wanted else None
        return Sight(views, None, None, 0, last)

    def beside(self, others: Sequence[Meeting]) -> "Sight":
        sights = [self, *(other for other in others if isinstance(other, Sight))]
        seen = [sight._seen(number) for sight in sights for number in range(len(sight.last))]
        read = [tokens for tokens in seen if tokens is not None]
        numbers = iter(range(len(read)))
        last = tuple(None if tokens is None else next(numbers) for tokens in seen)
        return Sight(Views.of(read) if read else None, None, None, 0, last)

    def runs(self, states: Float[Tensor, "n d"]) -> Float[Tensor, "r longest d"]:
        """The tokens of runs as rows, padded with zeros."""
        assert self.views is not None and self.index is not None and self.places is not None
        rows = states.new_zeros(len(self.views.tokens) * self.longest, states.shape[-1])
        return rows.index_copy(0, self.places, states[self.index]).unflatten(0, (-1, self.longest))

    def flat(self, rows: Float[Tensor, "r longest d"], like: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The rows of runs at the places of their tokens, zeros elsewhere."""
        assert self.index is not None and self.places is not None
        found = rows.flatten(0, 1)[self.places].to(like.dtype)
        return torch.zeros_like(like).index_copy(0, self.index, found)
