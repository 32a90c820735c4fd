"""One linear map: transformers' `PaliGemmaMultiModalProjector`."""

from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor
from transformers import PaliGemmaConfig
from transformers.models.paligemma.modeling_paligemma import PaliGemmaMultiModalProjector

from modalink.projectors.inputs.linear import LinearConfig
from modalink.ragged import Layout, Ragged


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two items of several lengths."""
    config = PaliGemmaConfig(projection_dim=16)
    config.vision_config.hidden_size, config.vision_config.projection_dim = 12, 16
    reference = PaliGemmaMultiModalProjector(config)
    layouts = [Layout(1, (16,), (4, 4)), Layout(1, (6,), (2, 3))]
    features = torch.randn(22, 12)
    held = {f"multi_modal_projector.{name}": tensor for name, tensor in reference.state_dict().items()}
    ours = seeded.borrowed(LinearConfig(), held, folder, dim_in=12, dim_out=16)
    found = ours(Ragged(features, (16, 6), tuple(layouts))).values
    yield "transformers' `PaliGemmaMultiModalProjector`", found, reference(features)
