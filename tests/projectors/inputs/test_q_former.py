"""The Q-Former: words of the turn, frames, what comes from a checkpoint, published sizes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import InstructBlipForConditionalGeneration

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.projectors.inputs.q_former import QFormerConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector
from modalink.testing.checkpoints import tiny_blip2, tiny_clip_vision
from modalink.testing.tokenizers import tiny_tokenizer

VOCABULARY = len(tiny_tokenizer(bos=False)) + 1
SMALL: dict[str, Any] = {
    "width": 16,
    "layers": 3,
    "heads": 4,
    "feed_forward": 32,
    "queries": 5,
    "vocabulary": VOCABULARY,
}
ITEMS = (Layout(1, (16,), (4, 4)), Layout(2, (9, 4), times_s=(0.0, 1.0)), Layout(1, (1,)))


def built(config: QFormerConfig, dim_in: int = 32, dim_out: int = 32) -> Any:
    projector = config.build(dim_in=dim_in, dim_out=dim_out, example=ITEMS[0]).eval()
    config.borrow(projector, config.borrowed().keys())
    return projector


def tokens(*lengths: int, seed: int = 0, width: int = 32) -> Ragged:
    values = torch.randn(sum(lengths), width, generator=torch.Generator().manual_seed(seed))
    return Ragged(values, lengths, tuple(Layout(1, (length,)) for length in lengths))


def words(*texts: list[int]) -> Ragged:
    ids = torch.tensor([number for text in texts for number in text])
    return Ragged(ids, tuple(map(len, texts)), tuple(Layout.of_units(max(1, len(text))) for text in texts))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"extra_queries": 3, "cross_every": 1},
        {"instruction": True},
        {"instruction": True, "layers": 1, "cross_every": 3},
        {"exit": "none"},
    ],
)
def test_it_keeps_the_promises_of_its_role(settings: dict[str, Any]) -> None:
    config: Any = parse("modalink.projectors.inputs", {"kind": "q_former", **SMALL, "dropout": 0.0, **settings})
    check_input_projector(config, dim_out=16 if "exit" in settings else 20, layouts=ITEMS)
    assert [config.layout(item).tokens for item in ITEMS] == [5 + config.extra_queries] * 3


@pytest.fixture(scope="module")
def blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_blip2(tmp_path_factory.mktemp("blip2"))


@pytest.fixture(scope="module")
def instructblip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_blip2(tmp_path_factory.mktemp("instructblip"), InstructBlipForConditionalGeneration)


def pictures(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(7))


def seen_by(model: Any, count: int) -> Ragged:
    """What its tower gives of pictures."""
    with torch.no_grad():
        states = model.vision_model(pictures(count)).last_hidden_state
    return Ragged(states.flatten(0, 1), (states.shape[1],) * count, (Layout(1, (states.shape[1],)),) * count)


def test_instructions_have_any_length(instructblip: Path) -> None:
    reference = InstructBlipForConditionalGeneration.from_pretrained(instructblip).eval()
    config = QFormerConfig(checkpoint=str(instructblip), exit="checkpoint", instruction=True, **SMALL)
    told = [[5, 6, 7, 8], [9, 10]]
    with torch.no_grad():
        found = built(config)(seen_by(reference, 2), words(*told))
        queries = reference.query_tokens.expand(2, -1, -1)
        ids, mask = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]]), torch.tensor([[1] * 9, [1] * 7 + [0] * 2])
        states = reference.vision_model(pictures(2)).last_hidden_state
        output = reference.qformer(
            input_ids=ids, attention_mask=mask, query_embeds=queries, encoder_hidden_states=states
        ).last_hidden_state[:, :5]
        expected = reference.language_projection(output)
    assert (found.stack() - expected).abs().max() <= 1e-5
    with torch.no_grad():
        silent = built(config)(seen_by(reference, 2), words([5, 6, 7, 8], []))
        without = built(config)(seen_by(reference, 2))
    assert torch.equal(silent.stack()[0], found.stack()[0])
    assert torch.allclose(silent.stack()[1], without.stack()[1], atol=1e-5)
    assert (found.stack() - without.stack()).abs().max() > 1e-2


def test_further_queries_stand_behind_a_checkpoints(blip2: Path) -> None:
    """They are seen by the others, so all differ a little; without them nothing changes."""
    plain = built(QFormerConfig(checkpoint=str(blip2), **SMALL))
    more = built(QFormerConfig(checkpoint=str(blip2), extra_queries=2, **SMALL))
    assert torch.equal(more.queries, plain.queries) and torch.equal(more.all_queries[:5], plain.queries)
    more.exit.load_state_dict(plain.exit.state_dict())
    with torch.no_grad():
        found, before = more(tokens(7)), plain(tokens(7))
    assert (found.lengths, before.lengths) == ((7,), (5,))
    assert (found.values[:5] - before.values).abs().max() > 0


def test_a_second_one_reads_all_frames_in_their_order() -> None:
    """Video-LLaMA's branch: one for each frame without a map behind it, positions of frames, one over all of them."""
    each = {"kind": "q_former", **SMALL, "exit": "none"}
    whole = {"kind": "q_former", **SMALL, "layers": 2, "cross_every": 1, "queries": 3}
    positions = {"most": 4}
    config: Any = parse(
        "modalink.projectors.inputs",
        {"kind": "blockwise", "each": each, "whole": whole, "width": 16, "positions": positions},
    )
    frames = Layout(3, (4, 4, 4), (2, 2), times_s=(0.0, 1.0, 2.0))
    projector = config.build(dim_in=8, dim_out=20, example=frames).eval()
    with torch.no_grad():
        for parameter in projector.parameters():  # small ones attend to all alike
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    video = Ragged(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), (12,), (frames,))
    turned = Ragged(video.values.unflatten(0, (3, 4)).flip(0).flatten(0, 1), (12,), (frames,))
    with torch.no_grad():
        found, other = projector(video).values, projector(turned).values
        projector.positions.table.weight.zero_()
        unordered = projector(video).values, projector(turned).values
    assert found.shape == (3, 20) and (found - other).abs().max() > 1e-6
    assert torch.allclose(*unordered, atol=1e-6)
    sections = ("each", "positions", "whole", "each.queries", "each.q_former", "whole.queries", "whole.q_former")
    assert config.sections() == (*sections, "whole.exit")


