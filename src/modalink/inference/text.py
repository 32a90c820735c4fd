"""From the tokens of an answer to its text, piece by piece."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Int
from tokenizers.decoders import DecodeStream
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StoppingCriteria

from modalink.conversation import Content, Medium, Text


class Reader:
    """Reads tokens as they come; the pieces it gives, joined, are the answer's text.

    A piece is held back while it may be the beginning of a stop string, or white space at the end of the answer.

    Args:
        tokenizer: The LLM's tokenizer, with the system's tokens.
        stops: Strings that end an answer and are no special tokens.
        runs: Signal tokens by modality.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Iterable[str], runs: dict[str, list[int]]) -> None:
        self.backend = tokenizer.backend_tokenizer
        self.stream = DecodeStream(skip_special_tokens=True)
        self.stops = tuple(stops)
        self.firsts = {run[0]: modality for modality, run in runs.items()}
        self.raw = ""
        self.marks: list[tuple[int, str]] = []
        self.stopped = False
        self._given = 0

    def feed(self, ids: Iterable[int]) -> str:
        """Read tokens; the text that they make certain."""
        for token in ids:
            if self.stopped:
                break
            if token in self.firsts:
                self.marks.append((len(self.raw), self.firsts[token]))
            seen = len(self.raw)
            self.raw += self.stream.step(self.backend, token) or ""
            self._cut(seen)
        return self._give(0 if self.stopped else self._held())

    def finish(self) -> str:
        """The text that was held back, when no more tokens come."""
        self.stopped = True
        return self._give(0)

    @property
    def text(self) -> str:
        """The answer's text so far, without white space around it."""
        return self.raw.strip()

    def content(self, media: Iterable[Medium | None]) -> tuple[Content, ...]:
        """Text and media in their order, once the answer is finished.

        Args:
            media: What was made of each run of signal tokens, in order; None where nothing was.
        """
        start, end = self._start(), len(self.raw.rstrip())
        pieces: list[Content] = []
        for (place, _), medium in zip(self.marks, media, strict=True):
            if medium is None:
                continue
            pieces += [Text(self.raw[start : min(place, end)]), medium]
            start = min(max(start, place), end)
        pieces.append(Text(self.raw[start:end]))
        kept = tuple(piece for piece in pieces if isinstance(piece, Medium) or piece.text)
        return kept or (Text(""),)

    def _cut(self, seen: int) -> None:
        longest = max(map(len, self.stops), default=0)
        found = [self.raw.find(stop, max(0, seen - longest)) for stop in self.stops]
        if places := [place for place in found if place >= 0]:
            self.raw = self.raw[: min(places)]
            self.stopped = True

    def _held(self) -> int:
        """How many characters at the end may yet become a stop string."""
        beginnings = (stop[:length] for stop in self.stops for length in range(1, len(stop)))
        return max((len(beginning) for beginning in beginnings if self.raw.endswith(beginning)), default=0)

    def _start(self) -> int:
        return len(self.raw) - len(self.raw.lstrip())

    def _give(self, held: int) -> str:
        end = len(self.raw[: len(self.raw) - held].rstrip())
        start = max(self._given, self._start())
        self._given = max(start, end)
        return self.raw[start:end]


class StopStrings(StoppingCriteria):
    """Ends beams at stop strings that are no special tokens.

    Args:
        tokenizer: The LLM's tokenizer.
        stops: The strings.
        start: Where the answers begin in the sequences.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Iterable[str], start: int) -> None:
        self.tokenizer, self.stops, self.start = tokenizer, tuple(stops), start

    def __call__(self, input_ids: Int[Tensor, "b t"], scores: Any, **kwargs: Any) -> Bool[Tensor, " b"]:
        """Whether each beam is over."""
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        over = [any(stop in text for stop in self.stops) for text in texts]
        return torch.tensor(over, device=input_ids.device)
