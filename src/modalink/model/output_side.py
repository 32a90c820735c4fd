"""The output side: from the LLM's states at signal tokens to the conditions of generators."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modalink.model.conditioning import conditions_of, heads
from modalink.model.configuration import ModalinkConfig
from modalink.model.places import Placement, signal_runs
from modalink.model.states import Asked, Earlier, StateReader
from modalink.roles import Conditions, ConditionShape, OutputProjector


class OutputSide:
    """What a system does with its output projectors; one half of the composite, whose modules these are.

    Attributes:
        output_projectors: Output projector by output modality; several in a `ModuleDict` by the condition each makes.
        state_readers: What reads the LLM's states for these.
        condition_shapes: The conditions that each output modality's generator declares.
    """

    config: ModalinkConfig
    output_projectors: nn.ModuleDict
    state_readers: nn.ModuleDict
    condition_shapes: dict[str, dict[str, ConditionShape]]

    def asked(
        self,
        spoken: Int[Tensor, "b t"],
        layers: Sequence[Float[Tensor, "b t d_llm"]],
        signals: Mapping[str, Placement] | None = None,
        mask: Tensor | None = None,
        earlier: Mapping[str, Earlier] | None = None,
        neighbours: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Asked]:
        """What output projectors read for each run of signal tokens, in reading order, by modality.

        Args:
            spoken: Ids of the tokens at which the states stand.
            layers: The LLM's hidden states of every layer.
            signals: The places of the runs, by modality; found in the tokens where they are not given.
            mask: 1 for tokens and 0 for padding, where some may stand on the left.
            earlier: What `heard` gave of the tokens before.
            neighbours: The vectors of what was found for each run, `[i n d]`, or for all `[1 n d]`, by modality.

        Raises:
            PromptError: A run of signal tokens is not whole, or nothing stands before one whose prompt is read.
        """
        found = {}
        for modality, ids in self.config.signals.items():
            runs = signal_runs(spoken, ids, modality) if signals is None else signals.get(modality)
            if runs is not None:
                owner = self.link_owner(modality)
                beside = (neighbours or {}).get(modality)
                found[modality] = self.reader(modality).asked(layers, runs, mask, (earlier or {}).get(owner), beside)
        return found

    def heard(self, layers: Sequence[Float[Tensor, "b t d_llm"]]) -> dict[str, Float[Tensor, "b t d_llm"]]:
        """What must be kept of all tokens for output projectors that look back, by their modality."""
        return {owner: self.reader(owner).joined(layers) for owner in self.listening}

    @property
    def listening(self) -> tuple[str, ...]:
        """The modalities whose output projectors read what stands before the signal tokens."""
        return tuple(m for m in self.state_readers if self.reader(m).looks_back)

    def conditions(
        self, asked: Mapping[str, Asked], rngs: Mapping[str, Sequence[torch.Generator]] | None = None
    ) -> dict[str, Conditions]:
        """The conditions that output projectors make of what they read.

        Args:
            asked: What they read, by modality.
            rngs: By modality, for each item its own source of noise, for projectors that draw.
        """
        return {
            modality: conditions_of(
                self.link(modality), found, self.condition_shapes[modality], (rngs or {}).get(modality)
            )
            for modality, found in asked.items()
        }

    def nothing(self, modality: str) -> Conditions | None:
        """What output projectors make of states that are zero, one item, where guidance steers away from that."""
        if self.config.spec["outputs"][modality].get("nothing") != "zeros":
            return None
        link, width = self.link(modality), cast(Any, self).get_input_embeddings().embedding_dim
        states = next(link.parameters()).new_zeros(1, self.reader(modality).total, width)
        return conditions_of(link, Asked(states), self.condition_shapes[modality])

    def link_owner(self, modality: str) -> str:
        """The modality whose output projectors make the conditions of this one."""
        return self.config.link_owners.get(modality, modality)

    def link(self, modality: str) -> nn.Module:
        """The output projectors that make the conditions of a modality."""
        return self.output_projectors[self.link_owner(modality)]

    def reader(self, modality: str) -> StateReader:
        """What reads the LLM's states for them."""
        return cast(StateReader, self.state_readers[self.link_owner(modality)])

    def heads(self, modality: str) -> dict[str, OutputProjector]:
        """The output projectors of a modality by the condition that each makes; none where one makes all at once."""
        return heads(self.link(modality), self.condition_shapes[modality])
