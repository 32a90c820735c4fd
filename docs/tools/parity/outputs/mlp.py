"""The MLP: torch's maps in the order that CoDi-2's code and UniWorld's have them."""

from collections.abc import Iterator
from pathlib import Path

import seeded
from torch import Tensor, nn

from modalink.projectors.outputs.mlp import MlpOutputConfig

TOLERANCE = 1e-6


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A state that becomes one vector, and states that become a token each."""
    states = seeded.drawn("states", (2, 3, 24))
    codi = nn.Sequential(nn.Linear(24, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 8)).eval()
    config = MlpOutputConfig(width=8, norm=False, norm_inside=True)
    ours = config.build(dim_in=24, dim_out=8, tokens_in=1, tokens_out=1).eval()
    _fill(ours, codi)
    yield "torch's maps, as CoDi-2's `codi_llama_decode`", ours(states[:, :1]), codi(states[:, :1])
    univa = nn.Sequential(nn.Linear(24, 18), nn.SiLU(), nn.Linear(18, 6)).eval()
    config = MlpOutputConfig(width=18, norm=False, activation="silu")
    ours = config.build(dim_in=24, dim_out=6, tokens_in=3, tokens_out=3).eval()
    _fill(ours, univa)
    yield "torch's maps, as UniWorld's `denoise_projector`", ours(states), univa(states)


def _fill(ours: nn.Module, maps: nn.Sequential) -> None:
    for own, theirs in zip(ours.layers[1:], maps, strict=True):
        own.load_state_dict(theirs.state_dict())
