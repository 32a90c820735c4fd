"""What a Q-Former learns from captions by: transformers' numbers, who sees whom, which parameters are read."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Blip2ForImageTextRetrieval

from modalink.projectors.inputs.q_former import QFormer, QFormerConfig
from modalink.ragged import Layout, Ragged
from modalink.roles import LearnsCaptions
from modalink.testing.checkpoints import by_name, tiny_blip2
from modalink.testing.tokenizers import tiny_tokenizer

SMALL: dict[str, Any] = {"width": 16, "layers": 3, "heads": 4, "feed_forward": 32, "queries": 5, "contrast": 8}
WORDS = [[2, 5, 6, 7, 3], [2, 8, 9, 3], [2, 4, 3]]


def built(**changes: Any) -> QFormer:
    """A Q-Former of seeded weights."""
    config = QFormerConfig(**{"captions": True, "vocabulary": 30, "dropout": 0.0} | SMALL | changes)
    projector = config.build(dim_in=12, dim_out=20, example=Layout(1, (9,))).eval()
    projector.load_state_dict({name: by_name(name, p.shape) for name, p in projector.named_parameters()})
    torch.nn.init.constant_(projector.heads.temperature, 0.07)
    return projector


def features(*lengths: int) -> Ragged:
    values = 5 * by_name("features", torch.Size([sum(lengths), 12]))
    return Ragged(values, lengths, tuple(Layout(1, (length,)) for length in lengths))


def texts(*rows: list[int]) -> Ragged:
    ids = torch.tensor([word for row in rows for word in row])
    return Ragged(ids, tuple(map(len, rows)), tuple(Layout.of_units(len(row)) for row in rows))


def test_contrast_and_matching_are_transformers(tmp_path: Path) -> None:
    folder = tiny_blip2(tmp_path, Blip2ForImageTextRetrieval, use_qformer_text_input=True)
    reference = Blip2ForImageTextRetrieval.from_pretrained(folder).eval()
    reference.config.image_token_index = None
    vocabulary = reference.config.qformer_config.vocab_size
    config = QFormerConfig(checkpoint=str(folder), captions=True, vocabulary=vocabulary, **SMALL | {"contrast": 256})
    ours = config.build(dim_in=32, dim_out=20, example=Layout(1, (17,))).eval()
    config.borrow(ours, config.borrowed())
    assert isinstance(ours, QFormer) and isinstance(ours, LearnsCaptions)
    heads = {"image": "vision_projection", "text": "text_projection", "match": "itm_head"}
    for own, theirs in heads.items():
        ours.heads.get_submodule(own).load_state_dict(reference.get_submodule(theirs).state_dict())
    pictures = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[*row, *[0] * (5 - len(row))] for row in WORDS])
    given = {"pixel_values": pictures, "input_ids": ids, "attention_mask": (ids != 0).long()}
    with torch.no_grad():
        contrast, match = (reference(**given, use_image_text_matching_head=use) for use in (False, True))
        states = reference.vision_model(pictures).last_hidden_state
        seen = Ragged(states.flatten(0, 1), (states.shape[1],) * 3, (Layout(1, (states.shape[1],)),) * 3)
        found = ours.compared(seen, texts(*WORDS)).similarities * ours.heads.temperature
        own = torch.arange(3)
        matches = ours.matches(seen, texts(*WORDS), own, own)
    assert (found - contrast.logits_per_image).abs().max() <= 1e-5
    assert (matches - match.logits_per_image).abs().max() <= 1e-5
    assert matches.std() > 1e-2 and found.std() > 1e-3


def test_a_word_that_is_written_sees_the_medium_and_earlier_words() -> None:
    projector = built()
    with torch.no_grad():
        found = projector.written(features(9), texts([2, 5, 6, 7, 3]))
        other = projector.written(features(9), texts([2, 5, 6, 8, 3]))
        elsewhere = projector.written(features(4), texts([2, 5, 6, 7, 3]))
        begun = projector.written(features(9), texts([4, 5, 6, 7, 3]))
    assert found.shape == (4, 30)
    assert torch.allclose(found[:3], other[:3], atol=1e-6) and (found[3] - other[3]).abs().max() > 1e-3
    assert (found - elsewhere).abs().amax(dim=1).min() > 1e-4
    # A token of its own begins a text, whatever stands for the whole of it elsewhere.
    assert torch.equal(found, begun)


def test_nothing_depends_on_the_company() -> None:
    projector, lengths = built(), (9, 4, 9)
    with torch.no_grad():
        own = torch.arange(3)
        together = projector.matches(features(*lengths), texts(*WORDS), own, own)
        written = projector.written(features(*lengths), texts(*WORDS)).split([4, 3, 2])
        similar = projector.compared(features(*lengths), texts(*WORDS)).similarities
        crossed = projector.matches(features(*lengths), texts(*WORDS), own, own.flip(0))
        for number, words in enumerate(WORDS):
            one, said, first = features(*lengths).take([number]), texts(words), torch.tensor([0])
            assert torch.allclose(projector.matches(one, said, first, first)[0], together[number], atol=1e-5)
            assert torch.allclose(projector.written(one, said), written[number], atol=1e-5)
            assert torch.allclose(projector.compared(one, said).similarities[0, 0], similar[number, number], atol=1e-4)
    assert torch.allclose(crossed[1], together[1], atol=1e-6) and (crossed[0] - together[0]).abs().max() > 1e-4


def results(projector: QFormer) -> dict[str, Tensor]:
    own = torch.arange(3)
    seen, said = features(9, 4, 9), texts(*WORDS)
    return {
        "prompt_tokens": projector(seen, said).values,
        "contrast": projector.compared(seen, said).similarities,
        "matching": projector.matches(seen, said, own, own),
        "writing": projector.written(seen, said),
    }


@pytest.mark.parametrize("settings", [{}, {"instruction": True}, {"layers": 4}])
def test_exactly_what_is_declared_is_left_alone(settings: dict[str, Any]) -> None:
    projector = built(**settings)
    for need, result in results(projector).items():
        parameters = dict(projector.named_parameters())
        found = torch.autograd.grad(result.square().sum(), [*parameters.values()], allow_unused=True)
        silent = {n for n, g in zip(parameters, found, strict=True) if g is None or not g.any()}
        assert silent == projector.unread_for({need}), need
    three = projector.unread_for({"contrast", "matching", "writing"})
    assert {name.partition(".")[0] for name in three} == {"exit"}
    assert projector.unread_for({"logits"}) == projector.unread_for(set()) == projector.unread_for({"prompt_tokens"})


def test_the_published_size_of_the_first_stage() -> None:
    """188 million parameters, queries, words and heads counted (arXiv 2301.12597, section 3.1)."""
    with torch.device("meta"):
        projector = QFormerConfig(captions=True).build(dim_in=1408, dim_out=20, example=Layout(1, (257,)))
    count = sum(p.numel() for name, p in projector.named_parameters() if not name.startswith("exit."))
    assert count == 186_702_654 and count / 188e6 == pytest.approx(1, abs=0.01)


def test_captions_stand_between_two_marks() -> None:
    tokenizer = tiny_tokenizer()
    config = QFormerConfig(captions=True, caption_tokens=6)
    words = tokenizer("a red cube, two circles", add_special_tokens=False).input_ids
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert config.caption_ids("a red cube, two circles", tokenizer) == [begin, *words[:4], end]
    tokenizer.cls_token, tokenizer.sep_token = "<pad>", "<pad>"
    assert config.caption_ids("a", tokenizer)[::2] == [tokenizer.pad_token_id] * 2
