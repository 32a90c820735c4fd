"""The gated MLP: the numbers of THUDM/CogVLM@f7283b2, and transformers' class for GLM-4V.

The numbers were made so: `GLU` of utils/models/cogvlm_model.py from a width of 12 to 16, with a gate of 24, between
`boi` and `eoi` as its `ImageMixin` has them, each tensor set to the one that `seeded.weights` draws for the name that
`NAMES` makes of it; what it made of the picture below is in `gated_mlp.json`, to six places.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor
from transformers.models.glm4v.modeling_glm4v import Glm4vVisionPatchMerger

from modalink.projectors.inputs.gated_mlp import NAMES, GatedMlpConfig

TOLERANCE = 1e-5
"""The numbers are rounded."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A picture between two learned tokens, and without them."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    config = GatedMlpConfig(feed_forward=24, start=True, newline="item")
    ours = config.build(dim_in=12, dim_out=16, example=seeded.IMAGE)
    ours.load_state_dict(seeded.weights(ours))
    found = ours(seeded.tokens(seeded.IMAGE, 12)).values
    yield "CogVLM's code", found, torch.tensor(numbers["a picture"])
    reference = Glm4vVisionPatchMerger(dim=16, context_dim=24, hidden_act="silu")
    ours = GatedMlpConfig(feed_forward=24).build(dim_in=16, dim_out=16, example=seeded.IMAGE)
    held = {f"visual.merger.{name}": tensor for name, tensor in reference.state_dict().items()}
    ours.load_state_dict({seeded.renamed(name, NAMES): tensor for name, tensor in held.items()})
    tokens = seeded.tokens(seeded.IMAGE, 16)
    yield "transformers' `Glm4vVisionPatchMerger`", ours(tokens).values, reference(tokens.values)
