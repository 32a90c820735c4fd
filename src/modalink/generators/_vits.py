"""VITS speaks (arXiv 2106.06103), end to end, as MMS (arXiv 2305.13516) does in more than a thousand languages.

The network is transformers', which draws its noise from torch's own source: that one is set from the text's source and
put back. Between two passages it can be stopped.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink.roles import ShouldStop


class VitsVoice(nn.Module):
    """A voice that speaks one passage.

    Args:
        model: `VitsModel`.
        speaker: Which of its speakers; None where it has one.
    """

    def __init__(self, model: Any, speaker: int | None) -> None:
        super().__init__()
        self.model, self.speaker = model, speaker

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        rate: int = self.model.config.sampling_rate
        return rate

    def forward(self, ids: list[int], rng: torch.Generator, should_stop: ShouldStop | None) -> Float[Tensor, " n"]:
        """The samples of a passage."""
        device = self.model.device
        seed = int(torch.randint(2**63 - 1, (1,), generator=rng, device=rng.device))
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            wave: Tensor = self.model(torch.tensor([ids], device=device), speaker_id=self.speaker).waveform
        return wave[0]
