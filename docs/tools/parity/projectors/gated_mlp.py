"""The gated MLP: the numbers of THUDM/CogVLM@f7283b2, and transformers' class for GLM-4V.

The numbers were made so: `GLU` of utils/models/cogvlm_model.py from a width of 12 to 16, with a gate of 24, between
`boi` and `eoi` as its `ImageMixin` has them, each tensor drawn by `seeded.drawn` for the name that it has in the
checkpoints on the hub. Names and shapes are in `gated_mlp.json`, and what it made of the picture below, to six places.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor
from transformers.models.glm4v.modeling_glm4v import Glm4vVisionPatchMerger

from modalink.projectors.inputs.gated_mlp import GatedMlpConfig

TOLERANCE = 1e-5
"""The numbers are rounded."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A picture between two learned tokens, and without them."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    config = GatedMlpConfig(feed_forward=24, start=True, newline="item")
    ours = seeded.borrowed(config, numbers["tensors"], folder, dim_in=12, dim_out=16)
    found = ours(seeded.tokens(seeded.IMAGE, 12)).values
    yield "CogVLM's code", found, torch.tensor(numbers["a picture"])
    reference = Glm4vVisionPatchMerger(dim=16, context_dim=24, hidden_act="silu")
    held = {f"model.visual.merger.{name}": tensor for name, tensor in reference.state_dict().items()}
    ours = seeded.borrowed(GatedMlpConfig(feed_forward=24), held, folder, dim_in=16, dim_out=16)
    tokens = seeded.tokens(seeded.IMAGE, 16)
    yield "transformers' `Glm4vVisionPatchMerger`", ours(tokens).values, reference(tokens.values)
