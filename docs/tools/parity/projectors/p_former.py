"""The P-Former: the numbers of yiren-jian/BLIText@7e633e0, lavis/models/blip2_models/pformer_opt.py.

The numbers were made so: its `cls_proj`, `pooler` and `opt_proj` from a width of 12 to 5 prompts of a width of 20, each
tensor drawn by `seeded.drawn` for its name here, on the class vectors below. `p_former.json` has the prompts.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor

from modalink.projectors.inputs.p_former import PFormerConfig
from modalink.ragged import Layout, Ragged

TOLERANCE = 1e-5
"""The numbers are rounded."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The class vectors of four sentences."""
    ours = PFormerConfig(queries=5, width=12, contrast=None).build(dim_in=12, dim_out=20, example=Layout.of_units(1))
    for name, parameter in ours.named_parameters():
        parameter.copy_(seeded.drawn(name, parameter.shape))
    vectors = seeded.drawn("sentences", (4, 12)) * 12**0.5
    found = ours(Ragged(vectors, (1,) * 4, (Layout.of_units(1),) * 4))
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    yield "BLIText's code", found.values, torch.tensor(numbers)