def test_a_frames_own_one_may_come_from_a_checkpoint(blip2: Path) -> None:
    each = {"kind": "q_former", "checkpoint": str(blip2), **SMALL, "exit": "none"}
    whole = {"kind": "q_former", **SMALL, "layers": 2, "cross_every": 1}
    config: Any = parse("modalink.projectors.inputs", {"kind": "blockwise", "each": each, "whole": whole, "width": 16})
    assert [*config.borrowed()] == ["each.queries", "each.q_former"]
    frames = Layout(2, (4, 4))
    projector = config.build(dim_in=32, dim_out=20, example=frames)
    config.borrow(projector, config.borrowed())
    alone = built(QFormerConfig(checkpoint=str(blip2), **SMALL))
    assert torch.equal(projector.each.queries, alone.queries)
    borrowed, own = projector.each.q_former.state_dict(), alone.q_former.state_dict()
    assert all(torch.equal(borrowed[name], own[name]) for name in own)


def test_published_sizes() -> None:
    """BLIP-2 counts 188 million parameters with the words, and about 105 without (arXiv 2301.12597, section 3.1)."""
    counts = {}
    for reads in (True, False):
        with torch.device("meta"):
            projector: Any = QFormerConfig(instruction=reads).build(dim_in=1408, dim_out=2560, example=ITEMS[0])
        counts[reads] = projector.queries.numel() + sum(p.numel() for p in projector.q_former.parameters())
    assert counts == {True: 185_684_736, False: 105_162_240}
    assert sum(p.numel() for p in projector.exit.parameters()) == 768 * 2560 + 2560
    assert counts[False] / 105e6 == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"heads": 2}, "has num_attention_heads 4, needed 2; set heads: 4"),
        ({"layers": 2}, "has num_hidden_layers 3, needed 2; set layers: 3"),
        ({"cross_every": 1}, "has cross_attention_frequency 2, needed 1; set cross_every: 2"),
        ({"queries": 4}, r"queries has the shape \(5, 16\), needed \(4, 16\)"),
        ({"instruction": True}, "the Q-Former: the checkpoint lacks parameters that are needed: q_former.blocks"),
        ({"exit": "checkpoint"}, r"exit.\w+ has the shape \(32.*, needed \(24"),
    ],
)
def test_another_checkpoint_is_refused(blip2: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(PartError, match=words):
        built(QFormerConfig(checkpoint=str(blip2), **SMALL | settings), dim_out=24)


def test_what_is_no_blip_2_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="tells of no Q-Former, needed a BLIP-2 or InstructBLIP"):
        built(QFormerConfig(checkpoint=str(tiny_clip_vision(tmp_path)), **SMALL))


