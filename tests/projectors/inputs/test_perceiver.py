"""The Perceiver resampler: as many tokens of any item, and the sizes that are known.

That its numbers are those of OpenFlamingo and IDEFICS, `docs/tools/parity/projectors/perceiver.py` holds.
"""

from typing import Any

import pytest
import torch
from transformers import IdeficsConfig
from transformers.models.idefics.perceiver import IdeficsPerceiverResampler

from modalink.projectors.inputs.perceiver import PerceiverConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector

SMALL: dict[str, Any] = {"queries": 5, "layers": 2, "heads": 2, "head_width": 4}
PATCHES = Layout(1, (256,), (16, 16))


def size(config: PerceiverConfig, dim_in: int, dim_out: int) -> int:
    with torch.device("meta"):
        projector = config.build(dim_in=dim_in, dim_out=dim_out, example=PATCHES)
    return sum(parameter.numel() for parameter in projector.parameters())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"activation": "relu", "qk_norm": True, "width": 20},
        {"activation": "squared_relu", "width": 8, "feed_forward": 6, "positions": {"most": 2, "stretch": True}},
    ],
)
def test_it_keeps_the_promises_of_its_role(settings: dict[str, Any]) -> None:
    layouts = (Layout(1, (16,), (4, 4)), Layout(3, (4, 4, 4), (2, 2), times_s=(0.0, 1.0, 2.0)), Layout(1, (5,)))
    layouts = layouts if settings.get("positions") else (*layouts, Layout(2, (3, 4)))
    check_input_projector(PerceiverConfig.model_validate({**SMALL, **settings}), layouts=layouts)


def test_an_item_of_any_length_becomes_one_block_of_as_many_tokens() -> None:
    assert PerceiverConfig().layout(PATCHES) == Layout(1, (64,))
    video = Layout(8, (256,) * 8, (16, 16), times_s=tuple(map(float, range(8))))
    assert PerceiverConfig().layout(video) == Layout(8, (64,), times_s=(0.0,))


def test_queries_read_frames_in_any_order_unless_these_have_positions() -> None:
    video = Layout(2, (4, 4), (2, 2))
    for positions, same in ((None, True), ({"most": 2}, False)):
        config = PerceiverConfig.model_validate({**SMALL, "positions": positions})
        projector = config.build(dim_in=12, dim_out=16, example=video)
        frames = torch.randn(2, 4, 12)
        there, back = (projector(Ragged(f.flatten(0, 1), (8,), (video,))).values for f in (frames, frames.flip(0)))
        assert torch.allclose(there, back, atol=1e-5) == same


def test_sizes() -> None:
    """OpenFlamingo's by its code, IDEFICS's by transformers', Flamingo's 194 million as printed in the paper.

    The paper's numbers of layers, widths and heads make 188.9 million. With a map from the 3072 channels of the NFNet's
    last convolution to the width of 1536 it is what is printed.
    """
    assert size(PerceiverConfig(), 1024, 1024) == 63_019_008
    with torch.device("meta"):
        reference = IdeficsPerceiverResampler(IdeficsConfig(vision_config={"embed_dim": 1280}), 1280, 6, 16, 96, 64)
    idefics = PerceiverConfig(heads=16, head_width=96, activation="relu")
    assert size(idefics, 1280, 1280) == sum(parameter.numel() for parameter in reference.parameters())
    flamingo = PerceiverConfig.model_validate(
        {"width": 1536, "heads": 16, "head_width": 128, "activation": "squared_relu", "positions": {"most": 8}}
    )
    assert size(flamingo, 1536, 1536) == 188_912_640
    assert size(flamingo, 3072, 1536) == pytest.approx(194e6, rel=0.01)


def test_the_tiny_form_is_narrow_and_of_the_same_kind() -> None:
    tiny = PerceiverConfig(activation="relu", qk_norm=True).tiny()
    assert (tiny.activation, tiny.qk_norm, tiny.layers, tiny.queries) == ("relu", True, 2, 16)
    assert size(tiny, 128, 256) < 500_000
