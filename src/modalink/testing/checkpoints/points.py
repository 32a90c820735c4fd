"""A tiny encoder of points, and the names that its authors give its tensors."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from modalink.encoders import point_bert


def tiny_point_bert(folder: Path | str, *, seed: int = 0, **settings: Any) -> tuple[Path, dict[str, Any]]:
    """A Point-BERT as whole models of ULIP hold it, and the settings that read it: 16 groups of 8 points, width 32."""
    small = {"depth": 2, "width": 32, "heads": 4, "encoder_width": 32, "groups": 16, "group_size": 8, "points": 64}
    config = point_bert.PointBertConfig(checkpoint=str(folder), **(small | settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = config.build(weights=False).tower.state_dict()
    named = {f"module.point_encoder.{point_bert_name(name)}": tensor.contiguous() for name, tensor in state.items()}
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(named | {"module.logit_scale": torch.zeros(())}, Path(folder) / "model.safetensors")
    return Path(folder), config.model_dump(exclude_defaults=True) | {"kind": config.kind}


def point_bert_name(name: str) -> str:
    """The authors' name of a tensor of Point-BERT."""
    for old, new in reversed(point_bert.NAMES.items()):
        name = name.replace(new, old)
    return name
