"""Where media stand in a batch of token ids: looked for on the host, so that the device is never asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from modalink.devices import to_device
from modalink.errors import PromptError


@dataclass(frozen=True, eq=False)
class Places:
    """Where media stand in the ids of a batch, counted through its rows.

    Args:
        prompts: Modality -> places of its placeholders, `[n]`.
        signals: Modality -> places of its signal tokens, a row for each run, `[i, l]`; none of a modality without runs.
            None for an encoder-decoder, whose signal tokens stand in the decoder's ids.
    """

    prompts: dict[str, Int[Tensor, " n"]]
    signals: dict[str, Int[Tensor, "i l"]] | None

    def to(self, device: torch.device | str) -> "Places":
        """The same places on a device."""
        signals = self.signals and {modality: to_device(at, device) for modality, at in self.signals.items()}
        return Places({modality: to_device(at, device) for modality, at in self.prompts.items()}, signals)


def prompt_places(ids: Int[Tensor, "b t"], placeholders: Mapping[str, int]) -> dict[str, Int[Tensor, " n"]]:
    """Places of each modality's placeholders."""
    stream = ids.flatten()
    return {modality: (stream == token).nonzero().flatten() for modality, token in placeholders.items()}


def signal_places(ids: Int[Tensor, "b t"], signals: Mapping[str, Sequence[int]]) -> dict[str, Int[Tensor, "i l"]]:
    """Places of each run of signal tokens, for the modalities that have one.

    Raises:
        PromptError: A run of signal tokens is not whole.
    """
    stream, found = ids.flatten(), {}
    for modality, tokens in signals.items():
        run = torch.tensor(tokens, device=ids.device)
        at = torch.isin(stream, run).nonzero().flatten()
        if len(at) % len(run) or not (stream[at].view(-1, len(run)) == run).all():
            raise PromptError(
                f"found {len(at)} {modality} signal tokens that are no whole runs of {len(run)}; "
                "each medium needs all its signal tokens in order"
            )
        if len(at):
            found[modality] = at.view(-1, len(run))
    return found
