"""What output projectors read of the LLM: its states at signal tokens, or of the conversation that stands before them.

Source: states at signal tokens, GILL (arXiv 2305.17216) and its successors; one place before them, MiniGPT-5
(minigpt4/models/mini_gpt5.py); several layers and input embeddings, NExT-GPT (code/model/anyToImageVideoAudio.py);
states of the prompt, UniWorld-V1 (arXiv 2506.03147).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from modalink.errors import PartError, PromptError
from modalink.model.places import Placement
from modalink.recipe import StatesSpec


@dataclass(frozen=True)
class Asked:
    """What a projector reads of each medium that is asked for.

    Args:
        states: As many of each item.
        mask: Which of them are there; None where all are.
    """

    states: Float[Tensor, "i k d_llm"]
    mask: Bool[Tensor, "i k"] | None = None

    def take(self, items: Sequence[int]) -> "Asked":
        """Some of the items."""
        return Asked(self.states[[*items]], None if self.mask is None else self.mask[[*items]])


@dataclass(frozen=True)
class Earlier:
    """What was read of the tokens before those of a pass, which a cache stands for.

    Args:
        states: Of each row's tokens, joined over layers.
        mask: 1 for tokens and 0 for padding.
    """

    states: Float[Tensor, "b t d_llm"]
    mask: Tensor


class StateReader(nn.Module):
    """Reads the LLM's states as settings say; where layers are weighed, the weights are its parameters.

    Args:
        spec: The settings.
        count: How many states of an item are read.
        layers: How many layers the LLM has.
        width: Of the LLM, and of the vectors of neighbours that stand beside the states, where some do.

    Raises:
        PartError: It has no such layer.
    """

    def __init__(self, spec: StatesSpec, count: int, layers: int, width: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        if unknown := [layer for layer in spec.layers if not -layers - 1 <= layer <= layers]:
            raise PartError(f"states: found the layer {unknown[0]}, needed {-layers - 1} to {layers} of this LLM")
        self.spec, self.count = spec, count
        self.layer_weights = nn.Parameter(torch.zeros(len(spec.layers))) if spec.weights == "learned" else None
        self.neighbour = nn.Linear(width[1], width[0]) if spec.neighbours else None

    @property
    def total(self) -> int:
        """How many states its projector reads, those of neighbours among them."""
        return self.count + self.spec.neighbours

    @property
    def reads_prompt(self) -> bool:
        """Whether it reads what stands before the signal tokens."""
        return self.spec.at == "prompt"

    @property
    def looks_back(self) -> bool:
        """Whether it reads what a cache stands for."""
        return self.spec.at != "signals"

    def joined(self, layers: Sequence[Float[Tensor, "b t d_llm"]]) -> Float[Tensor, "b t d_llm"]:
        """One state a token of the states of all layers, input embeddings first.

        Embeddings are added here where they are of the same tokens.
        """
        chosen = [layers[layer] for layer in self.spec.layers]
        if self.layer_weights is not None:
            shares = self.layer_weights.softmax(0)
            found = sum((share * states for share, states in zip(shares, chosen, strict=True)), torch.zeros(()))
            joined: Tensor = found.to(chosen[0].dtype)
        else:
            joined = chosen[0] if len(chosen) == 1 else torch.stack(chosen).mean(0)
        return joined + layers[0] if self.spec.embeddings and self.spec.at != "before" else joined

    def asked(
        self,
        layers: Sequence[Float[Tensor, "b t d_llm"]],
        runs: Placement,
        mask: Tensor | None = None,
        earlier: Earlier | None = None,
        neighbours: Float[Tensor, "i n d_vec"] | None = None,
    ) -> Asked:
        """What the projector reads for each run of signal tokens.

        Args:
            layers: The states of all layers.
            runs: The places of the runs.
            mask: 1 for tokens and 0 for padding, `[b, t]`, where some may stand before a prompt.
            earlier: What was read of the tokens before.
            neighbours: The vectors of what was found for each run, or for all of them; none were found if not given.

        Raises:
            PromptError: Nothing stands before a run, and it should be read.
        """
        states = self.joined(layers)
        if not self.reads_prompt:
            if self.looks_back:
                states = self._moved(states, runs, earlier) + (layers[0] if self.spec.embeddings else 0)
            found = states.flatten(0, 1).index_select(0, runs.index)
            return Asked(self._beside(found.view(len(runs.lengths), -1, states.shape[-1]), neighbours))
        flat, there = states.flatten(0, 1), None if mask is None else mask.flatten().bool()
        fitted, masks = [], []
        for number, (origin, start) in enumerate(zip(runs.origins, runs.starts, strict=True)):
            own = flat[origin:start] if there is None else flat[origin:start][there[origin:start]]
            if earlier is not None:
                row = start // states.shape[1]
                own = torch.cat([earlier.states[row][earlier.mask[row].bool()], own])
            if not len(own):
                raise _nothing_before(runs, number)
            fitted.append(self._fitted(own))
            masks.append(torch.arange(self.count) < len(own))
        whole = self.spec.fit == "resample"
        return Asked(torch.stack(fitted), None if whole else torch.stack(masks).to(states.device))

    def _beside(
        self, states: Float[Tensor, "i k d_llm"], vectors: Float[Tensor, "j n d_vec"] | None
    ) -> Float[Tensor, "i m d_llm"]:
        """States with those of neighbours behind them; zeros are mapped where none were found."""
        if self.neighbour is None:
            return states
        weight = self.neighbour.weight
        if vectors is None:
            vectors = weight.new_zeros(1, self.spec.neighbours, weight.shape[1])
        found = self.neighbour(vectors[:, : self.spec.neighbours].to(weight)).to(states.dtype)
        return torch.cat([states, found.expand(len(states), -1, -1)], 1)

    def _moved(
        self, states: Float[Tensor, "b t d_llm"], runs: Placement, earlier: Earlier | None
    ) -> Float[Tensor, "b t d_llm"]:
        """At each token the state of the one before."""
        if earlier is not None:
            return torch.cat([earlier.states[:, -1:], states[:, :-1]], 1)
        for number, (origin, start) in enumerate(zip(runs.origins, runs.starts, strict=True)):
            if start == origin:
                raise _nothing_before(runs, number)
        return states.roll(1, dims=1)

    def _fitted(self, states: Float[Tensor, "n d_llm"]) -> Float[Tensor, "k d_llm"]:
        """States of a prompt as the number that is read."""
        if self.spec.fit == "resample":
            lines = states.float().T[None]
            resampled = functional.interpolate(lines, size=self.count, mode="linear", align_corners=True)
            return resampled[0].T.to(states.dtype)
        last = states[-self.count :]
        return functional.pad(last, (0, 0, 0, self.count - len(last)))


def _nothing_before(runs: Placement, number: int) -> PromptError:
    return PromptError(
        f"{runs.samples[number] or 'a conversation'}: found nothing before its signal tokens, needed a prompt, whose "
        "states the projector reads"
    )
