"""Two linear maps with a GELU between: transformers' `LlavaMultiModalProjector`."""

from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from modalink.projectors.inputs.mlp import MlpConfig
from modalink.ragged import Layout, Ragged


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two items of several lengths."""
    reference = LlavaMultiModalProjector(
        LlavaConfig(
            vision_config=CLIPVisionConfig(hidden_size=12, num_attention_heads=1),
            text_config=LlamaConfig(hidden_size=16, num_attention_heads=1),
        )
    )
    layouts = [Layout(1, (16,), (4, 4)), Layout(1, (6,), (2, 3))]
    features = torch.randn(22, 12)
    held = {f"multi_modal_projector.{name}": tensor for name, tensor in reference.state_dict().items()}
    ours = seeded.borrowed(MlpConfig(), held, folder, dim_in=12, dim_out=16)
    found = ours(Ragged(features, (16, 6), tuple(layouts))).values
    yield "transformers' `LlavaMultiModalProjector`", found, reference(features)
