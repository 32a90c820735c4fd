"""The Perceiver resampler: the numbers of mlfoundations/open_flamingo@655f693, and transformers' class.

The numbers were made so: `PerceiverResampler(dim=16, depth=2, dim_head=64, heads=2, num_latents=6, max_num_frames=3)`
of open_flamingo/src/helpers.py, each of its tensors drawn for its name, `frame_embs` too, by `seeded.drawn`. Names and
shapes are in `perceiver.json`, and what it made of the items below, to six places.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor
from transformers import IdeficsConfig
from transformers.models.idefics.perceiver import IdeficsPerceiverResampler

from modalink.projectors.inputs.perceiver import PerceiverConfig

TOLERANCE = 1e-5
"""The references compute attention in another order."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A picture, and a video, whose frames have positions."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    config = PerceiverConfig(queries=6, layers=2, heads=2, positions={"most": 3})
    ours = seeded.borrowed(config, numbers["tensors"], folder, dim_in=16, dim_out=16)
    ours.positions.table.weight.copy_(seeded.drawn("perceiver.frame_embs", (3, 16)))
    for what, layout in (("a picture", seeded.IMAGE), ("a video", seeded.VIDEO)):
        found = ours(seeded.tokens(layout, 16)).values
        yield f"OpenFlamingo's code, {what}", found, torch.tensor(numbers[what])
    for norm in (False, True):
        whole = IdeficsConfig(vision_config={"embed_dim": 16}, perceiver_config={"qk_layer_norms_perceiver": norm})
        reference = IdeficsPerceiverResampler(whole, 16, 2, 3, 4, 6).eval()
        held = {f"model.perceiver_resampler.{name}": tensor for name, tensor in reference.state_dict().items()}
        config = PerceiverConfig(queries=6, layers=2, heads=3, head_width=4, activation="relu", qk_norm=norm)
        ours = seeded.borrowed(config, held, folder, dim_in=16, dim_out=16)
        tokens = seeded.tokens(seeded.IMAGE, 16)
        name = "transformers' `IdeficsPerceiverResampler`" + ", norms of queries and keys" * norm
        yield name, ours(tokens).values, reference(tokens.values[None])[0]
