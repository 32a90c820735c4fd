"""Point-BERT: numbers that the authors' code gave, salesforce/ULIP, models/pointbert, for seeded weights.

How they were made: `PointTransformer` and `PointTransformer_Colored` with the sizes of `SMALL`, in evaluation mode;
each tensor of their state dicts set to what `drawn` gives for its name; their CUDA operations replaced by plain ones,
the farthest points from the first point on. They read `points`; in `point_bert.json` are every fourth token behind the
last norm (`tokens`) and what `forward` gives (`pooled`), to six places.
"""

import json
import zlib
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from modalink.encoders.point_bert import PointBertConfig
from modalink.ragged import Layout, Ragged
from modalink.testing.checkpoints import point_bert_name

TOLERANCE = 1e-5
"""Attention is computed in another order, and neighbours by exact distances."""
SMALL = {"depth": 2, "width": 32, "heads": 4, "encoder_width": 32, "groups": 16, "group_size": 8}


def drawn(name: str, like: Tensor) -> Tensor:
    """A weight that the authors' name of it decides."""
    values = torch.randn(like.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))) * 0.3
    if name.endswith("running_var"):
        return values.abs() + 0.5
    return torch.zeros_like(like) if name.endswith("num_batches_tracked") else values


def points(channels: int) -> Tensor:
    """A hundred points, the same in every process."""
    return torch.rand(100, channels, generator=torch.Generator().manual_seed(0)) * 2 - 1


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Points with colours and without, all tokens and pooled, from a file as ULIP's training writes it."""
    references = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    for what, colors in (("points", False), ("coloured points", True)):
        config = PointBertConfig(checkpoint=str(folder / what), colors=colors, **SMALL)
        own = config.build(weights=False).tower.state_dict()
        state = {point_bert_name(name): tensor for name, tensor in own.items()}
        named = {f"module.point_encoder.{name}": drawn(name, tensor) for name, tensor in state.items()}
        (folder / what).mkdir()
        torch.save({"state_dict": named, "args": Namespace(lr=1)}, folder / what / "checkpoint_last.pt")
        given = Ragged.of([points(6 if colors else 3)], [Layout(100, (100,))])
        for features in ("tokens", "pooled"):
            found = config.replace(features=features).build()(given).values
            expected = torch.tensor(references[what][features])
            yield f"the authors' code, {what}, {features}", found[::4] if features == "tokens" else found[0], expected