def test_instructblips_blocks_are_read_without_words_too(instructblip: Path) -> None:
    silent = built(QFormerConfig(checkpoint=str(instructblip), **SMALL))
    reading = built(QFormerConfig(checkpoint=str(instructblip), instruction=True, **SMALL))
    reading.exit.load_state_dict(silent.exit.state_dict())
    with torch.no_grad():
        assert torch.allclose(silent(tokens(7)).values, reading(tokens(7)).values, atol=1e-5)


def test_words_are_read_by_the_tokenizer_that_belongs_to_them(instructblip: Path) -> None:
    llm, own = tiny_tokenizer(vocab=300), tiny_tokenizer(bos=False)
    text = "What is in the image?"
    config = QFormerConfig(checkpoint=str(instructblip), instruction=True)
    assert config.text_ids(text, llm) == own(text).input_ids != llm(text).input_ids
    of_the_llm = QFormerConfig(instruction=True)
    assert of_the_llm.text_ids(text, llm) == llm(text, add_special_tokens=False).input_ids
    assert (
        of_the_llm.replace(tokenizer=str(instructblip / "qformer_tokenizer")).text_ids(text, llm) == own(text).input_ids
    )
    assert of_the_llm.replace(text_tokens=3).text_ids(text, llm) == of_the_llm.text_ids(text, llm)[:3]
    with pytest.raises(PartError, match=r"found token \d+ in a text, have 99 words; raise vocabulary"):
        of_the_llm.replace(vocabulary=100).text_ids(text, llm)


def test_meaningless_settings_are_refused() -> None:
    for settings, found in (
        ({"heads": 3}, "found width 16, needed a multiple of heads = 3"),
        ({"exit": "none"}, "found exit: none and width 16, needed 8"),
        ({"exit": "checkpoint"}, "found exit: checkpoint and no checkpoint"),
    ):
        with pytest.raises(PartError, match=found):
            QFormerConfig(**SMALL | settings).build(dim_in=8, dim_out=8, example=ITEMS[0])


def test_the_tiny_form_is_drawn_anew() -> None:
    config = QFormerConfig(
        checkpoint="Salesforce/blip2-opt-2.7b", exit="checkpoint", extra_queries=64, instruction=True
    )
    tiny = config.tiny()
    assert (tiny.width, tiny.layers, tiny.queries, tiny.extra_queries, tiny.exit) == (128, 2, 32, 64, "new")
    assert tiny.checkpoints() == () and not tiny.borrowed() and tiny.instruction
    assert QFormerConfig(**SMALL | {"width": 54, "heads": 6}).tiny().heads == 6
