"""How a tiny checkpoint's weights are drawn and written.

Weights are drawn wider (0.2) than usual (0.02): at these widths the usual scale makes attention uniform, and a test
would not see a mixed-up token.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SPREAD = 0.2
"""Standard deviation of drawn weights."""


def save(folder: Path | str, model: Any, config: Any, seed: int, companion: Any) -> Path:
    """Draw the weights with `seed`, leaving the global random state as it was, and write all that belongs together."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model(config).save_pretrained(folder)
    if companion is not None:
        companion.save_pretrained(folder)
    return Path(folder)


def by_name(name: str, shape: torch.Size, seed: int = 0) -> Tensor:
    """A weight that its name and a seed decide: of a norm or scale about one, else about nothing."""
    start = int.from_bytes(hashlib.sha256(f"{name} {seed}".encode()).digest()[:7])
    noise = SPREAD * torch.randn(shape, generator=torch.Generator().manual_seed(start))
    return noise + 1 if re.search(r"(norm\w*\.weight|weight_g|grep_a|scale)$", name) else noise


def square(config: dict[str, Any]) -> dict[str, int]:
    side = config.get("image_size", 32)
    return {"height": side, "width": side}
