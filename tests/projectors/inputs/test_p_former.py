"""The P-Former.

That its prompts are those of BLIText, `docs/tools/parity/projectors/p_former.py` holds.
"""

import pytest
import torch

from modalink.errors import PartError
from modalink.projectors.inputs.p_former import PFormerConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector

SENTENCES = (Layout(4, (1,)), Layout(7, (1,)), Layout(1, (1,)))


def test_it_keeps_the_promises_of_its_role() -> None:
    config = PFormerConfig(queries=3, width=8, contrast=None)
    check_input_projector(config, layouts=SENTENCES)
    with pytest.raises(PartError, match="found an item of 16 tokens, needed one vector of a sentence"):
        config.layout(Layout(1, (16,), (4, 4)))


def test_what_an_objective_does_not_read_is_declared() -> None:
    projector = PFormerConfig(queries=3, width=8, contrast=4).build(dim_in=12, dim_out=20, example=SENTENCES[0])
    names = {name for name, _ in projector.named_parameters()}
    heads = {name for name in names if name.startswith("heads.")}
    assert projector.unread_for({"logits", "prompt_tokens"}) == heads
    assert projector.unread_for({"embeddings"}) == names - heads
    assert projector.unread_for({"logits", "embeddings"}) == frozenset()
    vectors = Ragged(torch.randn(3, 12), (1,) * 3, SENTENCES)
    torch.testing.assert_close(projector.embedded(vectors).norm(dim=1), torch.ones(3))
    assert projector.temperature.item() == pytest.approx(0.07)


def test_its_size() -> None:
    """Of DLP with OPT 2.7B: 18.9 million in the map to all prompts, 0.6 between, 2 to the LLM."""
    with torch.device("meta"):
        projector = PFormerConfig().build(dim_in=768, dim_out=2560, example=SENTENCES[0])
    assert sum(p.numel() for p in projector.parameters()) == 21_655_041 == 18_898_944 + 590_592 + 1_968_640 + 196_865
    assert PFormerConfig().tiny() == PFormerConfig(width=128, contrast=64)
