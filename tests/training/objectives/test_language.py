"""Next-token loss."""

import torch
from torch.nn import functional

from modalink.model.collating import collate
from modalink.model.prepared import IGNORED, Prepared
from modalink.training.objectives import Output
from modalink.training.objectives.language import LanguageConfig
from modalink.training.randomness import ItemRngs

RNGS = ItemRngs(0, 0, [0, 1])


def test_its_sum_is_the_cross_entropy_of_the_labelled_tokens_alone() -> None:
    samples = [Prepared("a", [5, 6, 7], [IGNORED, 6, 7]), Prepared("b", [5, 8], [IGNORED, 8])]
    batch = collate(samples, packed=True, pad_id=0)
    logits = torch.randn(3, 10)
    found = LanguageConfig().sum(Output(logits=logits), batch, {}, RNGS)
    assert LanguageConfig().count(batch) == 3
    torch.testing.assert_close(found, functional.cross_entropy(logits, torch.tensor([6, 7, 8]), reduction="sum"))


def test_bfloat16_logits_are_summed_in_float32() -> None:
    batch = collate([Prepared("a", [5, 6], [IGNORED, 6])], packed=True, pad_id=0)
    logits = torch.randn(1, 10).bfloat16()
    found = LanguageConfig().sum(Output(logits=logits), batch, {}, RNGS)
    assert found.dtype == torch.float32
