"""One answer while it is decoded: its tokens, its random source, and whether it is over."""

import hashlib
import sys
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from modalink.inference.endings import Endings, longest
from modalink.inference.making import Maker
from modalink.inference.request import Begun, Made, Request
from modalink.inference.sampling import Sampling
from modalink.inference.text import Reader
from modalink.model import System
from modalink.roles import Conditions


class Sampler:
    """Draws tokens from a request's own random source, so that no other request changes what is drawn."""

    def __init__(self, sampling: Sampling) -> None:
        self.rng = torch.Generator().manual_seed(sampling.seed)
        self.warpers = LogitsProcessorList([TemperatureLogitsWarper(float(sampling.temperature))])
        if sampling.top_p < 1:
            self.warpers.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, scores: Float[Tensor, " v"]) -> int:
        """One token.

        `multinomial` divides the probabilities by exponential noise and takes the largest: unlike a search through
        their cumulative sum, rounding decides only between two tokens that are equally good.
        """
        warped = self.warpers(torch.empty(1, 0, dtype=torch.long), scores[None].cpu())
        return int(torch.multinomial(warped.softmax(-1), 1, generator=self.rng))


class Row:
    """One answer in the making.

    Args:
        system: The system that answers.
        request: What it is asked.

    Raises:
        GenerationError: The conversation is too long for the LLM.
    """

    def __init__(self, system: System, request: Request) -> None:
        self.request = request
        self.sampler = Sampler(request.sampling) if request.sampling.draws else None
        self.ends = Endings.of(system, request.sampling.stop)
        self.signals: dict[str, list[int]] = system.model.config.signals
        self.reader = Reader(system.processor.tokenizer, self.ends.strings, self.signals)
        # An encoder-decoder's answer stands after its own start token, a decoder's after the prompt.
        start = 1 if system.model.config.is_encoder_decoder else len(request.prompt.input_ids)
        self.length = longest(system, start, request.sampling.max_new_tokens)
        self.limit = longest(system, start, sys.maxsize)
        self.read = 0
        """Tokens of media that were made and read in the middle of the answer: they take space, and are not its own."""
        self.maker = Maker(system, request.sampling, request.watch)
        self.made: dict[int, Made] = {}
        """Media that were made before the answer was whole, by their place among its media."""
        self.ids: list[int] = []
        self.log_probabilities: list[float] = []
        self.conditions: dict[str, list[Conditions]] = {}
        self.pieces: list[str | Begun] = []
        self.begun: str | None = None
        """Modality of a run of signal tokens of which only the first was taken."""
        self.finish_reason: Literal["stop", "length"] | None = None

    @property
    def room(self) -> int:
        """How many tokens the answer may still take."""
        return min(self.length - len(self.ids), self.space)

    @property
    def space(self) -> int:
        """How many tokens the LLM can read behind it."""
        return self.limit - self.read - len(self.ids)

    @property
    def full(self) -> bool:
        """Whether it asks for as many media as it may."""
        return len(self.reader.marks) >= self.request.sampling.max_media

    def noise(self, modality: str, number: int | None = None) -> torch.Generator:
        """The source of noise for the conditions of one of its media, the next one if not told; none is another's."""
        number = len(self.conditions.get(modality, ())) if number is None else number
        place = f"{self.request.sampling.seed}/conditions/{modality}/{number}"
        seed = int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big") >> 1
        return torch.Generator().manual_seed(seed)

    def take(self, token: int, log_probability: float) -> None:
        """Take a drawn token."""
        self._read([token], [log_probability])
        self.begun = next((modality for modality, run in self.signals.items() if run[0] == token), None)
        if self.begun is None:
            self._finish()

    def take_run(self, conditions: Conditions) -> None:
        """Take the rest of the run that has begun, and what its states became: conditions of one item."""
        assert self.begun is not None
        rest = self.signals[self.begun][1:]
        self._read(rest, [0.0] * len(rest))
        self.conditions.setdefault(self.begun, []).append(conditions)
        self.pieces.append(Begun(self.begun, len(self.reader.marks)))
        self.begun = None
        self._finish()

    def make(self) -> Made:
        """The medium that was asked for last, made at once."""
        place = len(self.reader.marks) - 1
        modality = self.reader.marks[place][1]
        self.made[place] = self.maker.make(modality, self.conditions[modality][-1], number=place + 1)
        return self.made[place]

    def _read(self, tokens: Sequence[int], log_probabilities: Sequence[float]) -> None:
        self.ids.extend(tokens)
        self.log_probabilities.extend(log_probabilities)
        self.pieces.append(self.reader.feed(tokens))

    def _finish(self) -> None:
        if self.reader.stopped or self.ids[-1] in self.ends.tokens:
            self.finish_reason = "stop"
        elif self.room <= 0:
            self.finish_reason = "length"
        if self.finish_reason:
            self.pieces.append(self.reader.finish())
